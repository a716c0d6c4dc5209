/** Says when a region's label changed: with a region selected, a label's key gives it that label. */

import { stateNow } from "./history.js";

/** @typedef {{ from: string, to: string }} News */

export class Relabelled {
  constructor() {
    /** @type {Annotation | null} */
    this.annotation = null;
    /** @type {Map<string, string>} by the id of a region */
    this.labels = new Map();
    this.step = -1;
    /** @type {object | null} the state that the news is of */
    this.since = null;
    /** @type {News | null} */
    this.news = null;
  }

  /**
   * What was changed by the last thing that was done, as long as nothing else is.
   * @param {Annotation} annotation
   * @returns {News | null}
   */
  look(annotation) {
    const state = stateNow(annotation);
    if (annotation === this.annotation && state === this.since) return this.news;
    const labels = labelsOf(annotation);
    const isNew = annotation === this.annotation && annotation.history.undoIdx > this.step;
    this.news = isNew ? this.#changeTo(labels) : null;
    this.annotation = annotation;
    this.labels = labels;
    this.step = annotation.history.undoIdx;
    this.since = state;
    return this.news;
  }

  /** @param {Map<string, string>} labels */
  #changeTo(labels) {
    for (const [id, to] of labels) {
      const from = this.labels.get(id);
      if (from !== undefined && from !== to) return { from, to };
    }
    return null;
  }
}

/** @param {Annotation} annotation */
function labelsOf(annotation) {
  const named = annotation.regions.filter((one) => !one.dynamic && !one.isDrawing && one.labelName);
  return new Map(named.map((one) => [one.cleanId, one.labelName ?? ""]));
}
