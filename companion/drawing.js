/** What is drawn in one annotation and not accepted yet: asks SAM2 about it, and keeps or takes back what came. */

import { Asker } from "./asking.js";
import { accept, holdDrawing, isPicked, keepLabel, reject, remove, stripGhosts } from "./editor.js";
import { Leftovers } from "./leftovers.js";
import { currentSubject, promptsAmong, stateOf, subjectOf } from "./prompts.js";

/** @import { Api } from "./api.js" */

const SUBMIT_PATIENCE_MS = 8_000;
// From this many regions on, drawing the image costs more than it is worth to see the point before its mask.
const MANY_REGIONS = 20;
const HELD_MS = 250; // for an answer that takes longer, the point is drawn first

/**
 * @typedef {object} Surroundings what the session knows, and is told
 * @property {Store | null} store
 * @property {Backend | null} backend
 * @property {number | null} task
 * @property {boolean} [keepsLabel] whether the label of a mask that is accepted is picked for the next object
 * @property {(entries: PromptEntry[]) => PromptEntry[]} [aimed] prompts at the places that they are asked about
 * @property {() => void} asked
 * @property {() => void} answered
 * @property {(error: unknown, requestId: string) => void} refused
 */

export class Drawing {
  /**
   * @param {Api} api
   * @param {number | string} project
   * @param {Surroundings} around
   * @param {Pick<Storage, "getItem" | "setItem">} storage
   */
  constructor(api, project, around, storage) {
    this.around = around;
    this.leftovers = new Leftovers(storage);
    this.asker = new Asker(api, project, (entries) => around.aimed?.(entries) ?? entries);
    /** @type {Annotation | null} */
    this.annotation = null;
    this.negative = false;
    this.foundNothing = false;
    this.acceptNext = false;
    /** Which of the model's masks is on the screen, and of how many. */
    this.candidate = 0;
    this.candidates = 1;
    /** @type {string | null} the lone point that it was chosen for: as long as it stays, so does the choice */
    this.chosenFor = null;
    /** @type {Set<string>} states of the prompts when they were looked at before */
    this.known = new Set();
    /** @type {string | null} */
    this.subject = null;
    /** @type {string | null} the prompts of the last check, to see that none is still being dragged */
    this.lately = null;
    this.suggested = false;
    /** @type {Label[]} those that stay picked for the next prompt */
    this.kept = [];
    /** Draws what was held back. */
    this.release = () => {};
  }

  get isBusy() {
    return this.asker.isBusy;
  }

  get isSuggested() {
    return (this.annotation?.suggestions.size ?? 0) > 0;
  }

  /** Whether the model has other masks for what is drawn. */
  get offersMore() {
    return !this.isBusy && this.candidates > 1;
  }

  /** Whether there is something to accept or take back. */
  get isPending() {
    if (!this.annotation || !this.around.store) return false;
    return this.isBusy || this.isSuggested || promptsAmong(this.annotation.regions).length > 0;
  }

  /**
   * Whether a label with this key stays picked: who presses it before each point would unselect it.
   * @param {string} key
   */
  keeps(key) {
    return this.kept.some((one) => one.hotkey?.toLowerCase() === key.toLowerCase() && isPicked(one));
  }

  /**
   * Another annotation is on the screen: what was asked about the last one is over.
   * @param {Annotation | null} annotation
   */
  turnTo(annotation) {
    this.stop();
    this.annotation = annotation;
    this.#startAfresh();
  }

  /** Look at all of it, four times a second: whatever changed a prompt (undo, a drag, the editor's own buttons). */
  look() {
    const { annotation } = this;
    if (!annotation) return;
    for (const one of this.leftovers.among(annotation.regions)) one.deleteRegion();
    this.#notice(annotation);
    const prompts = promptsAmong(annotation.regions);
    this.leftovers.note(prompts);
    const now = prompts.map(stateOf).join("\n");
    if (now === this.lately) this.reconcile();
    this.lately = now;
  }

  /** Ask about what is drawn now, if it is not what was asked about last. */
  reconcile() {
    const { annotation, around } = this;
    const { store } = around;
    if (!store?.autoAnnotation || !annotation || annotation.isDrawing) return;
    const prompts = promptsAmong(annotation.regions);
    const states = new Set(prompts.map(stateOf));
    if (states.size === this.known.size && [...states].every((one) => this.known.has(one))) return;
    if (!prompts.length) return this.#forget(annotation);
    const subject = currentSubject(prompts, this.known, this.subject);
    const ours = prompts.filter((one) => subjectOf(one) === subject);
    this.known = states;
    if (subject !== this.subject) this.#leave(store, annotation, prompts);
    this.subject = subject;
    this.kept = keepLabel(ours[ours.length - 1]);
    if (this.chosenFor === null || !states.has(this.chosenFor)) this.#choose(0, null);
    this.#ask(store, annotation, ours);
  }

  /** The model's next mask: a lone point may mean a part or the whole. */
  next() {
    const { annotation } = this;
    const { store } = this.around;
    if (!store || !annotation || !this.offersMore) return;
    const ours = promptsAmong(annotation.regions).filter((one) => subjectOf(one) === this.subject);
    if (ours.length !== 1) return;
    this.#choose((this.candidate + 1) % this.candidates, stateOf(ours[0]));
    this.#ask(store, annotation, ours);
  }

  /** Enter. */
  accept() {
    const { annotation } = this;
    const { store } = this.around;
    if (!store || !annotation) return;
    if (this.isBusy) {
      this.acceptNext = true; // the annotator is quicker than the model
      return;
    }
    if (!annotation.suggestions.size) return;
    const kept = accept(store, annotation, promptsAmong(annotation.regions), this.around.keepsLabel);
    this.#startAfresh();
    this.kept = kept;
  }

  /** Esc. */
  reject() {
    this.stop();
    if (this.annotation && this.around.store) reject(this.annotation);
    this.#startAfresh();
  }

  /** A mask that is on the screen at submission is meant; a point that is left over is not. */
  async finish() {
    const { annotation } = this;
    const { store } = this.around;
    if (!store?.autoAnnotation || !annotation) return;
    await Promise.race([this.asker.done, new Promise((resolve) => setTimeout(resolve, SUBMIT_PATIENCE_MS))]);
    this.stop();
    if (this.isPending) accept(store, annotation, promptsAmong(annotation.regions));
    stripGhosts(annotation);
    this.#startAfresh();
  }

  stop() {
    this.release();
    this.asker.stop();
    this.acceptNext = false;
  }

  /**
   * What the editor's own buttons did: the check mark on the image leaves the prompts, and labels where none belong.
   * @param {Annotation} annotation
   */
  #notice(annotation) {
    const isGone = this.suggested && !annotation.suggestions.size && !this.isBusy;
    if (isGone) {
      stripGhosts(annotation);
      remove(annotation, promptsAmong(annotation.regions).filter((one) => this.known.has(stateOf(one))));
      this.#startAfresh();
    }
    this.suggested = annotation.suggestions.size > 0;
  }

  /**
   * The last prompt was deleted: its mask goes too.
   * @param {Annotation} annotation
   */
  #forget(annotation) {
    this.stop();
    for (const id of [...annotation.suggestions.keys()]) annotation.rejectSuggestion(id);
    this.#startAfresh();
  }

  /**
   * The annotator went on to another label without accepting: the mask that stood there is not lost.
   * @param {Store} store
   * @param {Annotation} annotation
   * @param {Region[]} prompts
   */
  #leave(store, annotation, prompts) {
    const left = this.subject === null ? [] : prompts.filter((one) => subjectOf(one) === this.subject);
    if (annotation.suggestions.size && left.length) {
      accept(store, annotation, left);
    } else {
      remove(annotation, left);
    }
    this.known = new Set(promptsAmong(annotation.regions).map(stateOf));
  }

  /**
   * @param {Store} store
   * @param {Annotation} annotation
   * @param {Region[]} prompts
   */
  #ask(store, annotation, prompts) {
    this.foundNothing = false;
    this.acceptNext = false;
    this.candidates = 1;
    this.release();
    if (annotation.regions.length >= MANY_REGIONS) {
      const draw = holdDrawing(prompts[0].object.stageRef);
      const timer = setTimeout(draw, HELD_MS);
      this.release = () => {
        clearTimeout(timer);
        draw();
      };
    }
    const { backend, task } = this.around;
    this.asker.ask(store, backend, task ?? 0, prompts, this.candidate, this.#answered, (error, requestId) => {
      this.release();
      this.acceptNext = false;
      if (this.annotation === annotation && this.around.store) reject(annotation);
      this.#startAfresh();
      this.around.refused(error, requestId);
    });
    this.around.asked();
  }

  #answered = (/** @type {Answer} */ { results, candidates }) => {
    this.release();
    this.foundNothing = results.length === 0;
    this.candidates = candidates;
    this.suggested = this.isSuggested;
    if (this.acceptNext || this.around.store?.autoAcceptSuggestions) this.accept();
    this.acceptNext = false;
    this.around.answered();
  };

  /**
   * @param {number} candidate
   * @param {string | null} point
   */
  #choose(candidate, point) {
    this.candidate = candidate;
    this.chosenFor = point;
  }

  #startAfresh() {
    this.#choose(0, null);
    this.candidates = 1;
    this.known = new Set();
    this.subject = null;
    this.suggested = false;
    this.foundNothing = false;
    this.negative = false;
    this.kept = [];
  }
}
