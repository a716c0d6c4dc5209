/** One project in the page: sees what is drawn, asks SAM2, and shows how that goes. */

import { Trouble } from "./api.js";
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
import { hotkeysIn } from "./keys.js";
import { nameOf } from "./messages.js";
import { currentSubject, entriesOf, promptsAmong, stateOf, subjectOf, underNewIds } from "./prompts.js";

/** @import { Api } from "./api.js" */
/** @import { Chip } from "./chip.js" */
/** @import { Texts } from "./messages.js" */

const TICK_MS = 250;
const STATE_MS = 700; // between two questions while the image is encoded
const STATE_PATIENCE = 200; // questions
const SUBMIT_PATIENCE_MS = 8_000;

/** @typedef {{ control: AbortController, done: Promise<void>, requestId: string }} Asking */

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
    /** @type {Asking | null} */
    this.asking = null;
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
    this.asking?.control.abort();
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
    return this.asking !== null;
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
      await Promise.race([this.asking?.done, new Promise((resolve) => setTimeout(resolve, SUBMIT_PATIENCE_MS))]);
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

  /**
   * Look after the backend and the task's image until it is encoded.
   * @param {number} task
   */
  async #follow(task) {
    try {
      this.backend = await this.api.backend(this.manager.projectId);
      const trouble = this.backend && this.api.troubleOf(this.backend);
      if (trouble) throw trouble;
      for (let asked = 0; this.backend && asked < STATE_PATIENCE && !this.closed && this.task === task; asked += 1) {
        const state = await this.api.state(this.backend, task);
        if (this.task !== task) return;
        this.state = state;
        this.isUnknown = false;
        if (state?.backend === "failed" || state?.image === "failed") throw new Trouble(state.reason ?? "");
        this.#show();
        if (state === null || state.image === "ready") return;
        await new Promise((resolve) => setTimeout(resolve, STATE_MS));
      }
    } catch (error) {
      if (this.task === task) this.#fail(error, null);
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
    this.#stopAsking();
    this.trouble = null;
    this.foundNothing = false;
    const control = new AbortController();
    const requestId = crypto.getRandomValues(new Uint32Array(1))[0].toString(16).padStart(8, "0");
    const answer = this.#masks(entriesOf(prompts), requestId, control.signal);
    const shown = store.loadSuggestions(answer, (results) => underNewIds(results, prompts, newId));
    const done = Promise.all([answer, shown])
      .then(([results]) => this.#answered(requestId, results))
      .catch((error) => this.#refused(requestId, error, annotation));
    this.asking = { control, done, requestId };
    this.#show();
  }

  /**
   * @param {PromptEntry[]} entries
   * @param {string} requestId
   * @param {AbortSignal} signal
   */
  async #masks(entries, requestId, signal) {
    const project = this.manager.projectId;
    this.backend ??= await this.api.backend(project);
    if (this.backend === null || this.task === null) return [];
    return this.api.masks(project, this.backend, this.task, entries, requestId, signal);
  }

  /**
   * @param {string} requestId
   * @param {any[]} results
   */
  #answered(requestId, results) {
    if (this.asking?.requestId !== requestId) return;
    this.asking = null;
    this.foundNothing = results.length === 0;
    this.suggested = (this.annotation?.suggestions.size ?? 0) > 0;
    if (this.state) this.state = { ...this.state, image: "ready" };
    if (this.acceptNext || this.store?.autoAcceptSuggestions) this.accept();
    this.acceptNext = false;
    this.#show();
  }

  /**
   * @param {string} requestId
   * @param {unknown} error
   * @param {Annotation} annotation
   */
  #refused(requestId, error, annotation) {
    if (this.asking?.requestId !== requestId) return;
    this.asking = null;
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
    this.asking?.control.abort();
    this.asking = null;
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
    const extra = this.negative ? texts.negative : this.choices.read().brushAsks ? "" : texts.byHand;
    const name = nameOf(this.state, texts);
    if (this.trouble) {
      const id = this.trouble.requestId;
      return this.chip.show("error", this.trouble.message, id ? texts.request(id) : "");
    }
    if (!store.autoAnnotation) return this.chip.show("quiet", texts.off);
    if (this.isBusy) return this.chip.show("busy", texts.thinking(name), extra);
    if (this.annotation?.suggestions.size) return this.chip.show("ready", texts.pending(name), extra);
    if (this.foundNothing) return this.chip.show("quiet", texts.nothing(name), extra);
    if (this.isUnknown) return this.chip.show("quiet", texts.starting, extra);
    if (this.state?.backend === "loading") return this.chip.show("busy", texts.loading(this.state.model ?? ""), extra);
    if (this.state?.image === "encoding") return this.chip.show("busy", texts.encoding(name), extra);
    return this.chip.show("ready", texts.ready(name), extra);
  }
}

function newId() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((one) => one.toString(16).padStart(2, "0")).join("");
}
