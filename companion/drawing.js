/** What is drawn in one annotation and not accepted yet: asks SAM2 about it, and keeps or takes back what came. */

import { Asker } from "./asking.js";
import { Candidates } from "./candidates.js";
import { lastState } from "./history.js";
import { Holding } from "./holding.js";
import { Negative } from "./negative.js";
import { Pending } from "./pending.js";
import { isPicked, keepLabel, pickedLabels } from "./picked.js";
import { promptsOfDrafts, stateOf } from "./prompts.js";
import { accept, giveLabels, reject, stripGhosts, tidy } from "./regions.js";

/** @import { Api } from "./api.js" */

const SUBMIT_PATIENCE_MS = 8_000;

/**
 * @typedef {object} Surroundings what the session knows, and is told
 * @property {Store | null} store
 * @property {Backend | null} backend
 * @property {number | null} task
 * @property {boolean} [keepsLabel] whether the label of a mask that is accepted is picked for the next object
 * @property {(entries: PromptEntry[]) => PromptEntry[]} [aimed] prompts at the places that they are asked about
 * @property {boolean} lacksLabel whether what is drawn would be of no label, though the project has labels
 * @property {() => void} asked
 * @property {() => void} answered
 * @property {(error: unknown, requestId: string) => void} refused
 */

export class Drawing {
  /**
   * @param {Api} api
   * @param {number | string} project
   * @param {Surroundings} around
   */
  constructor(api, project, around) {
    this.around = around;
    this.asker = new Asker(api, project, (entries) => around.aimed?.(entries) ?? entries);
    /** @type {Annotation | null} */
    this.annotation = null;
    this.negative = new Negative();
    this.foundNothing = false;
    this.acceptNext = false;
    /** Whether Enter was pressed for a mask that has no label. */
    this.wantsLabel = false;
    this.candidates = new Candidates();
    this.pending = new Pending(around);
    this.holding = new Holding();
    /** @type {Label[]} those that stay picked for the next prompt */
    this.kept = [];
  }

  get isBusy() {
    return this.asker.isBusy;
  }

  get isSuggested() {
    return (this.annotation?.suggestions.size ?? 0) > 0;
  }

  /** Whether the model has other masks for what is drawn. */
  get offersMore() {
    return !this.isBusy && this.candidates.of > 1;
  }

  /** Whether there is something to accept or take back. */
  get isPending() {
    if (!this.annotation || !this.around.store) return false;
    return this.isBusy || this.isSuggested || this.pending.all.length > 0;
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
    this.pending.annotation = annotation;
    this.candidates.forget();
    this.#startAfresh();
  }

  /** Look at all of it, four times a second: whatever changed a prompt (undo, a drag, the editor's own buttons). */
  look() {
    const { annotation } = this;
    if (!annotation) return;
    tidy(annotation, promptsOfDrafts(annotation.regions));
    if (!this.isBusy && this.pending.tidyTaken()) this.#startAfresh();
    this.pending.suggested = this.isSuggested;
    for (const one of this.pending.all) this.pending.note(one);
    const picked = pickedLabels(annotation);
    this.negative.look(annotation);
    const { ours } = this.pending;
    if (ours.length && picked && !ours.some((one) => one.labelName)) {
      giveLabels(annotation, ours);
      this.reconcile(); // at once: Enter, pressed right after, is about them under their label
    }
    if (this.pending.rests()) this.reconcile();
  }

  /** Ask about what is drawn now, if it is not what was asked about last. */
  reconcile() {
    const { annotation, pending } = this;
    const { store } = this.around;
    if (!store?.autoAnnotation || !annotation || annotation.isDrawing) return;
    if (!pending.isChanged) return;
    if (!pending.all.length) return this.#forget(annotation);
    const { subject, ours } = pending.newest();
    if (subject !== pending.subject && this.isBusy && pending.ours.length) {
      this.acceptNext = true; // quicker than the model: the object before is kept all the same
      this.kept = keepLabel(ours[ours.length - 1]);
      return;
    }
    pending.turnTo(subject, store);
    this.kept = keepLabel(ours[ours.length - 1]);
    this.candidates.about(ours.map(stateOf));
    this.#ask();
  }

  /** The model's next mask: a lone point may mean a part or the whole. */
  next() {
    const [only, ...more] = this.pending.ours;
    if (!this.annotation || !this.offersMore || !only || more.length) return;
    this.candidates.next(stateOf(only), lastState(this.annotation));
    this.#ask();
  }

  /** Whether there was another mask to go back to, or on to. */
  turn(/** @type {"undo" | "redo"} */ way) {
    const { annotation } = this;
    if (!annotation || this.pending.ours.length !== 1) return false;
    const isTurned = this.candidates[way]();
    if (isTurned) this.#ask();
    return isTurned || (way === "redo" && this.candidates.endsRedo(lastState(annotation)));
  }

  /** Enter. */
  accept() {
    this.#take(false);
  }

  /** Whether a mask cannot be accepted because it has no label; from then on it says so. */
  lacksMaskLabel() {
    this.wantsLabel = this.pending.isUnlabelled;
    return this.wantsLabel;
  }

  /** @param {boolean} joins whether it belongs to what was done last */
  #take(joins) {
    const { annotation } = this;
    const { store } = this.around;
    if (!store || !annotation || this.lacksMaskLabel()) return;
    if (this.isBusy) {
      this.acceptNext = true; // the annotator is quicker than the model
      return;
    }
    if (!annotation.suggestions.size) return;
    const kept = accept(store, annotation, this.pending.ours, joins, this.around.keepsLabel);
    this.#startAfresh();
    this.kept = kept;
  }

  /** Esc. */
  reject() {
    this.stop();
    if (this.annotation && this.around.store) reject(this.annotation, this.pending.all);
    this.#startAfresh();
  }

  /** A mask that is on the screen at submission is meant; a point that is left over is not. */
  async finish() {
    const { annotation } = this;
    const { store } = this.around;
    if (!store?.autoAnnotation || !annotation) return;
    const late = new Promise((resolve) => setTimeout(resolve, SUBMIT_PATIENCE_MS));
    for (let objects = 2; objects > 0 && this.isBusy; objects -= 1) {
      await Promise.race([this.asker.done, late]);
      this.reconcile(); // the next object's prompt may wait for the one before
    }
    this.stop();
    if (this.isPending) accept(store, annotation, this.pending.all);
    stripGhosts(annotation);
    this.#startAfresh();
  }

  stop() {
    this.holding.release();
    this.asker.stop();
    this.acceptNext = false;
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

  #ask() {
    const { annotation } = this;
    const { store, backend, task } = this.around;
    const prompts = this.pending.ours;
    if (!store || !annotation) return;
    this.foundNothing = false;
    this.acceptNext = false;
    this.holding.hold(annotation, prompts[0].object.stageRef);
    this.asker.ask(store, backend, task ?? 0, prompts, this.candidates.number, this.#answered, (error, requestId) => {
      this.holding.release();
      this.acceptNext = false;
      if (this.annotation === annotation && this.around.store) reject(annotation, this.pending.ours, true);
      this.#startAfresh();
      this.around.refused(error, requestId);
    });
    this.around.asked();
  }

  #answered = (/** @type {Answer} */ { results, candidates }) => {
    this.holding.release();
    this.foundNothing = results.length === 0;
    this.candidates.of = candidates;
    this.pending.suggested = this.isSuggested;
    // With the next object's prompt on the screen, it is that which accepts: one thing that was done, not two.
    const isLeft = this.annotation !== null && this.pending.ours.length < this.pending.all.length;
    if (this.acceptNext || this.around.store?.autoAcceptSuggestions) this.#take(isLeft);
    this.acceptNext = false;
    if (isLeft) this.reconcile();
    this.around.answered();
  };

  #startAfresh() {
    this.candidates.reset();
    this.wantsLabel = false;
    this.pending.reset();
    this.foundNothing = false;
    this.negative.end();
    this.kept = [];
  }
}
