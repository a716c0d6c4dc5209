/** Proposals on a picture: what lies under the mouse is marked, a click takes it. */

import { contains } from "./outlines.js";
import { Veil } from "./veil.js";

/** @import { Ring } from "./outlines.js" */

/**
 * @typedef {object} Proposal
 * @property {Ring[]} rings in percent of the picture, by the even-odd rule
 * @property {number} area as a share of the picture
 */

/**
 * @typedef {object} Offer
 * @property {ImageTag} image
 * @property {Annotation} annotation
 * @property {Proposal[]} proposals
 * @property {boolean} [isOfObjects] whether one whose object has a mask already is left out
 * @property {(chosen: Proposal[]) => Promise<string[][] | null>} take for each the ids of the regions that it became; null where nothing was taken
 */

export class Proposals {
  /**
   * @param {(work: () => void) => void} safely ends the companion where the work fails
   * @param {(error: unknown) => void} failed
   * @param {(offer: Offer) => Set<Proposal>} masked those of objects that have a mask already
   */
  constructor(safely, failed, masked = () => new Set()) {
    this.veil = new Veil(safely);
    this.failed = failed;
    this.masked = masked;
    /** @type {Offer | null} */
    this.offer = null;
    /** @type {Map<Proposal, string[]>} the ids of the regions that one became */
    this.made = new Map();
    /** @type {Set<Proposal>} those that are being taken */
    this.waiting = new Set();
    /** @type {Proposal | null} */
    this.marked = null;
    /** @type {Proposal | null} where the button went down */
    this.pressed = null;
    this.drawn = "";
  }

  get isOpen() {
    return this.offer !== null;
  }

  get isBusy() {
    return this.waiting.size > 0;
  }

  /** Those that were not taken, or whose region was undone, and whose object has no mask. */
  get left() {
    const { leftOut } = this;
    return this.#free.filter((one) => !leftOut.has(one));
  }

  /** Those whose object has a mask that was made otherwise. */
  get leftOut() {
    const { offer } = this;
    const masked = offer?.isOfObjects ? this.masked(offer) : [];
    const free = new Set(this.#free);
    return new Set([...masked].filter((one) => free.has(one)));
  }

  get #free() {
    const { offer } = this;
    if (!offer) return [];
    const there = new Set(offer.annotation.regions.map((one) => one.cleanId));
    return offer.proposals.filter((one) => !this.waiting.has(one) && !this.made.get(one)?.some((id) => there.has(id)));
  }

  /** @param {Offer} offer */
  open(offer) {
    this.close();
    this.offer = offer;
    this.look();
  }

  close() {
    this.offer = null;
    this.made.clear();
    this.waiting.clear();
    this.marked = this.pressed = null;
    this.drawn = "";
    this.veil.hide();
  }

  /** Show what is left; the editor may have undone a region. */
  look() {
    const { offer, left } = this;
    if (!offer) return;
    if (this.marked && !left.includes(this.marked)) this.marked = null;
    const now = JSON.stringify(left.map((one) => [offer.proposals.indexOf(one), one === this.marked]));
    if (now === this.drawn && this.veil.isOn(offer.image)) return;
    this.drawn = now;
    this.veil.show(offer.image, left.map((one) => ({ rings: one.rings, isMarked: one === this.marked })));
  }

  /** Take all that are left. */
  takeAll() {
    void this.#take(this.left);
  }

  /**
   * Whether a move or a button of the mouse is about proposals; the editor then sees nothing of it.
   * @param {MouseEvent} event
   */
  moved(event) {
    if (!this.offer) return false;
    const isMove = event.type === "pointermove" || event.type === "mousemove";
    if (isMove) {
      if (this.pressed) return true;
      this.marked = this.#under(event);
      this.look();
      return false;
    }
    if (event.type === "pointerdown") {
      const isPlain = event.button === 0 && !event.altKey && !event.ctrlKey && !event.metaKey && !event.shiftKey;
      this.pressed = isPlain ? this.#under(event) : null;
    }
    if (!this.pressed) return false;
    if (event.type === "pointerup") {
      const chosen = this.pressed;
      setTimeout(() => (this.pressed = null)); // the click that follows is ours too
      if (this.#under(event) === chosen) void this.#take([chosen]);
    }
    return true;
  }

  /**
   * The smallest one at a place: what lies in another one can be taken by itself.
   * @param {MouseEvent} event
   */
  #under(event) {
    const image = this.offer?.image;
    if (!image?.stageRef?.content.contains(/** @type {Node} */ (event.target))) return null;
    const place = this.veil.percentAt(event.clientX, event.clientY);
    const hit = place ? this.left.filter((one) => contains(one.rings, ...place)) : [];
    return hit.sort((one, other) => one.area - other.area)[0] ?? null;
  }

  /** @param {Proposal[]} chosen */
  async #take(chosen) {
    const { offer } = this;
    if (!offer || !chosen.length) return;
    for (const one of chosen) this.waiting.add(one);
    this.look();
    try {
      const made = await offer.take(chosen);
      if (this.offer === offer && made) chosen.forEach((one, number) => this.made.set(one, made[number]));
    } catch (error) {
      if (this.offer === offer) this.failed(error);
    } finally {
      for (const one of chosen) this.waiting.delete(one);
      this.look();
    }
  }
}
