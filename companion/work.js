/**
 * The key W: what is done to masks that were accepted. The backend computes it; what comes takes the place of the old
 * masks, as one step of the history, with their labels and answers.
 */

import { selectedIn, suggestionsIn } from "./editor.js";
import { newId } from "./everything.js";
import { toleranceOf } from "./options.js";
import { labelsOf, pick } from "./picked.js";
import { entriesOf } from "./prompts.js";
import { replaceRegions } from "./regions.js";
import { dressed, isShape, withoutShape } from "./results.js";

/** @import { Api } from "./api.js" */
/** @import { Drawing } from "./drawing.js" */
/** @import { Texts } from "./messages.js" */

const MASKS = /^(brush|bitmask|polygon)region$/;
/** @type {Record<string, "fill" | "split" | "smooth" | "join" | undefined>} */
const AT_ONCE = { f: "fill", s: "split", m: "smooth", j: "join" };
const STEP = 1.5;

/**
 * @typedef {object} Desk what the session knows, and is told
 * @property {Store | null} store
 * @property {Backend | null} backend
 * @property {number | null} task
 * @property {Drawing} drawing
 * @property {Texts} texts
 * @property {() => void} asked
 * @property {() => void} answered
 * @property {(error: unknown, requestId: string) => void} refused
 */

export class Work {
  /**
   * @param {Api} api
   * @param {number | string} project
   * @param {Desk} desk
   */
  constructor(api, project, desk) {
    this.api = api;
    this.project = project;
    this.desk = desk;
    /** @type {string[]} the masks that are worked on; none while the key was not pressed */
    this.ids = [];
    /** @type {"add" | "take" | null} what becomes of the next mask of SAM2's */
    this.way = null;
    /** @type {{ entries: PromptEntry[], tolerance: number } | null} what a polygon was made of, for another tolerance */
    this.source = null;
    /** @type {AbortController | null} */
    this.current = null;
    this.note = "";
  }

  get isOpen() {
    return this.ids.length > 0;
  }

  get isBusy() {
    return this.current !== null;
  }

  /** Whether points and boxes are drawn on masks too, instead of selecting them. */
  get isOverMasks() {
    return this.way !== null;
  }

  /** What the line says. */
  get hints() {
    const { texts } = this.desk;
    if (!this.isOpen) return [this.note].filter(Boolean);
    if (this.way) return [this.way === "add" ? texts.adding : texts.taking];
    return [this.note, this.source ? texts.tolerance(this.source.tolerance) : texts.workKeys].filter(Boolean);
  }

  stop() {
    this.current?.abort();
    this.current = null;
    this.#close();
    this.note = "";
  }

  /** @param {Annotation} annotation on the screen: masks that were undone or deleted are not worked on */
  look(annotation) {
    const there = new Set(annotation.regions.map((one) => one.cleanId));
    if (this.isOpen && !this.isBusy && !this.ids.every((id) => there.has(id))) this.#close();
  }

  /**
   * The key itself: begin, or end.
   * @param {Annotation} annotation
   */
  toggle(annotation) {
    this.note = "";
    if (this.isOpen) return this.#close();
    const masks = annotation.regions.filter(isMask);
    const chosen = selectedIn(annotation).filter(isMask);
    const meant = chosen.length ? chosen : masks.slice(-1);
    this.ids = meant.map((one) => one.cleanId);
    if (!meant.length) this.note = this.desk.texts.noMask;
  }

  /**
   * A key while masks are worked on.
   * @param {string} key in lower case
   * @param {Annotation} annotation
   * @returns {boolean} whether it is one of these
   */
  pressed(key, annotation) {
    if (!this.isOpen) return false;
    if (key === "escape" && !this.desk.drawing.isPending) {
      this.#close();
      return true;
    }
    if (this.way) return false; // the keys of labels and tools are those of the next mask
    this.note = "";
    if (key === "a" || key === "x") this.#begin(key === "a" ? "add" : "take", annotation);
    else if (AT_ONCE[key]) void this.#do(AT_ONCE[key], annotation);
    else if (key === "p") void this.#convert(annotation);
    else if ((key === "+" || key === "-") && this.source) void this.#again(key === "+" ? STEP : 1 / STEP, annotation);
    else return false;
    return true;
  }

  /**
   * Enter, while SAM2's next mask is to be joined to the old one, or cut from it.
   * @param {Annotation} annotation
   * @returns {Promise<boolean>} whether that was meant, and done
   */
  async accept(annotation) {
    const { drawing } = this.desk;
    if (this.way && drawing.isBusy) await drawing.asker.done; // the annotator is quicker than the model
    const suggested = suggestionsIn(annotation);
    const [target] = this.#targets(annotation);
    const { way } = this;
    if (!way || !target || !suggested.length) return false;
    const done = await this.#ask(annotation, [target], way, entriesOf([target, ...suggested]), null, () => drawing.reject());
    if (done) this.#close();
    return done;
  }

  /**
   * @param {"add" | "take"} way
   * @param {Annotation} annotation
   */
  #begin(way, annotation) {
    const [target] = this.#targets(annotation);
    if (!target) return this.#close();
    this.ids = [target.cleanId];
    this.way = way;
    pick(annotation, labelsOf(target));
  }

  /**
   * @param {"fill" | "split" | "smooth" | "join"} what
   * @param {Annotation} annotation
   */
  async #do(what, annotation) {
    const targets = this.#targets(annotation);
    if (what === "join" && targets.length < 2) {
      this.note = this.desk.texts.joinTwo;
      return;
    }
    const some = what === "join" ? targets : targets.slice(0, 1);
    if (await this.#ask(annotation, some, what === "join" ? "add" : what, entriesOf(some), null)) this.#close();
  }

  /** @param {Annotation} annotation */
  async #convert(annotation) {
    const [target] = this.#targets(annotation);
    if (!target) return;
    const entries = entriesOf([target]);
    const what = target.type === "polygonregion" ? "brush" : "polygon";
    const tolerance = toleranceOf(this.desk.backend);
    if (!(await this.#ask(annotation, [target], what, entries, what === "polygon" ? tolerance : null))) return;
    if (what === "brush") return this.#close();
    this.source = { entries, tolerance };
  }

  /**
   * The polygon anew, of the same mask.
   * @param {number} factor
   * @param {Annotation} annotation
   */
  async #again(factor, annotation) {
    const targets = this.#targets(annotation);
    const { source } = this;
    if (!source || !targets.length) return;
    const tolerance = Math.round(10 * Math.min(50, Math.max(0.2, source.tolerance * factor))) / 10;
    if (await this.#ask(annotation, targets, "polygon", source.entries, tolerance)) this.source = { ...source, tolerance };
  }

  /**
   * Ask, and put what comes in the place of some regions.
   * @param {Annotation} annotation
   * @param {Region[]} gone
   * @param {string} what
   * @param {PromptEntry[]} entries those of the first region are those that labels and answers are kept of
   * @param {number | null} tolerance
   * @param {() => void} before what is done first, once the answer is there
   */
  async #ask(annotation, gone, what, entries, tolerance, before = () => {}) {
    const { store, backend, task } = this.desk;
    if (!store || this.isBusy) return false;
    const control = new AbortController();
    this.current = control;
    const requestId = newId();
    const isWanted = () => this.current === control && store.annotationStore.selected === annotation;
    this.desk.asked();
    try {
      const asked = backend ?? (await this.api.serving(this.project));
      const edit = tolerance === null ? { what } : { what, tolerance };
      const labels = entries.filter((one) => one.type === "labels").map((one) => ({ ...one, value: withoutShape(one.value) }));
      const shapes = [...entries.filter(isShape), ...labels];
      const context = { ask: "edit", result: shapes, edit, request_id: requestId };
      const data = await this.api.query(asked, task ?? 0, context, requestId, control.signal);
      if (!isWanted() || !data?.result?.length) return false;
      before();
      const made = replaceRegions(annotation, gone, dressed(data.result, entries));
      this.ids = made.map((one) => one.cleanId);
      return true;
    } catch (error) {
      if (isWanted()) this.desk.refused(error, requestId);
      return false;
    } finally {
      if (this.current === control) this.current = null;
      this.desk.answered();
    }
  }

  /** @param {Annotation} annotation */
  #targets(annotation) {
    const found = this.ids.map((id) => annotation.regions.find((one) => one.cleanId === id && isMask(one)));
    return found.filter((one) => one !== undefined);
  }

  #close() {
    this.ids = [];
    this.way = null;
    this.source = null;
  }
}

/** @param {Region} region */
function isMask(region) {
  return MASKS.test(region.type) && !region.dynamic && !region.isDrawing;
}
