/**
 * Prompts that a draft kept. Label Studio saves what is on the screen when a task is left, also points that wait
 * for an answer, and brings them back as points like any other: they would be submitted.
 */

const KEY = "labelrig:prompts";
const KEPT = 300; // ids, of the last ones that were drawn in this browser

export class Leftovers {
  /** @param {Pick<Storage, "getItem" | "setItem">} storage */
  constructor(storage) {
    this.storage = storage;
    /** @type {Set<string>} */
    this.ids = new Set(this.#stored());
  }

  /**
   * Remember that these are prompts.
   * @param {Region[]} prompts
   */
  note(prompts) {
    const fresh = prompts.map((one) => one.cleanId).filter((id) => !this.ids.has(id));
    if (!fresh.length) return;
    this.ids = new Set([...this.#stored(), ...this.ids, ...fresh].slice(-KEPT)); // other tabs write too
    try {
      this.storage.setItem(KEY, JSON.stringify([...this.ids]));
    } catch {
      // A browser that keeps nothing: what a draft kept is then taken for a point like any other.
    }
  }

  /**
   * Regions that were prompts once, and are none any more.
   * @param {Region[]} regions
   */
  among(regions) {
    return regions.filter((one) => !one.dynamic && !one.fromSuggestion && !one.isDrawing && this.ids.has(one.cleanId));
  }

  /** @returns {string[]} */
  #stored() {
    try {
      const found = JSON.parse(this.storage.getItem(KEY) ?? "[]");
      return Array.isArray(found) ? found : [];
    } catch {
      return [];
    }
  }
}
