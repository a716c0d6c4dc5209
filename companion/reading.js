/** The masks of the image before on their way: as they lie there (J), or continued by SAM2 (M). */

import { masksBefore } from "./before.js";
import { masksContinued } from "./continued.js";

/** @import { Api } from "./api.js" */
/** @import { Texts } from "./messages.js" */
/** @import { Offer } from "./proposals.js" */

/** @typedef {{ manager: DataManager, api: Api, texts: Texts, tick: () => void }} Desk what the session knows */
/** @typedef {{ offer: Offer, kind: "copies" | "continued", note: string }} Found `note` is for the line */

export class Reading {
  /** @param {Desk} desk */
  constructor(desk) {
    this.desk = desk;
    /** @type {AbortController | null} */
    this.current = null;
  }

  get isBusy() {
    return this.current !== null;
  }

  stop() {
    this.current?.abort();
    this.current = null;
  }

  /**
   * @param {"j" | "m"} key
   * @param {Backend} backend
   * @param {number} task
   * @param {ImageTag} image
   * @param {Annotation} annotation
   * @returns {Promise<Found | null>} null: it was stopped
   */
  async before(key, backend, task, image, annotation) {
    const control = new AbortController();
    this.current = control;
    const { api, manager, texts, tick } = this.desk;
    tick(); // the line shows that something is on its way
    try {
      /** @type {Parameters<typeof masksBefore>} */
      const given = [api, manager, backend, task, image, annotation, control.signal];
      /** @type {Found} */
      let found;
      if (key === "j") found = { offer: await masksBefore(...given), kind: "copies", note: "" };
      else {
        const { offer, isByPlace, doubted, objects } = await masksContinued(...given);
        const note = isByPlace ? texts.byPlace : doubted ? texts.doubted(doubted, objects) : "";
        found = { offer, kind: isByPlace ? "copies" : "continued", note };
      }
      return this.current === control ? found : null;
    } catch (error) {
      if (this.current !== control) return null;
      throw error;
    } finally {
      if (this.current === control) this.current = null;
    }
  }
}
