/** The mouse on the pictures: where it is, and the button on a sign, which takes that prompt away. */

import { markAt } from "./marks.js";
import { inverse, moved, percentOf } from "./overlay.js";

/** @import { Place } from "./hover.js" */
/** @import { Mark } from "./marks.js" */
/** @import { Overlay } from "./overlay.js" */
/** @import { Scene } from "./painting.js" */

const CLICK_PIXELS = 4; // what moves farther with the button down is no click

export class Pointing {
  /**
   * @param {Map<string, { overlay: Overlay, scene: Scene }>} layers what lies on the pictures, by image tag
   * @param {(place: Place | null) => void} rests where the mouse is; null: on no picture, or with a button down
   * @param {(mark: Mark) => void} taken a sign was clicked on
   */
  constructor(layers, rests, taken) {
    this.layers = layers;
    this.rests = rests;
    this.taken = taken;
    /** @type {{ mark: Mark, press: MouseEvent } | null} a button that went down on a sign */
    this.pressed = null;
    this.isReplaying = false;
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
      this.taken(this.pressed.mark);
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
    if (!pressed) return this.rests(event.buttons ? null : this.#place(event));
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
}

/**
 * @param {MouseEvent} event
 * @returns {MouseEventInit}
 */
function initOf({ clientX, clientY, screenX, screenY, button, buttons }) {
  return { clientX, clientY, screenX, screenY, button, buttons, bubbles: true, cancelable: true, composed: true };
}
