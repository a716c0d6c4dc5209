/** SAM2's memory in the backend, a question a step: masks are given on one image and followed into the next ones. */

/** @import { Api } from "./api.js" */
/** @import { Placed } from "./sequence.js" */

/**
 * @typedef {object} Followed
 * @property {any[]} results of a prediction, each with its note
 * @property {number} score of the most doubtful mask
 * @property {string[]} tracks those that are followed
 * @property {string[]} ended tracks whose object was not there for too long
 * @property {string | null} problem why the image cannot be read; the objects can be followed into the next one
 * @property {string[]} doubted tracks whose object is there, with a mask that SAM2 is not sure of: it is left out
 */

export class Memory {
  /**
   * @param {Api} api
   * @param {Backend} backend
   * @param {number} length of the sequence
   * @param {AbortSignal} signal ends it
   */
  constructor(api, backend, length, signal) {
    this.api = api;
    this.backend = backend;
    this.length = length;
    this.signal = signal;
    this.run = crypto.randomUUID();
  }

  /**
   * Give the masks of an image: those of the nearest one first, whose objects are followed, then those of older ones.
   * @param {Placed} frame
   * @param {number} place in the sequence
   * @param {PromptEntry[]} entries
   * @param {PromptEntry[]} predicted the propagated masks that it had before
   * @returns {Promise<Record<string, string>>} the id of each track's region there
   */
  async give(frame, place, entries, predicted = []) {
    const more = { name: frame.name, predicted };
    return (await this.#step("anchor", frame.task, place, entries, more)).follow.tracks;
  }

  /**
   * Follow the masks into an image.
   * @param {Placed} frame
   * @param {number} place
   * @returns {Promise<Followed>}
   */
  async into(frame, place) {
    const { result = [], score = 0, follow } = await this.#step("into", frame.task, place);
    const { tracks, ended, problem, doubted } = follow;
    return { results: result, score, tracks, ended, problem, doubted };
  }

  /**
   * Tell the backend to forget it; where that fails it forgets it by itself. A step that fails does so too.
   * @param {number} task
   */
  end(task) {
    const context = { ask: "follow", follow: { run: this.run, step: "end" } };
    this.api.query(this.backend, task, context, shortId(), AbortSignal.timeout(10_000)).catch(() => {});
  }

  /**
   * @param {"anchor" | "into"} step
   * @param {number} task
   * @param {number} place
   * @param {PromptEntry[]} result
   * @param {object} more
   */
  async #step(step, task, place, result = [], more = {}) {
    const follow = { run: this.run, step, place, length: this.length, ...more };
    try {
      for (;;) {
        // The backend answers at the latest after some seconds, so the question itself is the pause.
        const data = await this.api.query(this.backend, task, { ask: "follow", result, follow }, shortId(), this.signal);
        if (data?.follow?.done) return data;
        this.signal.throwIfAborted();
      }
    } catch (error) {
      this.end(task);
      throw error;
    }
  }
}

function shortId() {
  return crypto.randomUUID().slice(0, 8);
}
