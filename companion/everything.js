/** The key A: proposals for all objects of a picture. They are made for as long as they are asked for. */

import { pickedLabel } from "./picked.js";
import { addRegions } from "./regions.js";

/** @import { Api } from "./api.js" */
/** @import { Offer, Proposal } from "./proposals.js" */

const PAUSE_MS = 500;

export class Everything {
  /**
   * @param {Api} api
   * @param {(ms: number) => Promise<unknown>} pause
   */
  constructor(api, pause = (ms) => new Promise((go) => setTimeout(go, ms))) {
    this.api = api;
    this.pause = pause;
    /** @type {AbortController | null} */
    this.current = null;
    /** How much is done, from 0 to 1. */
    this.share = 0;
  }

  get isBusy() {
    return this.current !== null;
  }

  /** Ask no more: then the backend works no longer. */
  stop() {
    this.current?.abort();
    this.current = null;
  }

  /**
   * Ask until all are there.
   * @param {Backend} backend
   * @param {number} task
   * @param {ImageTag} image
   * @param {Annotation} annotation
   * @param {(share: number) => void} told
   * @returns {Promise<Offer | null>} null: it was stopped
   */
  async find(backend, task, image, annotation, told) {
    this.stop();
    const control = new AbortController();
    this.current = control;
    this.share = 0;
    try {
      while (this.current === control) {
        const context = { ask: "everything", result: [entryFor(image)] };
        const data = await this.api.query(backend, task, context, newId(), control.signal);
        if (this.current !== control) return null;
        const { share = 0, proposals } = data?.everything ?? {};
        if (proposals) {
          const take = this.#take(backend, task, image, annotation, proposals);
          return { image, annotation, proposals, isOfObjects: true, take };
        }
        this.share = share;
        told(share);
        await this.pause(PAUSE_MS);
      }
      return null;
    } catch (error) {
      if (this.current !== control) return null; // aborted
      throw error;
    } finally {
      if (this.current === control) this.current = null;
    }
  }

  /**
   * @param {Backend} backend
   * @param {number} task
   * @param {ImageTag} image
   * @param {Annotation} annotation
   * @param {Proposal[]} proposals
   * @returns {Offer["take"]}
   */
  #take(backend, task, image, annotation, proposals) {
    return async (chosen) => {
      const picked = pickedLabel(annotation, image.name);
      if (picked === null) return null;
      const entry = { ...entryFor(image), type: picked.type, value: { labels: [picked.value] } };
      /** @type {any[][]} */
      const answers = [];
      for (const one of chosen) {
        const context = { ask: "everything", result: [entry], proposal: proposals.indexOf(one) };
        const data = await this.api.query(backend, task, context, newId(), new AbortController().signal);
        answers.push(data?.result ?? []);
      }
      return addInTurn(annotation, answers, picked.labels);
    };
  }
}

/**
 * Add the results of each as regions, in one step of the history, and pick the labels again.
 * @param {Annotation} annotation
 * @param {any[][]} answers
 * @param {Label[]} labels
 * @returns {string[][]} the ids of the regions of each
 */
export function addInTurn(annotation, answers, labels = []) {
  const counts = answers.map((results) => new Set(results.map((one) => one.id)).size);
  const made = addRegions(annotation, answers.flat(), labels).map((one) => one.cleanId);
  let at = 0;
  return counts.map((count) => made.slice(at, (at += count)));
}

/**
 * The entry that says which picture is meant.
 * @param {ImageTag} image
 * @returns {PromptEntry}
 */
function entryFor(image) {
  const { naturalWidth = 1, naturalHeight = 1, index = 0 } = image.currentImageEntity ?? {};
  return {
    id: newId(),
    type: "labels",
    from_name: "",
    to_name: image.name,
    ...(image.multiImage ? { item_index: index } : {}),
    original_width: naturalWidth,
    original_height: naturalHeight,
    value: {},
  };
}

export function newId() {
  return crypto.randomUUID().slice(0, 8);
}
