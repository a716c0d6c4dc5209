/** What is drawn in one annotation and not accepted yet: asks SAM2 about it, and keeps or takes back what came. */

import { Asker } from "./asking.js";
import { Candidates } from "./candidates.js";
import {
  accept, giveLabels, holdDrawing, isPicked, keepLabel, pickedLabels, reject, stripGhosts, tidy,
} from "./editor.js";
import { lastState } from "./history.js";
import { currentSubject, promptsAmong, promptsOfDrafts, stateOf, subjectOf } from "./prompts.js";

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
    this.negative = false;
    /** The labels that were picked when points began to say "not this". */
    this.negativeFor = "";
    this.foundNothing = false;
    this.acceptNext = false;
    /** Whether Enter was pressed for a mask that has no label. */
    this.wantsLabel = false;
    this.candidates = new Candidates();
    /** @type {Set<string>} the ids of all that was drawn here to ask SAM2 with */
    this.prompts = new Set();
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
    return !this.isBusy && this.candidates.of > 1;
  }

  /** Whether there is something to accept or take back. */
  get isPending() {
    if (!this.annotation || !this.around.store) return false;
    return this.isBusy || this.isSuggested || promptsAmong(this.annotation.regions).length > 0;
  }

  /** Whether what is asked about is in a box. */
  get hasBox() {
    return this.#ours().some((one) => one.type === "rectangleregion");
  }

  /** Whether a mask waits, or will, that would be of no label. */
  get isUnlabelled() {
    const ours = this.#ours();
    return ours.length > 0 && this.around.lacksLabel && !ours.some((one) => one.labelName);
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
    this.candidates.forget();
    this.#startAfresh();
  }

  /** @param {Region} region that was just drawn, or came again */
  note(region) {
    if (promptsAmong([region]).length) this.prompts.add(region.cleanId);
  }

  /** Look at all of it, four times a second: whatever changed a prompt (undo, a drag, the editor's own buttons). */
  look() {
    const { annotation } = this;
    if (!annotation) return;
    tidy(annotation, promptsOfDrafts(annotation.regions));
    this.#notice(annotation);
    const prompts = promptsAmong(annotation.regions);
    for (const one of prompts) this.note(one);
    const picked = pickedLabels(annotation);
    this.endNegative();
    const ours = this.#ours();
    if (ours.length && picked && !ours.some((one) => one.labelName)) {
      giveLabels(annotation, ours);
      this.reconcile(); // at once: Enter, pressed right after, is about them under their label
    }
    const now = promptsAmong(annotation.regions).map(stateOf).join("\n");
    if (now === this.lately) this.reconcile();
    this.lately = now;
  }

  /** N. */
  turnNegative() {
    this.negative = !this.negative;
    this.negativeFor = this.annotation ? pickedLabels(this.annotation) : "";
  }

  /** "Not this" ends with its object: with another label, also where that was picked a moment ago. */
  endNegative() {
    const picked = this.annotation ? pickedLabels(this.annotation) : "";
    if (this.negative && picked && picked !== this.negativeFor) this.negative = false;
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
    if (subject !== this.subject && this.isBusy && this.#ours().length) {
      this.acceptNext = true; // quicker than the model: the object before is kept all the same
      this.kept = keepLabel(ours[ours.length - 1]);
      return;
    }
    this.known = states;
    if (subject !== this.subject) this.#leave(store, annotation, prompts);
    this.subject = subject;
    this.kept = keepLabel(ours[ours.length - 1]);
    this.candidates.about(ours.map(stateOf));
    this.#ask(store, annotation, ours);
  }

  /** The model's next mask: a lone point may mean a part or the whole. */
  next() {
    const { annotation } = this;
    const ours = this.#ours();
    if (!annotation || !this.offersMore || ours.length !== 1) return;
    this.candidates.next(stateOf(ours[0]), lastState(annotation));
    this.#askAgain();
  }

  /** Whether there was another mask to go back to, or on to. */
  turn(/** @type {"undo" | "redo"} */ way) {
    const { annotation } = this;
    if (!annotation || this.#ours().length !== 1) return false;
    const isTurned = this.candidates[way]();
    if (isTurned) this.#askAgain();
    return isTurned || (way === "redo" && this.candidates.endsRedo(lastState(annotation)));
  }

  #askAgain() {
    const { annotation } = this;
    const { store } = this.around;
    if (store && annotation) this.#ask(store, annotation, this.#ours());
  }

  /** Enter. */
  accept() {
    this.#take(false);
  }

  /** Whether a mask cannot be accepted because it has no label; from then on it says so. */
  lacksMaskLabel() {
    this.wantsLabel = this.isUnlabelled;
    return this.wantsLabel;
  }

  /** @param {boolean} joins whether it belongs to what was done last */
  #take(joins) {
    const { annotation } = this;
    const { store } = this.around;
    if (!store || !annotation) return;
    if (this.lacksMaskLabel()) return;
    if (this.isBusy) {
      this.acceptNext = true; // the annotator is quicker than the model
      return;
    }
    if (!annotation.suggestions.size) return;
    const kept = accept(store, annotation, this.#ours(), joins, this.around.keepsLabel);
    this.#startAfresh();
    this.kept = kept;
  }

  /** The prompts that are asked about. */
  #ours() {
    const prompts = this.annotation && this.around.store ? promptsAmong(this.annotation.regions) : [];
    return this.subject === null ? prompts : prompts.filter((one) => subjectOf(one) === this.subject);
  }

  /** Esc. */
  reject() {
    this.stop();
    if (this.annotation && this.around.store) reject(this.annotation, promptsAmong(this.annotation.regions));
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
      tidy(annotation, promptsAmong(annotation.regions).filter((one) => this.known.has(stateOf(one))));
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
    const hasLabel = !this.around.lacksLabel || left.some((one) => one.labelName);
    if (annotation.suggestions.size && left.length && hasLabel) {
      accept(store, annotation, left, true);
    } else {
      tidy(annotation, left);
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
    this.asker.ask(store, backend, task ?? 0, prompts, this.candidates.number, this.#answered, (error, requestId) => {
      this.release();
      this.acceptNext = false;
      if (this.annotation === annotation && this.around.store) reject(annotation, this.#ours(), true);
      this.#startAfresh();
      this.around.refused(error, requestId);
    });
    this.around.asked();
  }

  #answered = (/** @type {Answer} */ { results, candidates }) => {
    this.release();
    this.foundNothing = results.length === 0;
    this.candidates.of = candidates;
    this.suggested = this.isSuggested;
    // With the next object's prompt on the screen, it is that which accepts: one thing that was done, not two.
    const isLeft = this.annotation !== null && this.#ours().length < promptsAmong(this.annotation.regions).length;
    if (this.acceptNext || this.around.store?.autoAcceptSuggestions) this.#take(isLeft);
    this.acceptNext = false;
    if (isLeft) this.reconcile();
    this.around.answered();
  };

  #startAfresh() {
    this.candidates.reset();
    this.wantsLabel = false;
    this.known = new Set();
    this.subject = null;
    this.suggested = false;
    this.foundNothing = false;
    this.negative = false;
    this.kept = [];
  }
}
