/** One project in the page: which task and annotation are on the screen, how SAM2 is, and what the chip says of it. */

import { Trouble } from "./api.js";
import { Board } from "./board.js";
import { Choices } from "./choices.js";
import { Coverage } from "./coverage.js";
import { Drawing } from "./drawing.js";
import { FINISHED, brushesOf, imagesOf, isBrushTool, lacksLabel, openAnnotation, preferSmartTools } from "./editor.js";
import { follow, wantsCompleteMaps } from "./following.js";
import { step } from "./history.js";
import { mendIcons } from "./icons.js";
import { Keyboard } from "./keyboard.js";
import { hotkeysIn } from "./keys.js";
import { Pictures } from "./pictures.js";
import { Relabelled } from "./relabelled.js";
import { Saving } from "./saving.js";
import { Sight } from "./sight.js";
import { situationOf } from "./situation.js";
import { statusLine } from "./status.js";
import { Tools } from "./tools.js";
import { Twin } from "./twin.js";
import { Viewing } from "./viewing.js";

/** @import { Api } from "./api.js" */
/** @import { Chip } from "./chip.js" */
/** @import { Wish } from "./keys.js" */
/** @import { Texts } from "./messages.js" */

const TICK_MS = 250;

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
    this.drawing = new Drawing(api, manager.projectId, this);
    this.saving = new Saving(manager, this);
    this.keyboard = new Keyboard(/** @type {any} */ (page.navigator));
    this.relabelled = new Relabelled();
    this.twin = new Twin(api, manager.projectId, this);
    this.tools = new Tools(this);
    this.pictures = new Pictures(texts);
    this.coverage = new Coverage();
    this.viewing = new Viewing(this, page.document, () =>
      this.#safely(() => {
        this.viewing.show();
        this.#show();
      }),
    );
    this.sight = new Sight(this);
    this.board = new Board(this);
    /** @type {Backend | null} */
    this.backend = null;
    this.wantsCompleteMaps = false;
    /** @type {BackendState | null} */
    this.state = null;
    /** @type {Trouble | null} */
    this.trouble = null;
    this.isUnknown = true;
    this.watches = 0;
    /** @type {number | null} */
    this.task = null;
    /** @type {Store | null} the one whose switches were set */
    this.prepared = null;
    /** @type {Set<string>} */
    this.taken = new Set();
    /** @type {((...given: any[]) => unknown)[]} Label Studio's own listeners to drawings, while ours is in their place */
    this.stock = [];
    this.closed = false;
  }

  start() {
    this.stock = [...this.manager.getEventCallbacks(FINISHED)];
    for (const one of this.stock) this.manager.off(FINISHED, one);
    this.manager.on(FINISHED, this.#drawn);
    this.manager.on("lsf:entityCreate", this.#created);
    this.manager.on("lsf:beforeSaveAnnotation", this.#beforeSave);
    this.saving.start();
    this.unmend = mendIcons(/** @type {any} */ (this.page));
    void this.keyboard.read();
    this.timer = setInterval(this.tick, TICK_MS);
  }

  close() {
    if (this.closed) return;
    this.closed = true;
    clearInterval(this.timer);
    this.drawing.stop();
    this.twin.stop();
    this.tools.stop();
    this.saving.close();
    this.unmend?.();
    this.viewing.clear();
    this.sight.close();
    this.board.close();
    this.manager.off(FINISHED, this.#drawn);
    this.manager.off("lsf:entityCreate", this.#created);
    this.manager.off("lsf:beforeSaveAnnotation", this.#beforeSave);
    for (const one of this.stock) this.manager.on(FINISHED, one);
    this.chip.hide();
  }

  /** @returns {Store | null} */
  get store() {
    const store = this.manager.lsf?.lsf ?? null;
    return !this.closed && store?.task && !store.isLoading ? store : null;
  }

  get windowing() {
    return this.viewing.windowing;
  }

  /** Whether a click means "not this". */
  get marksNegative() {
    this.#safely(() => this.drawing.endNegative());
    return this.drawing.negative && this.store?.autoAnnotation === true;
  }

  /** Whether what is drawn now would be of no label, though the project has labels. */
  get lacksLabel() {
    const annotation = this.store && openAnnotation(this.store);
    return annotation !== null && lacksLabel(this.page, annotation);
  }

  /** Whether something would be lost with the page: what is not saved, and what waits to be accepted. */
  get isUnsaved() {
    return !this.closed && (this.saving.isUnsaved || this.drawing.isPending);
  }

  /** Whether a task shows two images, and can be drawn on. */
  get isPair() {
    const { store } = this;
    return store !== null && openAnnotation(store) !== null && imagesOf(store).length === 2;
  }

  tick = () => this.#safely(this.#look);

  safely = (/** @type {() => void} */ work) => this.#safely(work);

  /**
   * Whether a move or a button of the mouse is about how a picture is looked at, a sign on it, or a proposal.
   * @param {MouseEvent} event
   */
  pointed(event) {
    let isOurs = false;
    this.#safely(() => {
      isOurs = this.windowing.moved(event) || this.sight.moved(event) || this.tools.moved(event);
    });
    return isOurs;
  }

  // -- what is saved

  /** @param {string} id of a region */
  isPrompt(id) {
    return this.drawing.prompts.has(id);
  }

  /** @param {Annotation} annotation */
  waiting(annotation) {
    return this.drawing.waiting(annotation);
  }

  /** The annotator goes elsewhere in the page: what Label Studio lacks is on its way before it is asked. */
  leave() {
    this.#safely(() => void this.saving.save());
  }

  // -- what keys ask for

  /** @param {Wish} wish */
  obey(wish) {
    this.#safely(() => {
      if (wish === "accept") this.tools.accept();
      else if (wish === "reject") this.#reject();
      else if (wish === "next") this.drawing.next();
      else if (wish === "twin") this.#takeOver();
      else if (wish === "negative") this.drawing.turnNegative();
      else if (wish === "undo" || wish === "redo") this.#step(wish);
      else if (wish === "thinner" || wish === "thicker") for (const one of brushesOf(this.page)) one[wish]();
      else if (wish === "invert" || wish === "colour" || wish === "reset") this.windowing.obey(wish);
      else if (wish === "fill" || wish === "label" || wish === "task") this.board.obey(wish);
      else this.choices.write({ brushAsks: !this.choices.read().brushAsks });
      this.#show();
    });
  }

  /** @param {"undo" | "redo"} way */
  #step(way) {
    const annotation = this.store && openAnnotation(this.store);
    if (!annotation || this.drawing.turn(way)) return;
    step(annotation, way);
    this.#look();
  }

  /** The mask on the other image of its pair; one that still waits is accepted first. */
  #takeOver() {
    const annotation = this.store && openAnnotation(this.store);
    if (!annotation || this.drawing.isBusy) return;
    if (this.drawing.isSuggested) this.drawing.accept();
    void this.twin.take(annotation);
  }

  // -- what the drawing asks and tells

  /** Whether the label of a mask that is accepted is picked for the next object. */
  get keepsLabel() {
    return this.choices.read().keepsLabel;
  }

  /**
   * @param {PromptEntry[]} entries
   * @returns {PromptEntry[]}
   */
  aimed(entries) {
    return this.sight.hover.aimed(entries);
  }

  asked() {
    this.trouble = null;
    this.#show();
  }

  answered() {
    if (this.state) this.state = { ...this.state, image: "ready" };
    this.#show();
  }

  /**
   * @param {unknown} error
   * @param {string} requestId
   */
  refused(error, requestId) {
    this.backend = null; // it may have been connected anew
    this.#fail(error, requestId);
    if (this.trouble?.requestId === null && this.task !== null) void this.#follow(this.task);
  }

  // -- what the page tells

  #drawn = () =>
    this.#safely(() => {
      this.drawing.reconcile();
      this.#show();
    });

  /** @param {Region} region */
  #created = (region) =>
    this.#safely(() => {
      if (!this.store?.autoAnnotation) return;
      const isStroke = region.type === "brushregion" && !region.dynamic && isBrushTool(this.page, region);
      if (isStroke && this.choices.read().brushAsks) region.makeDynamic();
      this.drawing.note(region);
      this.sight.drawn(region);
      queueMicrotask(this.#drawn); // the labels are put on right after this event
    });

  /** Label Studio saves when this says true, and not at all when it throws. */
  #beforeSave = async () => {
    try {
      await this.tools.finish();
      if (this.drawing.lacksMaskLabel()) {
        this.#show();
        return false;
      }
      await this.drawing.finish();
    } catch (error) {
      this.#giveUp(error);
      return true;
    }
    await this.saving.hold(); // a draft that is saved from now on would stay beside what is submitted
    try {
      await this.api.reach();
      return true;
    } catch (error) {
      this.saving.resume();
      this.#fail(error, null);
      if (this.task !== null) void this.#follow(this.task); // which finds when it is over
      return false;
    }
  };

  #look = () => {
    const { store, drawing } = this;
    if (!store) return this.chip.hide();
    if (store !== this.prepared) this.#prepare(store);
    if (store.task?.id !== this.task) this.#open(store);
    this.choices.follow(store);
    const annotation = openAnnotation(store);
    if (annotation !== drawing.annotation) {
      drawing.turnTo(annotation);
      this.saving.turnTo(annotation);
      this.twin.stop();
      this.tools.stop();
    }
    this.tools.look(annotation);
    if (annotation && store.autoAnnotation) {
      preferSmartTools(this.page);
      drawing.look();
    }
    this.saving.look(!drawing.isPending);
    this.viewing.show();
    this.#show();
  };

  /**
   * A store is new: give it this project's switches.
   * @param {Store} store
   */
  #prepare(store) {
    this.prepared = store;
    this.choices.give(store);
    this.taken = hotkeysIn(store.config, this.page.APP_SETTINGS?.editor_keymap);
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
   * One watch at a time: a newer one ends the older.
   * @param {number} task
   */
  async #follow(task) {
    const number = (this.watches += 1);
    await follow(this.api, this.manager.projectId, task, {
      isWanted: () => this.watches === number && !this.closed,
      found: (backend) => {
        this.backend = backend;
        this.wantsCompleteMaps = wantsCompleteMaps(backend);
      },
      told: (state) => {
        this.state = state;
        this.isUnknown = false;
        // What was wrong with the backend is over; what was wrong with a click is still to be read.
        if (this.trouble?.requestId === null) this.trouble = null;
        this.#show();
      },
      failed: (error) => this.#fail(error, null),
    });
  }

  #reject() {
    this.drawing.reject();
    this.trouble = null;
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

  /**
   * An error of ours must not cost anybody their work: then the page is Label Studio's alone again.
   * @param {() => void} work
   */
  #safely(work) {
    if (this.closed) return;
    try {
      work();
    } catch (error) {
      this.#giveUp(error);
    }
  }

  /** @param {unknown} error */
  #giveUp(error) {
    console.error("labelrig: the companion stops until the page is loaded again:", error);
    this.close();
  }

  #show() {
    const { store } = this;
    this.#safely(() => {
      this.sight.look();
      this.board.look();
    });
    if (!store || store.annotationStore.viewingAll) return this.chip.hide();
    this.chip.show(statusLine(situationOf(this, store), this.texts));
  }
}
