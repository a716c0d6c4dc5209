/** Proposals above a picture, on an overlay. */

import { Overlay, inverse, moved, percentOf } from "./overlay.js";
import { pathOf } from "./painting.js";

/** @import { Ring } from "./outlines.js" */
/** @import { View } from "./overlay.js" */

/** @typedef {{ rings: Ring[], isMarked: boolean }} Figure rings in percent of the picture, by the even-odd rule */

const LINE = "#ffd21f";
const SHADE = "#ffd21f59";
const UNDER = "#000000b0"; // a line that is seen on any picture

export class Veil {
  /** @param {(work: () => void) => void} safely ends the companion where the work fails */
  constructor(safely) {
    this.safely = safely;
    /** @type {Overlay | null} */
    this.overlay = null;
    /** @type {Figure[]} */
    this.figures = [];
  }

  /**
   * @param {ImageTag} image
   * @param {Figure[]} figures
   */
  show(image, figures) {
    // Those that are marked last: they lie above the others.
    this.figures = [...figures].sort((one, other) => Number(one.isMarked) - Number(other.isMarked));
    if (this.overlay && this.isOn(image)) return this.overlay.invalidate();
    this.hide();
    const { stageRef } = image;
    if (!stageRef) return;
    this.overlay = new Overlay(image, stageRef, (context, view) => this.#paint(context, view, image), this.safely);
    this.overlay.canvas.dataset.labelrig = "proposals";
  }

  /**
   * Whether they lie on a picture; the editor may have made its stage anew.
   * @param {ImageTag} image
   */
  isOn(image) {
    return this.overlay !== null && this.overlay.image === image && this.overlay.stage === image.stageRef;
  }

  hide() {
    this.overlay?.remove();
    this.overlay = null;
  }

  /**
   * Where a place of the screen lies on the picture, in percent; null where the picture is not there.
   * @param {number} clientX
   * @param {number} clientY
   * @returns {[number, number] | null}
   */
  percentAt(clientX, clientY) {
    const { overlay } = this;
    const view = overlay?.view() ?? null;
    if (overlay === null || view === null) return null;
    const { left, top } = overlay.stage.content.getBoundingClientRect();
    return moved(inverse(percentOf(view, overlay.image)), clientX - left, clientY - top);
  }

  /**
   * @param {CanvasRenderingContext2D} context in pixels of the page
   * @param {View} view
   * @param {ImageTag} image
   */
  #paint(context, view, image) {
    for (const { rings, isMarked } of this.figures) {
      const path = pathOf(rings, percentOf(view, image));
      if (isMarked) {
        context.fillStyle = SHADE;
        context.fill(path, "evenodd");
      }
      for (const [style, line] of /** @type {const} */ ([[UNDER, 3], [LINE, isMarked ? 2.5 : 1.25]])) {
        context.strokeStyle = style;
        context.lineWidth = line;
        context.stroke(path);
      }
    }
  }
}
