/** What one person chose in one project, kept in the browser: Label Studio keeps these switches for all projects alike. */

/** @typedef {{ autoAnnotation: boolean, autoAccept: boolean, brushAsks: boolean }} Choice */

/** @type {Choice} */
const FIRST = { autoAnnotation: true, autoAccept: false, brushAsks: true };

export class Choices {
  /**
   * @param {Pick<Storage, "getItem" | "setItem">} storage
   * @param {number | string} project
   */
  constructor(storage, project) {
    this.storage = storage;
    this.key = `labelrig:project:${project}`;
  }

  /** @returns {Choice} */
  read() {
    try {
      return { ...FIRST, ...JSON.parse(this.storage.getItem(this.key) ?? "{}") };
    } catch {
      return FIRST; // somebody else's text under our key
    }
  }

  /** @param {Partial<Choice>} change */
  write(change) {
    this.storage.setItem(this.key, JSON.stringify({ ...this.read(), ...change }));
  }
}
