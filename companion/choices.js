/** What one person chose in one project, kept in the browser: Label Studio keeps these switches for all projects alike. */

/** @import { Look } from "./looks.js" */

/**
 * @typedef {object} Choice
 * @property {boolean} autoAnnotation
 * @property {boolean} autoAccept
 * @property {boolean} brushAsks
 * @property {Record<string, Look>} looks by image tag
 * @property {number} fill how much of their own opacity the masks have, 0 to 1
 * @property {boolean} keepsLabel whether the label of an accepted mask is picked for the next object
 * @property {boolean} previews whether the mask is outlined before the click
 * @property {number} onward into how many images Shift+M continues masks, 0 for all that follow
 * @property {boolean} panel whether the list of classes is open
 */

/** @type {Choice} */
const FIRST = {
  autoAnnotation: true,
  autoAccept: false,
  brushAsks: true,
  looks: {},
  fill: 1,
  keepsLabel: false,
  previews: true,
  onward: 20,
  panel: false,
};

export class Choices {
  /**
   * @param {Pick<Storage, "getItem" | "setItem">} storage
   * @param {number | string} project
   */
  constructor(storage, project) {
    this.storage = storage;
    this.key = `labelrig:project:${project}`;
    /** @type {{ autoAnnotation: boolean, autoAccept: boolean } | null} the switches as they were seen last */
    this.seen = null;
  }

  /** @returns {Choice} */
  read() {
    try {
      return { ...FIRST, ...JSON.parse(this.storage.getItem(this.key) ?? "{}") };
    } catch {
      return FIRST; // another program's text under our key
    }
  }

  /** @param {Partial<Choice>} change */
  write(change) {
    try {
      this.storage.setItem(this.key, JSON.stringify({ ...this.read(), ...change }));
    } catch {
      // A browser that keeps nothing: the switches hold until the page is left, the brush is as at first.
    }
  }

  /**
   * Set a new editor's switches as they were chosen.
   * @param {Store} store
   */
  give(store) {
    const { autoAnnotation, autoAccept } = this.read();
    store.setAutoAnnotation(autoAnnotation);
    store.setAutoAcceptSuggestions(autoAccept);
    this.seen = { autoAnnotation, autoAccept };
  }

  /**
   * Keep what was switched here. What another tab's switches say is that tab's.
   * @param {Store} store
   */
  follow(store) {
    const { autoAnnotation, autoAcceptSuggestions: autoAccept } = store;
    if (this.seen?.autoAnnotation === autoAnnotation && this.seen.autoAccept === autoAccept) return;
    this.seen = { autoAnnotation, autoAccept };
    this.write(this.seen);
  }
}
