/** The key T: the mask that is selected, or was accepted last, on the other image of its pair. */

import { selectedIn } from "./editor.js";
import { entriesOf } from "./prompts.js";
import { addRegions } from "./regions.js";

/** @import { Api } from "./api.js" */

const MASKS = /^(brush|bitmask|polygon|ellipse|rect)region$/;
const CARRIED = /^from \S+ /; // the note that the backend, and `./inv pairs.transfer`, leave at what they made

/**
 * @typedef {object} Surroundings what the session knows, and is told
 * @property {Store | null} store
 * @property {Backend | null} backend
 * @property {number | null} task
 * @property {() => void} asked
 * @property {() => void} answered
 * @property {(error: unknown, requestId: string) => void} refused
 */

export class Twin {
  /**
   * @param {Api} api
   * @param {number | string} project
   * @param {Surroundings} around
   */
  constructor(api, project, around) {
    this.api = api;
    this.project = project;
    this.around = around;
    /** @type {AbortController | null} */
    this.current = null;
    /** @type {Map<string, string>} by the id of a region that was taken over, the id of what came of it */
    this.made = new Map();
  }

  get isBusy() {
    return this.current !== null;
  }

  stop() {
    this.current?.abort();
    this.current = null;
  }

  /**
   * The region that the key means; null where there is none, or what came of it is still there.
   * @param {Annotation} annotation
   * @returns {Region | null}
   */
  subject(annotation) {
    const masks = annotation.regions.filter(isMask);
    const chosen = selectedIn(annotation).filter(isMask);
    const one = chosen.length ? chosen[chosen.length - 1] : masks.filter((region) => !isCarried(region)).pop();
    if (!one) return null;
    const twin = this.made.get(one.cleanId);
    return twin !== undefined && masks.some((region) => region.cleanId === twin) ? null : one;
  }

  /**
   * Ask for the mask on the other image, and make it a region there as one step of the history.
   * @param {Annotation} annotation that is on the screen
   */
  async take(annotation) {
    const { store, backend, task } = this.around;
    const region = this.subject(annotation);
    if (!store || this.isBusy || region === null) return;
    const control = new AbortController();
    this.current = control;
    const requestId = crypto.randomUUID().slice(0, 8);
    const isWanted = () => this.current === control && store.annotationStore.selected === annotation;
    this.around.asked();
    try {
      const asked = backend ?? (await this.api.serving(this.project));
      const results = await this.api.twin(asked, task ?? 0, entriesOf([region]), requestId, control.signal);
      if (!isWanted() || !results.length) return;
      const [made] = addRegions(annotation, results);
      if (made) this.made.set(region.cleanId, made.cleanId);
    } catch (error) {
      if (isWanted()) this.around.refused(error, requestId);
    } finally {
      if (this.current === control) this.current = null;
      this.around.answered();
    }
  }
}

/** @param {Region} region */
function isMask(region) {
  return MASKS.test(region.type) && !region.dynamic && !region.isDrawing;
}

/** @param {Region} region */
function isCarried(region) {
  const text = region.meta?.text;
  return Array.isArray(text) && text.some((one) => CARRIED.test(String(one)));
}
