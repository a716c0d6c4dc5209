/** What Label Studio tells the page: something was drawn, or is to be saved. Ours takes the place of its own listeners. */

import { FINISHED } from "./editor.js";
import { isBrushTool } from "./picked.js";

/** @import { Session } from "./session.js" */

export class Listening {
  /** @param {Session} session */
  constructor(session) {
    this.session = session;
    /** @type {((...given: any[]) => unknown)[]} Label Studio's own listeners to drawings, while ours is in their place */
    this.stock = [];
  }

  start() {
    const { manager } = this.session;
    this.stock = [...manager.getEventCallbacks(FINISHED)];
    for (const one of this.stock) manager.off(FINISHED, one);
    manager.on(FINISHED, this.#drawn);
    manager.on("lsf:entityCreate", this.#created);
    manager.on("lsf:beforeSaveAnnotation", this.#beforeSave);
  }

  close() {
    const { manager } = this.session;
    manager.off(FINISHED, this.#drawn);
    manager.off("lsf:entityCreate", this.#created);
    manager.off("lsf:beforeSaveAnnotation", this.#beforeSave);
    for (const one of this.stock) manager.on(FINISHED, one);
  }

  #drawn = () =>
    this.session.safely(() => {
      this.session.drawing.reconcile();
      this.session.show();
    });

  /** @param {Region} region */
  #created = (region) =>
    this.session.safely(() => {
      const { store, drawing, sight, choices, page } = this.session;
      if (!store?.autoAnnotation) return;
      const isStroke = region.type === "brushregion" && !region.dynamic && isBrushTool(page, region);
      if (isStroke && choices.read().brushAsks) region.makeDynamic();
      drawing.pending.note(region);
      sight.drawn(region);
      queueMicrotask(this.#drawn); // the labels are put on right after this event
    });

  /** Label Studio saves when this says true, and not at all when it throws. */
  #beforeSave = async () => {
    const { session } = this;
    const { drawing, saving, watch } = session;
    try {
      await session.tools.finish();
      if (drawing.lacksMaskLabel()) {
        session.show();
        return false;
      }
      await drawing.finish();
    } catch (error) {
      session.giveUp(error);
      return true;
    }
    await saving.hold(); // a draft that is saved from now on would stay beside what is submitted
    try {
      await session.api.reach();
      return true;
    } catch (error) {
      saving.resume();
      watch.fail(error, null);
      watch.again(); // which finds when it is over
      return false;
    }
  };
}
