/**
 * The mask before the click: where the mouse rests on an image, the mask that a click would give is outlined. One
 * question at a time, none while it moves, and none any more where answers come too late to be of use.
 */

/** @import { Api } from "./api.js" */
/** @import { Ring } from "./outlines.js" */

const REST_MS = 60; // without a move
const NEAR = 3; // pixels of the page: a hand that holds still moves as much
const SLOW_MS = 450; // half of the answers take longer: then the outline would come after the click
const MEASURED = 5;
const ENOUGH = 3;

/**
 * @typedef {object} Place
 * @property {ImageTag} image
 * @property {number} x in percent of the picture
 * @property {number} y
 * @property {number} across pixels of the page for a percent of its width
 * @property {number} down the same of its height
 */

/** @typedef {Place & { rings: Ring[] }} Shown rings in percent of the picture */

/**
 * @typedef {object} Surroundings
 * @property {Backend | null} backend
 * @property {number | null} task
 * @property {(place: Place) => boolean} isWanted whether a click there would ask for a mask of a new object
 * @property {boolean} isAwaited whether a click waits for its mask
 * @property {() => void} changed
 * @property {(work: () => void) => void} safely ends the companion where the work fails
 */

export class Hover {
  /**
   * @param {Api} api
   * @param {Surroundings} around
   * @param {() => number} now in milliseconds
   */
  constructor(api, around, now = () => performance.now()) {
    this.api = api;
    this.around = around;
    this.now = now;
    this.id = `preview-${crypto.randomUUID()}`; // a newer question replaces an older one of this page
    /** @type {Place | null} where the mouse is */
    this.place = null;
    /** @type {Shown | null} */
    this.shown = null;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    /** @type {AbortController | null} */
    this.current = null;
    /** @type {number[]} how long the last answers took, in milliseconds */
    this.took = [];
    /** @type {Map<string, { drawn: [number, number], shown: [number, number] }>} clicks that took what was shown, by region */
    this.taken = new Map();
  }

  /** Whether answers come too late here; then none is asked for. */
  get isSlow() {
    return this.took.length >= ENOUGH && this.median > SLOW_MS;
  }

  get median() {
    return [...this.took].sort((one, other) => one - other)[this.took.length >> 1] ?? 0;
  }

  /** Measure anew. */
  again() {
    this.took = [];
  }

  /**
   * The mouse is somewhere.
   * @param {Place | null} place null: on no image
   */
  moved(place) {
    if (place && this.shown && isNear(this.shown, place)) return;
    this.place = place;
    this.#drop();
    if (place) this.timer = setTimeout(() => this.around.safely(() => this.rest()), REST_MS);
  }

  /** What was shown, or is asked for, may not be wanted any more; or now be wanted, as a label was picked. */
  look() {
    const { place, shown } = this;
    if (shown && !this.around.isAwaited && !this.around.isWanted(shown)) this.#drop();
    else if (place && !shown && !this.current && !this.timer) this.rest();
  }

  /** The mouse rests. */
  rest() {
    clearTimeout(this.timer);
    this.timer = undefined;
    const { place } = this;
    if (place && !this.isSlow && this.around.isWanted(place)) void this.#ask(place);
  }

  stop() {
    this.place = null;
    this.#drop();
  }

  /**
   * A point was drawn; where it takes what is shown, SAM2 is asked about the very place that was shown.
   * @param {Region} point
   */
  drawn(point) {
    const { shown } = this;
    this.place = null; // the next outline comes with the next move
    if (!shown || point.type !== "keypointregion" || point.negative || point.object.name !== shown.image.name) return;
    const [x, y] = [point.x ?? NaN, point.y ?? NaN];
    if (isNear(shown, { ...shown, x, y })) this.taken.set(point.cleanId, { drawn: [x, y], shown: [shown.x, shown.y] });
  }

  /**
   * Prompts as they are sent: points that took what was shown stand where it was shown, until they are moved.
   * @param {PromptEntry[]} entries
   */
  aimed(entries) {
    return entries.map((entry) => {
      const known = this.taken.get(entry.id);
      if (!known || entry.value.x !== known.drawn[0] || entry.value.y !== known.drawn[1]) return entry;
      return { ...entry, value: { ...entry.value, x: known.shown[0], y: known.shown[1] } };
    });
  }

  #drop() {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.current?.abort();
    this.current = null;
    if (this.shown) {
      this.shown = null;
      this.around.changed();
    }
  }

  /** @param {Place} place */
  async #ask(place) {
    const { backend, task } = this.around;
    if (backend === null || task === null) return;
    const control = new AbortController();
    this.current = control;
    const began = this.now();
    try {
      const rings = await this.api.preview(backend, task, entryOf(place, this.id), control.signal);
      if (this.current !== control) return;
      this.took = [...this.took, this.now() - began].slice(-MEASURED);
      this.shown = { ...place, rings };
      this.around.changed();
    } catch {
      // A click says what is wrong. Here the next move asks again.
      if (this.current === control) this.place = null;
    } finally {
      if (this.current === control) this.current = null;
    }
  }
}

/**
 * A point as the editor would send it. Its label has no part in which object it is.
 * @param {Place} place
 * @param {string} id
 * @returns {PromptEntry}
 */
function entryOf({ image, x, y }, id) {
  const { naturalWidth = 1, naturalHeight = 1, rotation = 0, index = 0 } = image.currentImageEntity ?? {};
  return {
    id,
    type: "keypoint",
    from_name: "",
    to_name: image.name,
    ...(image.multiImage ? { item_index: index } : {}),
    original_width: naturalWidth,
    original_height: naturalHeight,
    image_rotation: rotation,
    is_positive: true,
    value: { x, y, width: 0 },
  };
}

/**
 * @param {Place} one
 * @param {Place} other
 */
function isNear(one, other) {
  return one.image === other.image && Math.hypot((one.x - other.x) * other.across, (one.y - other.y) * other.down) <= NEAR;
}
