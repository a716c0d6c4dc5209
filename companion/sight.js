/** What is seen on the pictures besides the editor's own: outlines, prompts as signs, and the mask before the click. */

import { NO_LABEL, classesOf, drawnAmong } from "./classes.js";
import { hasSmartPoint, imagesOf, isLabelPicked, openAnnotation, remove } from "./editor.js";
import { Fills } from "./fills.js";
import { Hover } from "./hover.js";
import { markAt, markOf } from "./marks.js";
import { Outliner } from "./outliner.js";
import { contains } from "./outlines.js";
import { Overlay, inverse, moved, percentOf } from "./overlay.js";
import { paint } from "./painting.js";
import { promptsAmong } from "./prompts.js";

/** @import { Api } from "./api.js" */
/** @import { Choice } from "./choices.js" */
/** @import { Drawing } from "./drawing.js" */
/** @import { Place } from "./hover.js" */
/** @import { Mark } from "./marks.js" */
/** @import { View } from "./overlay.js" */
/** @import { Scene } from "./painting.js" */

const OUTLINED = /^(brush|bitmask)region$/;
const CLICK_PIXELS = 4; // what moves farther with the button down is no click

/**
 * @typedef {object} Desk what the session knows, and does
 * @property {Api} api
 * @property {Window} page
 * @property {Store | null} store
 * @property {Backend | null} backend
 * @property {BackendState | null} state
 * @property {number | null} task
 * @property {Drawing} drawing
 * @property {{ read(): Choice }} choices
 * @property {() => void} tick look at everything now
 * @property {(work: () => void) => void} safely
 */

/** @typedef {{ overlay: Overlay, scene: Scene, key: string }} Layer */

export class Sight {
  /** @param {Desk} desk */
  constructor(desk) {
    this.desk = desk;
    this.outliner = new Outliner(() => desk.safely(() => this.look()));
    this.fills = new Fills();
    const sight = this;
    this.hover = new Hover(desk.api, {
      get backend() {
        return desk.backend;
      },
      get task() {
        return desk.task;
      },
      get isAwaited() {
        return desk.drawing.isBusy;
      },
      isWanted: (place) => sight.#isPreviewed(place),
      changed: () => desk.safely(() => sight.look()),
      safely: desk.safely,
    });
    /** @type {Map<string, Layer>} by image tag */
    this.layers = new Map();
    /** @type {Set<string>} classes that are not shown, of this annotation */
    this.hidden = new Set();
    /** @type {Annotation | null} */
    this.annotation = null;
    /** @type {{ mark: Mark, press: MouseEvent } | null} a button that went down on a sign */
    this.pressed = null;
    this.isReplaying = false;
  }

  close() {
    this.hover.stop();
    this.fills.clear();
    for (const { overlay } of this.layers.values()) overlay.remove();
    this.layers.clear();
  }

  /** Show how things are now; costs little where nothing has changed. */
  look() {
    const { store } = this.desk;
    const annotation = store?.annotationStore.viewingAll ? null : store?.annotationStore.selected ?? null;
    if (annotation !== this.annotation) {
      this.annotation = annotation;
      this.hidden.clear();
      this.hover.stop();
    }
    const images = store && annotation ? imagesOf(store).filter((one) => one.imageIsLoaded && one.stageRef) : [];
    for (const [name, { overlay }] of this.layers) {
      if (images.some((one) => one.name === name && one === overlay.image && one.stageRef === overlay.stage)) continue;
      overlay.remove();
      this.layers.delete(name);
    }
    if (!store || !annotation) return;
    this.hover.look();
    const regions = [...annotation.regions];
    const suggestions = [...annotation.suggestions.values()];
    const all = [...regions, ...suggestions];
    this.outliner.keep(new Set(all.map((one) => one.id)));
    this.fills.show(all, this.desk.choices.read().fill, (one) => this.#isShown(one));
    for (const image of images) this.#lay(image, this.#scene(store, image, regions, suggestions));
  }

  /** How many regions there are; null while no task is open. */
  get count() {
    return this.annotation && drawnAmong([...this.annotation.regions]).length;
  }

  /** The classes of the task, with their counts; empty while none is open. */
  classes() {
    const { annotation } = this;
    return annotation ? classesOf(annotation.names.values(), [...annotation.regions]) : [];
  }

  /**
   * Show or hide the regions of a class.
   * @param {string} name
   */
  toggle(name) {
    if (!this.hidden.delete(name)) this.hidden.add(name);
    this.look();
  }

  /**
   * A point, box or stroke was drawn.
   * @param {Region} region
   */
  drawn(region) {
    if (region.dynamic) this.hover.drawn(region);
  }

  /**
   * Whether a move or a button of the mouse is about a sign; the editor then sees nothing of it.
   * @param {MouseEvent} event
   */
  moved(event) {
    if (this.isReplaying) return false;
    if (event.type === "pointerdown") return this.#press(event);
    if (event.type === "pointermove") this.#move(event);
    if (!this.pressed) return false;
    if (event.type === "pointerup") {
      this.#remove(this.pressed.mark);
      setTimeout(() => (this.pressed = null)); // after the click that follows
    }
    return true;
  }

  /** @param {MouseEvent} event */
  #press(event) {
    const isPlain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.altKey && !event.shiftKey;
    const mark = isPlain ? this.#markAt(event) : null;
    this.pressed = mark && { mark, press: event };
    return mark !== null;
  }

  /**
   * What begins on a sign and moves on is the editor's: a box, a stroke, a point that is dragged.
   * @param {MouseEvent} event
   */
  #move(event) {
    const { pressed } = this;
    if (!pressed) return this.hover.moved(event.buttons ? null : this.#place(event));
    const { press } = pressed;
    if (Math.hypot(event.clientX - press.clientX, event.clientY - press.clientY) <= CLICK_PIXELS) return;
    this.pressed = null;
    this.isReplaying = true;
    try {
      for (const Kind of /** @type {const} */ ([PointerEvent, MouseEvent])) {
        const type = Kind === PointerEvent ? "pointerdown" : "mousedown";
        press.target?.dispatchEvent(new Kind(type, { ...initOf(press), pointerId: 1 }));
      }
    } finally {
      this.isReplaying = false;
    }
  }

  /** @param {Mark} mark */
  #remove({ region }) {
    if (!this.annotation || !promptsAmong(this.annotation.regions).includes(region)) return;
    remove(this.annotation, [region]);
    this.desk.tick();
  }

  /** @param {MouseEvent} event */
  #markAt(event) {
    const at = this.#at(event);
    const marks = at ? this.layers.get(at.image.name)?.scene.marks ?? [] : [];
    return at && markAt(marks, percentOf(at.view, at.image), at.x, at.y);
  }

  /**
   * Where on a picture the mouse is.
   * @param {MouseEvent} event
   * @returns {Place | null}
   */
  #place(event) {
    const at = this.#at(event);
    if (!at) return null;
    const percent = percentOf(at.view, at.image);
    const [x, y] = moved(inverse(percent), at.x, at.y);
    const isOn = x >= 0 && y >= 0 && x <= 100 && y <= 100;
    const [a, b, c, d] = percent;
    return isOn ? { image: at.image, x, y, across: Math.hypot(a, b), down: Math.hypot(c, d) } : null;
  }

  /** @param {MouseEvent} event */
  #at(event) {
    const target = /** @type {Element | null} */ (event.target);
    if (target?.tagName !== "CANVAS") return null;
    for (const { overlay } of this.layers.values()) {
      const view = overlay.stage.content.contains(target) ? overlay.view() : null;
      if (view === null) continue;
      const { left, top } = overlay.stage.content.getBoundingClientRect();
      return { image: overlay.image, view, x: event.clientX - left, y: event.clientY - top };
    }
    return null;
  }

  /**
   * Whether a click would ask for the mask of a new object.
   * @param {Place} place
   */
  #isPreviewed({ image, x, y }) {
    const { store, drawing, state, choices, page } = this.desk;
    const annotation = store && openAnnotation(store);
    if (!annotation || !store.autoAnnotation || !choices.read().previews) return false;
    if (state?.image !== "ready" || drawing.isPending || drawing.negative || annotation.isDrawing) return false;
    if (!hasSmartPoint(page, image.name) || !isLabelPicked(annotation, image.name)) return false;
    const { naturalWidth = 0, naturalHeight = 0 } = image.currentImageEntity ?? {};
    const masks = this.layers.get(image.name)?.scene.masks ?? [];
    // Over a mask that is there two outlines would lie on each other.
    return !masks.some(({ outline }) => contains(outline.rings, (x / 100) * naturalWidth, (y / 100) * naturalHeight));
  }

  /**
   * @param {Store} store
   * @param {ImageTag} image
   * @param {Region[]} regions
   * @param {Region[]} suggestions
   * @returns {{ scene: Scene, key: string }}
   */
  #scene(store, image, regions, suggestions) {
    const entity = image.currentImageEntity;
    if (!entity) return { scene: { masks: [], marks: [], preview: [] }, key: "" };
    const isHere = (/** @type {Region} */ one) => one.object === image && (one.item_index ?? 0) === entity.index;
    const pending = new Set(suggestions);
    const shown = [...drawnAmong(regions), ...suggestions].filter(
      (one) => isHere(one) && OUTLINED.test(one.type) && !one.hidden && this.#isShown(one),
    );
    const masks = shown.flatMap((region) => {
      const outline = this.outliner.of(region, entity, pending.has(region));
      return outline ? [{ outline, colour: region.strokeColor ?? "#ffffff", isPending: pending.has(region) }] : [];
    });
    const prompts = store.autoAnnotation && openAnnotation(store) ? promptsAmong(regions).filter(isHere) : [];
    const marks = prompts.flatMap((one) => markOf(one) ?? []);
    const preview = this.hover.shown?.image === image ? this.hover.shown.rings : [];
    const key = JSON.stringify([
      masks.map(({ outline, colour, isPending }) => [outline.number, colour, isPending]),
      marks.map(({ kind, x, y, lines, region }) => [region.id, kind, x, y, lines]),
      preview,
    ]);
    return { scene: { masks, marks, preview }, key };
  }

  /**
   * @param {ImageTag} image
   * @param {{ scene: Scene, key: string }} found
   */
  #lay(image, { scene, key }) {
    const known = this.layers.get(image.name);
    if (known?.key === key) return;
    if (known) {
      [known.scene, known.key] = [scene, key];
      return known.overlay.invalidate();
    }
    const paintIt = (/** @type {CanvasRenderingContext2D} */ context, /** @type {View} */ view) => {
      const layer = this.layers.get(image.name);
      if (layer) paint(context, view, layer.scene, percentOf(view, image));
    };
    const overlay = new Overlay(image, /** @type {Stage} */ (image.stageRef), paintIt, this.desk.safely);
    this.layers.set(image.name, { overlay, scene, key });
  }

  /** @param {Region} region */
  #isShown(region) {
    return this.hidden.size === 0 || region.dynamic || !this.hidden.has(region.labelName || NO_LABEL);
  }
}

/**
 * @param {MouseEvent} event
 * @returns {MouseEventInit}
 */
function initOf({ clientX, clientY, screenX, screenY, button, buttons }) {
  return { clientX, clientY, screenX, screenY, button, buttons, bubbles: true, cancelable: true, composed: true };
}
