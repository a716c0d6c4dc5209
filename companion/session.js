/** One project in the page: sees what is drawn, asks SAM2, and shows how that goes. */

import { Trouble } from "./api.js";
import { Asker } from "./asking.js";
import { Choices } from "./choices.js";
import {
  accept,
  FINISHED,
  isBrushTool,
  keepLabel,
  openAnnotation,
  preferSmartTools,
  reject,
  remove,
  stripGhosts,
} from "./editor.js";
import { follow } from "./following.js";
import { hotkeysIn } from "./keys.js";
import { currentSubject, promptsAmong, stateOf, subjectOf } from "./prompts.js";
import { statusLine } from "./status.js";

/** @import { Api } from "./api.js" */
/** @import { Chip } from "./chip.js" */
/** @import { Texts } from "./messages.js" */

const TICK_MS = 250;
const SUBMIT_PATIENCE_MS = 8_000;

export class Session {
  /**
   * @param {DataManager} manager
   * @param {Api} api
   * @param {Chip} chip
   * @param {Texts} texts
   * @param {Window} page
   */
  constructor(manager, api, chip, texts, page = window) {
    this.manager = manager;
    this.api = api;
    this.chip = chip;
    this.texts = texts;
    this.page = page;
    this.choices = new Choices(page.localStorage, manager.projectId);
    /** @type {Backend | null} */
    this.backend = null;
    /** @type {BackendState | null} */
    this.state = null;
    /** @type {Trouble | null} */
    this.trouble = null;
    this.isUnknown = true;
    this.foundNothing = false;
    this.negative = false;
    this.acceptNext = false;
    /** @type {number | null} */
    this.task = null;
    /** @type {Store | null} the one whose switches were set */
    this.prepared = null;
    /** @type {Annotation | null} */
    this.annotation = null;
    /** @type {Set<string>} */
    this.known = new Set();
    /** @type {string | null} */
    this.subject = null;
    /** @type {string | null} the prompts of the last tick, to see that nobody is still dragging one */
    this.lately = null;
    this.suggested = false;
    /** @type {string[]} hotkeys of the labels that stay selected for the next prompt */
    this.kept = [];
    this.asker = new Asker(api, manager.projectId);
    /** @type {Set<string>} */
    this.taken = new Set();
    this.closed = false;
  }

  start() {
    this.stock = [...this.manager.getEventCallbacks(FINISHED)];
    for (const one of this.stock) this.manager.off(FINISHED, one);
    this.manager.on(FINISHED, this.#drawn);
    this.manager.on("lsf:entityCreate", this.#created);
    this.manager.on("lsf:beforeSaveAnnotation", this.#beforeSave);
    this.timer = setInterval(() => this.tick(), TICK_MS);
  }

  close() {
    this.closed = true;
    clearInterval(this.timer);
    this.asker.stop();
    this.manager.off(FINISHED, this.#drawn);
    this.manager.off("lsf:entityCreate", this.#created);
    this.manager.off("lsf:beforeSaveAnnotation", this.#beforeSave);
    for (const one of this.stock ?? []) this.manager.on(FINISHED, one);
    this.chip.hide();
  }

  /** @returns {Store | null} */
  get store() {
    const store = this.manager.lsf?.lsf ?? null;
    return store?.task && !store.isLoading ? store : null;
  }

  get isBusy() {
    return this.asker.isBusy;
  }

  /** Whether Enter and Esc are ours now. */
  get isPending() {
    const annotation = this.annotation;
    if (!annotation || !this.store) return false;
    return this.isBusy || annotation.suggestions.size > 0 || promptsAmong(annotation.regions).length > 0;
  }

  /** Whether a click shall mean "not this". */
  get marksNegative() {
    return this.negative && this.store?.autoAnnotation === true;
  }

  tick() {
    const store = this.store;
    if (!store) return this.chip.hide();
    if (store !== this.prepared) this.#prepare(store);
    if (store.task?.id !== this.task) this.#open(store);
    this.#keepChoices(store);
    const annotation = openAnnotation(store);
    if (annotation !== this.annotation) this.#turnTo(annotation);
    if (annotation && store.autoAnnotation) {
      preferSmartTools(this.page);
      this.#notice(annotation);
      const now = promptsAmong(annotation.regions).map(stateOf).join("\n");
      if (now === this.lately) this.reconcile();
      this.lately = now;
    }
    this.#show();
  }

  /** Ask about what is drawn now, if it is not what was asked about last. */
  reconcile() {
    const { store, annotation } = this;
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
    this.#ask(store, annotation, ours);
  }

  /** Enter. */
  accept() {
    const { store, annotation } = this;
    if (!store || !annotation) return;
    if (this.isBusy) {
      this.acceptNext = true; // the annotator is quicker than the model
      return;
    }
    if (!annotation.suggestions.size) return;
    accept(store, annotation, promptsAmong(annotation.regions));
    this.#startAfresh();
    this.#show();
  }

  /** Esc. */
  reject() {
    const { annotation } = this;
    if (!annotation) return;
    this.#stopAsking();
    reject(annotation);
    this.trouble = null;
    this.#startAfresh();
    this.#show();
  }

  toggleNegative() {
    this.negative = !this.negative;
    this.#show();
  }

  toggleBrush() {
    this.choices.write({ brushAsks: !this.choices.read().brushAsks });
    this.#show();
  }

  #drawn = () => {
    this.reconcile();
    this.#show();
  };

  /** @param {Region} region */
  #created = (region) => {
    if (!this.store?.autoAnnotation) return;
    const isStroke = region.type === "brushregion" && !region.dynamic && isBrushTool(this.page, region);
    if (isStroke && this.choices.read().brushAsks) region.makeDynamic();
    // The labels are put on right after this event.
    setTimeout(() => this.#drawn());
  };

  /** A mask that is on the screen when somebody submits is meant; a point that is left over is not. */
  #beforeSave = async () => {
    const { store, annotation } = this;
    if (store?.autoAnnotation && annotation) {
      this.acceptNext = this.isBusy;
      await Promise.race([this.asker.done, new Promise((resolve) => setTimeout(resolve, SUBMIT_PATIENCE_MS))]);
      this.#stopAsking();
      accept(store, annotation, promptsAmong(annotation.regions));
      stripGhosts(annotation);
      this.#startAfresh();
    }
    return true;
  };

  /**
   * A store is new: give it this project's switches.
   * @param {Store} store
   */
  #prepare(store) {
    this.prepared = store;
    const choice = this.choices.read();
    store.setAutoAnnotation(choice.autoAnnotation);
    store.setAutoAcceptSuggestions(choice.autoAccept);
    this.taken = hotkeysIn(store.config);
  }

  /** @param {Store} store */
  #keepChoices(store) {
    const choice = this.choices.read();
    const { autoAnnotation, autoAcceptSuggestions: autoAccept } = store;
    if (choice.autoAnnotation !== autoAnnotation || choice.autoAccept !== autoAccept) {
      this.choices.write({ autoAnnotation, autoAccept });
    }
  }

  /** @param {Store} store */
  #open(store) {
    this.task = store.task?.id ?? null;
    this.state = null;
    this.isUnknown = true;
    this.trouble = null;
    if (this.task !== null) void this.#follow(this.task);
  }

  /**
   * Another annotation is on the screen: what was asked about the last one is over.
   * @param {Annotation | null} annotation
   */
  #turnTo(annotation) {
    this.#stopAsking();
    this.annotation = annotation;
    this.#startAfresh();
  }

  /** @param {number} task */
  async #follow(task) {
    const isOurs = () => this.task === task && !this.closed;
    try {
      await follow(
        this.api,
        this.manager.projectId,
        task,
        (backend) => (this.backend = backend),
        (state) => {
          if (!isOurs()) return false;
          this.state = state;
          this.isUnknown = false;
          this.#show();
          return true;
        },
      );
    } catch (error) {
      if (isOurs()) this.#fail(error, null);
    }
  }

  /**
   * What the editor's own buttons did: the check mark on the image leaves the prompts, and labels where none belong.
   * @param {Annotation} annotation
   */
  #notice(annotation) {
    const prompts = promptsAmong(annotation.regions);
    const isGone = this.suggested && !annotation.suggestions.size && !this.isBusy;
    if (isGone) {
      stripGhosts(annotation);
      remove(annotation, prompts.filter((one) => this.known.has(stateOf(one))));
      this.#startAfresh();
    }
    this.suggested = annotation.suggestions.size > 0;
  }

  /**
   * The last prompt was deleted: its mask goes too.
   * @param {Annotation} annotation
   */
  #forget(annotation) {
    this.#stopAsking();
    for (const id of [...annotation.suggestions.keys()]) annotation.rejectSuggestion(id);
    this.#startAfresh();
  }

  /**
   * Somebody went on to another label without accepting: the mask that stood there is not lost.
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
    this.trouble = null;
    this.foundNothing = false;
    this.acceptNext = false;
    const refused = (/** @type {unknown} */ error, /** @type {string} */ id) => this.#refused(annotation, error, id);
    this.asker.ask(store, this.backend, this.task ?? 0, prompts, this.#answered, refused);
    this.#show();
  }

  #answered = (/** @type {any[]} */ results) => {
    this.foundNothing = results.length === 0;
    this.suggested = (this.annotation?.suggestions.size ?? 0) > 0;
    if (this.state) this.state = { ...this.state, image: "ready" };
    if (this.acceptNext || this.store?.autoAcceptSuggestions) this.accept();
    this.acceptNext = false;
    this.#show();
  };

  /**
   * @param {Annotation} annotation
   * @param {unknown} error
   * @param {string} requestId
   */
  #refused(annotation, error, requestId) {
    this.acceptNext = false;
    if (this.annotation === annotation && this.store) reject(annotation);
    this.#startAfresh();
    this.#fail(error, requestId);
  }

  /**
   * @param {unknown} error
   * @param {string | null} requestId
   */
  #fail(error, requestId) {
    this.trouble = error instanceof Trouble ? error : new Trouble(String(error), requestId);
    if (!(error instanceof Trouble)) console.error("labelrig:", error);
    this.#show();
  }

  #stopAsking() {
    this.asker.stop();
    this.acceptNext = false;
  }

  #startAfresh() {
    this.known = new Set();
    this.subject = null;
    this.suggested = false;
    this.foundNothing = false;
    this.negative = false;
    this.kept = [];
  }

  #show() {
    const { store, texts } = this;
    if (this.closed || !store) return this.chip.hide();
    const isSuggested = (this.annotation?.suggestions.size ?? 0) > 0;
    const { autoAnnotation } = store;
    const { brushAsks } = this.choices.read();
    this.chip.show(statusLine({ ...this.view, autoAnnotation, isSuggested, brushAsks }, texts));
  }

  get view() {
    const { trouble, state, isUnknown, isBusy, foundNothing, negative } = this;
    return { trouble, state, isUnknown, isBusy, foundNothing, negative };
  }
}
