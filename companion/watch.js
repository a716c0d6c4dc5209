/** How SAM2 is for the task on the screen, and what went wrong last. */

import { follow } from "./following.js";
import { wantsCompleteMaps } from "./options.js";
import { Trouble } from "./trouble.js";

/** @import { Api } from "./api.js" */

export class Watch {
  /**
   * @param {Api} api
   * @param {number | string} project
   * @param {() => void} changed
   */
  constructor(api, project, changed) {
    this.api = api;
    this.project = project;
    this.changed = changed;
    /** @type {number | null} */
    this.task = null;
    /** @type {Backend | null} */
    this.backend = null;
    this.wantsCompleteMaps = false;
    /** @type {BackendState | null} */
    this.state = null;
    /** @type {Trouble | null} */
    this.trouble = null;
    this.isUnknown = true;
    this.count = 0;
    this.closed = false;
  }

  close() {
    this.closed = true;
  }

  /** @param {number | null} task that is on the screen now */
  open(task) {
    this.task = task;
    this.state = null;
    this.isUnknown = true;
    this.trouble = null;
    this.again();
  }

  /** Look after it until it is well; one at a time: a newer one ends the older. */
  again() {
    const { task } = this;
    if (task === null) return;
    const number = (this.count += 1);
    void follow(this.api, this.project, task, {
      isWanted: () => this.count === number && !this.closed,
      found: (backend) => {
        this.backend = backend;
        this.wantsCompleteMaps = wantsCompleteMaps(backend);
      },
      told: (state) => {
        this.state = state;
        this.isUnknown = false;
        // What was wrong with the backend is over; what was wrong with a click is still to be read.
        if (this.trouble?.requestId === null) this.trouble = null;
        this.changed();
      },
      failed: (error) => this.fail(error, null),
    });
  }

  /** A click was answered: its image is encoded. */
  answered() {
    if (this.state) this.state = { ...this.state, image: "ready" };
  }

  /**
   * A click was refused.
   * @param {unknown} error
   * @param {string} requestId
   */
  refused(error, requestId) {
    this.backend = null; // it may have been connected anew
    this.fail(error, requestId);
    if (this.trouble?.requestId === null) this.again();
  }

  /**
   * @param {unknown} error
   * @param {string | null} requestId of the click; null: it is the backend that fails
   */
  fail(error, requestId) {
    this.trouble = error instanceof Trouble ? error : new Trouble(String(error), requestId);
    if (!(error instanceof Trouble)) console.error("labelrig:", error);
    this.changed();
  }
}
