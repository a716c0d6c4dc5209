/** One project in the page: which task and annotation are on the screen, how SAM2 is, and what the chip says of it. */

import { Board } from "./board.js";
import { Choices } from "./choices.js";
import { Coverage } from "./coverage.js";
import { Drawing } from "./drawing.js";
import { openAnnotation } from "./editor.js";
import { mendIcons } from "./icons.js";
import { Keyboard } from "./keyboard.js";
import { hotkeysIn } from "./keys.js";
import { Listening } from "./listening.js";
import { obey } from "./obeying.js";
import { lacksLabel, preferSmartTools } from "./picked.js";
import { Pictures } from "./pictures.js";
import { Relabelled } from "./relabelled.js";
import { Saving } from "./saving.js";
import { Sight } from "./sight.js";
import { situationOf } from "./situation.js";
import { statusLine } from "./status.js";
import { Tools } from "./tools.js";
import { Twin } from "./twin.js";
import { Viewing } from "./viewing.js";
import { Watch } from "./watch.js";

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
    this.watch = new Watch(api, manager.projectId, () => this.show());
    this.drawing = new Drawing(api, manager.projectId, this);
    this.saving = new Saving(manager, this);
    this.keyboard = new Keyboard(/** @type {any} */ (page.navigator));
    this.relabelled = new Relabelled();
    this.twin = new Twin(api, manager.projectId, this);
    this.tools = /** @type {Tools} */ (new Tools(this));
    this.pictures = new Pictures(texts);
    this.coverage = new Coverage();
    this.viewing = new Viewing(this, page.document, () => this.safely(this.#looked));
    this.sight = /** @type {Sight} */ (new Sight(this)); // types of both would lead to each other
    this.board = new Board(this);
    this.listening = new Listening(this);
    /** @type {Store | null} the one whose switches were set */
    this.prepared = null;
    /** @type {Set<string>} */
    this.taken = new Set();
    this.closed = false;
  }

  start() {
    this.listening.start();
    this.saving.start();
    this.unmend = mendIcons(/** @type {any} */ (this.page));
    void this.keyboard.read();
    this.timer = setInterval(this.tick, TICK_MS);
  }

  close() {
    if (this.closed) return;
    this.closed = true;
    clearInterval(this.timer);
    this.watch.close();
    this.drawing.stop();
    this.twin.stop();
    this.tools.close();
    this.saving.close();
    this.unmend?.();
    this.viewing.clear();
    this.sight.close();
    this.board.close();
    this.listening.close();
    this.chip.hide();
  }

  /** @returns {Store | null} */
  get store() {
    const store = this.manager.lsf?.lsf ?? null;
    return !this.closed && store?.task && !store.isLoading ? store : null;
  }

  get task() {
    return this.watch.task;
  }

  get backend() {
    return this.watch.backend;
  }

  get windowing() {
    return this.viewing.windowing;
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

  tick = () => this.safely(this.look);

  /**
   * Whether a move or a button of the mouse is about how a picture is looked at, a sign on it, or a proposal.
   * @param {MouseEvent} event
   */
  pointed(event) {
    let isOurs = false;
    this.safely(() => {
      isOurs = this.windowing.moved(event) || this.sight.moved(event) || this.tools.moved(event);
    });
    return isOurs;
  }

  /** @param {string} id of a region */
  isPrompt(id) {
    return this.drawing.pending.ids.has(id);
  }

  /** @param {Annotation} annotation */
  waiting(annotation) {
    return this.drawing.pending.waiting(annotation);
  }

  /** The annotator goes elsewhere in the page: what Label Studio lacks is on its way before it is asked. */
  leave() {
    this.safely(() => void this.saving.save());
  }

  /** @param {Wish} wish */
  obey(wish) {
    this.safely(() => {
      obey(this, wish);
      this.show();
    });
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
    this.watch.trouble = null;
    this.show();
  }

  answered() {
    this.watch.answered();
    this.show();
  }

  /**
   * @param {unknown} error
   * @param {string} requestId
   */
  refused(error, requestId) {
    this.watch.refused(error, requestId);
  }

  look = () => {
    const { store, drawing } = this;
    if (!store) return this.chip.hide();
    if (store !== this.prepared) {
      this.prepared = store;
      this.choices.give(store);
      this.taken = hotkeysIn(store.config, this.page.APP_SETTINGS?.editor_keymap);
    }
    if (store.task?.id !== this.task) this.watch.open(store.task?.id ?? null);
    this.choices.follow(store);
    const annotation = openAnnotation(store);
    if (annotation !== drawing.annotation) {
      drawing.turnTo(annotation);
      this.saving.turnTo(annotation);
      this.twin.stop();
      this.tools.turn();
    }
    this.tools.look(annotation);
    if (annotation && store.autoAnnotation) {
      preferSmartTools(this.page);
      drawing.look();
    }
    this.saving.look(!drawing.isPending);
    this.#looked();
  };

  #looked = () => {
    this.viewing.show();
    this.show();
  };

  /**
   * An error of ours must not cost anybody their work: then the page is Label Studio's alone again.
   * @param {() => void} work
   */
  safely = (work) => {
    if (this.closed) return;
    try {
      work();
    } catch (error) {
      this.giveUp(error);
    }
  };

  /** @param {unknown} error */
  giveUp(error) {
    console.error("labelrig: the companion stops until the page is loaded again:", error);
    this.close();
  }

  show() {
    const { store } = this;
    this.safely(() => {
      this.sight.look();
      this.board.look();
    });
    if (!store || store.annotationStore.viewingAll) return this.chip.hide();
    this.chip.show(statusLine(situationOf(this, store), this.texts));
  }
}
