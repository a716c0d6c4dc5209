/** One project in the page: which task and annotation are on the screen, how SAM2 is, and what the chip says of it. */

import { Trouble } from "./api.js";
import { Board } from "./board.js";
import { Choices } from "./choices.js";
import { Coverage } from "./coverage.js";
import { Drawing } from "./drawing.js";
import { FINISHED, canvasOf, imagesOf, isBrushTool, lacksLabel, openAnnotation, preferSmartTools } from "./editor.js";
import { Filters } from "./filters.js";
import { follow } from "./following.js";
import { hotkeysIn } from "./keys.js";
import { AS_IT_CAME, isAsItCame, lookOf } from "./looks.js";
import { Pictures } from "./pictures.js";
import { Sight } from "./sight.js";
import { coverageWords, lookWords, statusLine } from "./status.js";
import { Tools } from "./tools.js";
import { Twin } from "./twin.js";
import { Windowing } from "./windowing.js";

/** @import { Api } from "./api.js" */
/** @import { Chip } from "./chip.js" */
/** @import { Wish } from "./keys.js" */
/** @import { Look } from "./looks.js" */
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
    this.drawing = new Drawing(api, manager.projectId, this, page.localStorage);
    this.twin = new Twin(api, manager.projectId, this);
    this.tools = new Tools(this);
    this.pictures = new Pictures(texts);
    this.filters = new Filters(page.document);
    this.coverage = new Coverage();
    this.windowing = new Windowing(this);
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
    this.timer = setInterval(this.tick, TICK_MS);
  }

  close() {
    if (this.closed) return;
    this.closed = true;
    clearInterval(this.timer);
    this.drawing.stop();
    this.twin.stop();
    this.tools.stop();
    this.filters.clear();
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

  /** Whether a click means "not this". */
  get marksNegative() {
    return this.drawing.negative && this.store?.autoAnnotation === true;
  }

  /** Whether a task shows two images, and can be drawn on. */
  get isPair() {
    const { store } = this;
    return store !== null && openAnnotation(store) !== null && imagesOf(store).length === 2;
  }

  tick = () => this.#safely(this.#look);

  safely = (/** @type {() => void} */ work) => this.#safely(work);

  // -- how pictures are looked at

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

  /**
   * The image tag that an element belongs to, by its name; of null, one whose picture is on the screen.
   * @param {EventTarget | null} target
   */
  nameAt(target) {
    if (!this.store || (target !== null && !isCanvas(target))) return null;
    const shown = imagesOf(this.store).filter((one) => one.imageIsLoaded && one.stageRef);
    const isThere = (/** @type {ImageTag} */ one) =>
      target === null || one.stageRef?.content.contains(/** @type {Node} */ (target));
    return shown.find(isThere)?.name ?? null;
  }

  /**
   * @param {string} name of an image tag
   * @returns {Look}
   */
  look(name) {
    return lookOf(this.choices.read().looks[name]);
  }

  /**
   * @param {string} name
   * @param {Look} look
   */
  change(name, look) {
    this.choices.write({ looks: { ...this.choices.read().looks, [name]: look } });
    this.#safely(() => {
      this.#filter();
      this.#show();
    });
  }

  /** @param {Wish} wish */
  obey(wish) {
    this.#safely(() => {
      if (wish === "accept") this.tools.accept();
      else if (wish === "reject") this.#reject();
      else if (wish === "next") this.drawing.next();
      else if (wish === "twin") this.#takeOver();
      else if (wish === "negative") this.drawing.negative = !this.drawing.negative;
      else if (wish === "invert" || wish === "colour" || wish === "reset") this.windowing.obey(wish);
      else if (wish === "fill" || wish === "label" || wish === "task") this.board.obey(wish);
      else this.choices.write({ brushAsks: !this.choices.read().brushAsks });
      this.#show();
    });
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
      this.sight.drawn(region);
      queueMicrotask(this.#drawn); // the labels are put on right after this event
    });

  /** Label Studio saves when this says true, and not at all when it throws. */
  #beforeSave = async () => {
    try {
      await this.tools.finish();
      await this.drawing.finish();
    } catch (error) {
      this.#giveUp(error);
    }
    return true;
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
      this.twin.stop();
      this.tools.stop();
    }
    this.tools.look(annotation);
    if (annotation && store.autoAnnotation) {
      preferSmartTools(this.page);
      drawing.look();
    }
    this.#filter();
    this.#show();
  };

  /** Show each picture by its look: the editor may have made its canvas anew. */
  #filter() {
    for (const image of this.store ? imagesOf(this.store) : []) {
      const canvas = canvasOf(image);
      if (canvas) this.filters.show(canvas, this.look(image.name));
    }
  }

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
    const { store, texts, drawing } = this;
    this.#safely(() => {
      this.sight.look();
      this.board.look();
    });
    if (!store) return this.chip.hide();
    const { trouble, state, isUnknown } = this;
    const { isSuggested, foundNothing, negative, candidate, candidates } = drawing;
    const isBusy = drawing.isBusy || this.twin.isBusy || this.tools.isBusy;
    const { brushAsks } = this.choices.read();
    const { autoAnnotation } = store;
    const annotation = openAnnotation(store);
    const images = imagesOf(store);
    const shares = this.wantsCompleteMaps && annotation ? this.coverage.look(images, annotation.regions) : new Map();
    const changed = images.map((one) => this.look(one.name)).find((one) => !isAsItCame(one)) ?? AS_IT_CAME;
    this.chip.show(
      statusLine(
        {
          autoAnnotation,
          trouble,
          state,
          pictures: this.pictures.look(images),
          look: [...this.tools.hints, lookWords(changed, texts), ...this.board.hints].filter(Boolean).join(" · "),
          coverage: coverageWords(shares, texts),
          isUnknown,
          isBusy,
          isSuggested,
          foundNothing,
          candidate,
          candidates,
          negative,
          lacksLabel: annotation !== null && lacksLabel(this.page, annotation),
          brushAsks,
        },
        texts,
      ),
    );
  }
}

/**
 * Whether the project wants a label for every pixel (`complete_maps` in projects.yaml): an option of its backend.
 * @param {Backend | null} backend
 */
function wantsCompleteMaps(backend) {
  try {
    const given = backend?.extra_params;
    const options = typeof given === "string" ? JSON.parse(given) : given; // what was typed in the browser is a text
    return options?.complete_maps === true;
  } catch {
    return false;
  }
}

/** @param {EventTarget} target */
function isCanvas(target) {
  return /** @type {Element} */ (target).tagName === "CANVAS";
}
