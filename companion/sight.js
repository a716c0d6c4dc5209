/** What is seen on the pictures besides the editor's own: outlines, prompts as signs, and the mask before the click. */

import { NO_LABEL, classesOf, drawnAmong } from "./classes.js";
import { imagesOf, openAnnotation } from "./editor.js";
import { Fills } from "./fills.js";
import { isDrawnAt } from "./gestures.js";
import { Hover } from "./hover.js";
import { markOf } from "./marks.js";
import { Outliner } from "./outliner.js";
import { Overlay, moved, percentOf } from "./overlay.js";
import { paint } from "./painting.js";
import { hasSmartPoint, isLabelPicked } from "./picked.js";
import { Pointing } from "./pointing.js";
import { promptsAmong } from "./prompts.js";
import { remove } from "./regions.js";

/** @import { Api } from "./api.js" */
/** @import { Choice } from "./choices.js" */
/** @import { Drawing } from "./drawing.js" */
/** @import { Place } from "./hover.js" */
/** @import { Mark } from "./marks.js" */
/** @import { View } from "./overlay.js" */
/** @import { Scene } from "./painting.js" */

const OUTLINED = /^(brush|bitmask)region$/;

/**
 * @typedef {object} Desk what the session knows, and does
 * @property {Api} api
 * @property {Window} page
 * @property {Store | null} store
 * @property {Backend | null} backend
 * @property {{ state: BackendState | null }} watch
 * @property {number | null} task
 * @property {Drawing} drawing
 * @property {{ read(): Choice }} choices
 * @property {{ isOverMasks: boolean, takesClick: boolean }} tools
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
    this.pointing = new Pointing(this.layers, (place) => this.hover.moved(place), (mark) => this.#remove(mark));
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
    return this.pointing.moved(event);
  }

  /** @param {Mark} mark */
  #remove({ region }) {
    if (!this.annotation || !promptsAmong(this.annotation.regions).includes(region)) return;
    remove(this.annotation, [region]);
    this.desk.tick();
  }

  /**
   * Whether a click would ask for the mask of a new object.
   * @param {Place} place
   */
  #isPreviewed({ image, x, y }) {
    const { store, drawing, watch, choices, page, tools } = this.desk;
    const annotation = store && openAnnotation(store);
    if (!annotation || !store.autoAnnotation || !choices.read().previews) return false;
    if (watch.state?.image !== "ready" || drawing.isPending || drawing.negative.isOn || annotation.isDrawing) return false;
    if (!hasSmartPoint(page, image.name) || !isLabelPicked(annotation, image.name)) return false;
    if (tools.takesClick) return false;
    const view = this.layers.get(image.name)?.overlay.view();
    return !!view && (tools.isOverMasks || isDrawnAt(page, annotation, image, ...moved(percentOf(view, image), x, y)));
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
