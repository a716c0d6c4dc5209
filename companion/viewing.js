/** How the pictures of an open task are looked at: contrast, colours, and what the project keeps of them. */

import { canvasOf, imagesOf } from "./editor.js";
import { Filters } from "./filters.js";
import { lookOf } from "./looks.js";
import { Windowing } from "./windowing.js";

/** @import { Choices } from "./choices.js" */
/** @import { Look } from "./looks.js" */

export class Viewing {
  /**
   * @param {{ store: Store | null, choices: Choices }} around what the session knows
   * @param {Document} page
   * @param {() => void} changed
   */
  constructor(around, page, changed) {
    this.around = around;
    this.filters = new Filters(page);
    this.changed = changed;
    this.windowing = new Windowing(this);
  }

  /**
   * The image tag that an element belongs to, by its name; of null, one whose picture is on the screen.
   * @param {EventTarget | null} target
   */
  nameAt(target) {
    const { store } = this.around;
    if (!store || (target !== null && !isCanvas(target))) return null;
    const shown = imagesOf(store).filter((one) => one.imageIsLoaded && one.stageRef);
    const isThere = (/** @type {ImageTag} */ one) =>
      target === null || one.stageRef?.content.contains(/** @type {Node} */ (target));
    return shown.find(isThere)?.name ?? null;
  }

  /**
   * @param {string} name of an image tag
   * @returns {Look}
   */
  look(name) {
    return lookOf(this.around.choices.read().looks[name]);
  }

  /**
   * @param {string} name
   * @param {Look} look
   */
  change(name, look) {
    const { choices } = this.around;
    choices.write({ looks: { ...choices.read().looks, [name]: look } });
    this.changed();
  }

  /** Show each picture by its look: the editor may have made its canvas anew. */
  show() {
    const { store } = this.around;
    for (const image of store ? imagesOf(store) : []) {
      const canvas = canvasOf(image);
      if (canvas) this.filters.show(canvas, this.look(image.name));
    }
  }

  clear() {
    this.filters.clear();
  }
}

/** @param {EventTarget} target */
function isCanvas(target) {
  return /** @type {Element} */ (target).tagName === "CANVAS";
}
