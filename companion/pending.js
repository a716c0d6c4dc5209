/** The prompts of an annotation that wait for Enter: which are asked about, and what changed since. */

import { currentSubject, promptsAmong, stateOf, subjectOf } from "./prompts.js";
import { accept, stripGhosts, tidy } from "./regions.js";

export class Pending {
  /** @param {{ store: Store | null, lacksLabel: boolean }} around whether what is drawn would be of no label, though the project has labels */
  constructor(around) {
    this.around = around;
    /** @type {Annotation | null} */
    this.annotation = null;
    /** @type {Set<string>} states of the prompts when they were looked at before */
    this.known = new Set();
    /** @type {string | null} what is asked about; null: nothing yet */
    this.subject = null;
    /** @type {string | null} the prompts of the last check, to see that none is still being dragged */
    this.lately = null;
    /** @type {Set<string>} the ids of all that was drawn here to ask SAM2 with */
    this.ids = new Set();
    /** Whether a mask waited when it was looked at before. */
    this.suggested = false;
  }

  get all() {
    return this.annotation && this.around.store ? promptsAmong(this.annotation.regions) : [];
  }

  /** Those that are asked about. */
  get ours() {
    return this.subject === null ? this.all : this.#of(this.subject);
  }

  /** Whether what is asked about is in a box. */
  get hasBox() {
    return this.ours.some((one) => one.type === "rectangleregion");
  }

  /** Whether a mask waits, or will, that would be of no label. */
  get isUnlabelled() {
    const { ours } = this;
    return ours.length > 0 && this.around.lacksLabel && !ours.some((one) => one.labelName);
  }

  /** Whether they are others than those that were looked at before. */
  get isChanged() {
    const states = new Set(this.all.map(stateOf));
    return states.size !== this.known.size || ![...states].every((one) => this.known.has(one));
  }

  /** @param {Region} region that was just drawn, or came again */
  note(region) {
    if (promptsAmong([region]).length) this.ids.add(region.cleanId);
  }

  /**
   * The mask that waits, as a draft has it: leaving the task keeps it. One without a label is in no export.
   * @param {Annotation} annotation
   */
  waiting(annotation) {
    if (annotation !== this.annotation || this.isUnlabelled) return [];
    return [...annotation.suggestions.values()].flatMap((one) =>
      one.results.map((result) => result.serialize({ fast: true })).filter((entry) => entry !== null),
    );
  }

  reset() {
    this.known = new Set();
    this.subject = null;
    this.suggested = false;
  }

  /** Whether nothing changed since this was called before. */
  rests() {
    const now = this.all.map(stateOf).join("\n");
    const isSame = now === this.lately;
    this.lately = now;
    return isSame;
  }

  /** What was drawn last, of those that are there; there must be one. */
  newest() {
    const subject = currentSubject(this.all, this.known, this.subject);
    return { subject, ours: this.#of(subject) };
  }

  /**
   * What is there now is asked about. The annotator may have gone on to another label without accepting: the mask that
   * stood there is not lost.
   * @param {string} subject
   * @param {Store} store
   */
  turnTo(subject, store) {
    if (subject !== this.subject && this.annotation) {
      const left = this.subject === null ? [] : this.ours;
      const hasLabel = !this.around.lacksLabel || left.some((one) => one.labelName);
      if (this.annotation.suggestions.size && left.length && hasLabel) {
        accept(store, this.annotation, left, true);
      } else {
        tidy(this.annotation, left);
      }
    }
    this.known = new Set(this.all.map(stateOf));
    this.subject = subject;
  }

  /**
   * What the editor's own buttons did: the check mark on the image leaves the prompts, and labels where none belong.
   * @returns {boolean} whether the mask that waited was taken or rejected
   */
  tidyTaken() {
    const { annotation } = this;
    if (!annotation || !this.suggested || annotation.suggestions.size) return false;
    stripGhosts(annotation);
    tidy(annotation, this.all.filter((one) => this.known.has(stateOf(one))));
    return true;
  }

  /** @param {string} subject */
  #of(subject) {
    return this.all.filter((one) => subjectOf(one) === subject);
  }
}
