/** One question to SAM2 at a time: a newer one makes the older one's answer worthless. */

import { entriesOf, underNewIds } from "./prompts.js";

/** @import { Api } from "./api.js" */

export class Asker {
  /**
   * @param {Api} api
   * @param {number | string} project
   * @param {(entries: PromptEntry[]) => PromptEntry[]} aimed prompts at the places that they are asked about
   */
  constructor(api, project, aimed = (entries) => entries) {
    this.api = api;
    this.project = project;
    this.aimed = aimed;
    /** @type {{ control: AbortController, done: Promise<void> } | null} */
    this.current = null;
  }

  get isBusy() {
    return this.current !== null;
  }

  /** When the answer is there, or never will be. */
  get done() {
    return this.current?.done ?? Promise.resolve();
  }

  /**
   * Ask, and let the editor show the answer as it shows every suggestion.
   * @param {Store} store
   * @param {Backend | null} backend null: it is still to be found
   * @param {number} task
   * @param {Region[]} prompts
   * @param {number} candidate which of the model's masks
   * @param {(answer: Answer) => void} answered not called for a question that was stopped
   * @param {(error: unknown, requestId: string) => void} refused the same
   */
  ask(store, backend, task, prompts, candidate, answered, refused) {
    this.stop();
    const control = new AbortController();
    const requestId = randomHex(4);
    const answer = this.#mask(backend, task, this.aimed(entriesOf(prompts)), candidate, requestId, control.signal);
    const shown = store.loadSuggestions(answer, ({ results }) => underNewIds(results, prompts, () => randomHex(16)));
    const done = Promise.all([answer, shown]).then(
      ([came]) => this.#end(control) && answered(came),
      (error) => this.#end(control) && refused(error, requestId),
    );
    this.current = { control, done: done.then(() => {}) };
  }

  stop() {
    this.current?.control.abort();
    this.current = null;
  }

  /** @param {AbortController} control */
  #end(control) {
    const isCurrent = this.current?.control === control;
    if (isCurrent) this.current = null;
    return isCurrent;
  }

  /**
   * @param {Backend | null} backend
   * @param {number} task
   * @param {PromptEntry[]} entries
   * @param {number} candidate
   * @param {string} requestId
   * @param {AbortSignal} signal
   * @returns {Promise<Answer>}
   */
  async #mask(backend, task, entries, candidate, requestId, signal) {
    const asked = backend ?? (await this.api.serving(this.project));
    return this.api.mask(this.project, asked, task, entries, candidate, requestId, signal);
  }
}

/** @param {number} bytes */
function randomHex(bytes) {
  return [...crypto.getRandomValues(new Uint8Array(bytes))].map((one) => one.toString(16).padStart(2, "0")).join("");
}
