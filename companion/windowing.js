/** G held down: dragging on a picture, or the arrow keys, change its contrast and brightness. */

import { typed } from "./keyboard.js";
import { AS_IT_CAME, dragged } from "./looks.js";

/** @import { Look } from "./looks.js" */

const STEP = 0.05; // of an arrow key, in widths and heights of the picture
/** @type {Record<string, [number, number] | undefined>} right and up */
const ARROWS = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

/**
 * @typedef {object} Desk what is on the screen
 * @property {(target: EventTarget | null) => string | null} nameAt the picture at a place of the page; of null, one that is there
 * @property {(name: string) => Look} look
 * @property {(name: string, look: Look) => void} change
 */

export class Windowing {
  /** @param {Desk} desk */
  constructor(desk) {
    this.desk = desk;
    this.isHeld = false;
    /** @type {string | null} the picture that was pointed at last */
    this.pointed = null;
    /** @type {{ name: string, from: Look, x: number, y: number, width: number, height: number } | null} */
    this.drag = null;
  }

  /** The picture that keys are about. */
  get name() {
    return this.pointed ?? this.desk.nameAt(null);
  }

  release() {
    this.isHeld = false;
    this.drag = null;
  }

  /**
   * Whether a key is this one's.
   * @param {Pick<KeyboardEvent, "key" | "code" | "shiftKey" | "ctrlKey" | "metaKey" | "altKey">} press
   * @param {Set<string>} taken hotkeys of labels
   */
  pressed(press, taken) {
    if (press.shiftKey || press.ctrlKey || press.metaKey || press.altKey) return false;
    if (typed(press) === "g" && !taken.has("g")) {
      this.isHeld = true;
      return true;
    }
    const arrow = this.isHeld ? ARROWS[press.key] : undefined;
    const name = this.name;
    if (!arrow || name === null) return false;
    this.desk.change(name, dragged(this.desk.look(name), STEP * arrow[0], STEP * arrow[1]));
    return true;
  }

  /** @param {Pick<KeyboardEvent, "key" | "code">} press */
  lifted(press) {
    if (typed(press) === "g") this.isHeld = false;
  }

  /** @param {"invert" | "colour" | "reset"} wish */
  obey(wish) {
    const name = this.name;
    if (name === null) return;
    const look = this.desk.look(name);
    if (wish === "invert") this.desk.change(name, { ...look, inverted: !look.inverted });
    else if (wish === "colour") this.desk.change(name, { ...look, coloured: !look.coloured });
    else this.desk.change(name, AS_IT_CAME);
  }

  /**
   * Whether a move or a button of the mouse is this one's.
   * @param {Pick<MouseEvent, "type" | "target" | "button" | "clientX" | "clientY">} event
   */
  moved(event) {
    const name = this.desk.nameAt(event.target);
    if (name !== null && !this.drag) this.pointed = name;
    if (event.type === "pointerdown" && this.isHeld && event.button === 0 && name !== null) {
      const { width, height } = /** @type {Element} */ (event.target).getBoundingClientRect();
      this.drag = { name, from: this.desk.look(name), x: event.clientX, y: event.clientY, width, height };
      return true;
    }
    if (this.drag === null) return false;
    const { from, x, y, width, height } = this.drag;
    if (event.type === "pointermove") {
      this.desk.change(this.drag.name, dragged(from, (event.clientX - x) / width, (y - event.clientY) / height));
    }
    // The editor must see nothing of it: neither the button nor the click that follows.
    if (event.type === "pointerup") setTimeout(() => (this.drag = null));
    return true;
  }
}
