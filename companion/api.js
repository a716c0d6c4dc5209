/** Label Studio's own API, as the page may use it. Every failure is a `Trouble`: one sentence for people. */

import { backendSentence } from "./messages.js";
import { Trouble, troubleOf } from "./trouble.js";

/** @import { Texts } from "./messages.js" */

// The task is sent without its annotations: infra/roles/images/dockerfiles/label-studio/clicked_task.py.
const HEADERS = { "Content-Type": "application/json", "X-Labelrig-Click": "1" };
const STATE_LIMIT_MS = 20_000;
const PREVIEW_LIMIT_MS = 3_000;
const REACH_LIMIT_MS = 10_000;
const CLICK_LIMIT_MS = 110_000; // Label Studio waits 100 s for a backend
// Label Studio takes 3 s to find that a backend hangs, and the annotator must know within 5 s of the click.
const PATIENCE_MS = 1_500;

export class Api {
  /**
   * @param {Texts} texts
   * @param {string} prefix of Label Studio's addresses
   * @param {typeof fetch} ask
   */
  constructor(texts, prefix = "", ask = (...given) => fetch(...given)) {
    this.texts = texts;
    this.prefix = prefix;
    this.ask = ask;
  }

  /**
   * The backend that is asked for masks: the project's first interactive one, as Label Studio chooses too. Label Studio
   * looks after it before it answers, so `state` is of now.
   * @param {number | string} project
   * @returns {Promise<Backend | null>}
   */
  async backend(project) {
    const found = await this.#json(`/api/ml?project=${encodeURIComponent(project)}`, {}, STATE_LIMIT_MS);
    return /** @type {Backend[]} */ (found).find((one) => one.is_interactive) ?? null;
  }

  /**
   * The backend that is asked for masks, where it serves now.
   * @param {number | string} project
   * @returns {Promise<Backend>}
   * @throws {Trouble} says why it does not
   */
  async serving(project) {
    const backend = await this.backend(project);
    const trouble = troubleOf(backend, this.texts);
    if (backend === null || trouble) throw trouble;
    return backend;
  }

  /**
   * How the backend is, and the task's image. Null from a backend that is not labelrig's.
   * @param {Backend} backend
   * @param {number} task
   * @returns {Promise<BackendState | null>}
   */
  async state(backend, task) {
    const data = await this.#interactive(backend, task, { result: [], ask: "state" }, null, STATE_LIMIT_MS);
    return /** @type {{ state?: BackendState } | null} */ (data)?.state ?? null;
  }

  /**
   * Whether Label Studio takes what is submitted: it answers, and knows who asks.
   * @throws {Trouble} with what is in the way
   */
  async reach() {
    await this.#json("/api/current-user/whoami", {}, REACH_LIMIT_MS, null, this.texts.unreachable);
  }

  /**
   * The mask for some prompts.
   * @param {number | string} project
   * @param {Backend} backend
   * @param {number} task
   * @param {PromptEntry[]} entries
   * @param {number} candidate which of the model's masks, 0 the one that it trusts most
   * @param {string} requestId
   * @param {AbortSignal} signal
   * @returns {Promise<Answer>}
   */
  async mask(project, backend, task, entries, candidate, requestId, signal) {
    const stop = new AbortController();
    const context = { result: entries, request_id: requestId, candidate };
    const limit = AbortSignal.any([signal, stop.signal]);
    const answer = this.#interactive(backend, task, context, requestId, CLICK_LIMIT_MS, limit, project);
    const silence = this.#silence(project, stop.signal);
    try {
      const data = await Promise.race([answer, silence]);
      const { result, candidates } = /** @type {{ result?: any[], candidates?: number } | null} */ (data) ?? {};
      return { results: result ?? [], candidates: candidates ?? 1 };
    } finally {
      stop.abort();
      answer.catch(() => {});
      silence.catch(() => {});
    }
  }

  /**
   * The mask of a region on the other image of its pair, by that image's tags; see docs/pairs.md.
   * @param {Backend} backend
   * @param {number} task
   * @param {PromptEntry[]} entries of the region
   * @param {string} requestId
   * @param {AbortSignal} signal
   * @returns {Promise<any[]>}
   */
  async twin(backend, task, entries, requestId, signal) {
    const context = { result: entries, ask: "twin", request_id: requestId };
    const data = await this.#interactive(backend, task, context, requestId, STATE_LIMIT_MS, signal);
    return /** @type {{ result?: any[] } | null} */ (data)?.result ?? [];
  }

  /**
   * The outline of the mask that a click would give, in percent of its image; empty where none can be had now.
   * @param {Backend} backend
   * @param {number} task
   * @param {PromptEntry} entry
   * @param {AbortSignal} signal
   * @returns {Promise<number[][]>} a ring each, x and y in turn
   */
  async preview(backend, task, entry, signal) {
    const context = { result: [entry], ask: "preview", candidate: 0 };
    const data = await this.#interactive(backend, task, context, null, PREVIEW_LIMIT_MS, signal);
    return /** @type {{ preview?: { outline?: number[][] } } | null} */ (data)?.preview?.outline ?? [];
  }

  /**
   * What the backend gives for another question of the page: see `Context` in backend/labelstudio/protocol.py.
   * @param {Backend} backend
   * @param {number} task
   * @param {object} context
   * @param {string} requestId
   * @param {AbortSignal} signal
   * @returns {Promise<any>} its answer for the task
   */
  async query(backend, task, context, requestId, signal) {
    return this.#interactive(backend, task, { request_id: requestId, ...context }, requestId, CLICK_LIMIT_MS, signal);
  }

  /**
   * Read something of Label Studio's, as who is signed in.
   * @param {string} path
   * @param {AbortSignal} signal
   * @returns {Promise<any>}
   */
  async read(path, signal) {
    return this.#json(path, {}, STATE_LIMIT_MS, signal);
  }

  /**
   * Change something of Label Studio's, as who is signed in. It is tried once: whoever asks looks what is there first.
   * @param {"POST" | "DELETE"} method
   * @param {string} path
   * @param {object | null} body
   * @param {AbortSignal} signal
   * @returns {Promise<any>} what Label Studio says of it; null where it says nothing
   */
  async write(method, path, body, signal) {
    const init = { method, headers: HEADERS, ...(body ? { body: JSON.stringify(body) } : {}) };
    return this.#json(path, init, STATE_LIMIT_MS, signal, this.texts.cut, 1);
  }

  /**
   * Rejects when no answer came and Label Studio finds that the backend hangs; else never settles.
   * @param {number | string} project
   * @param {AbortSignal} over
   * @returns {Promise<never>}
   */
  async #silence(project, over) {
    await new Promise((resolve) => setTimeout(resolve, PATIENCE_MS));
    if (!over.aborted) await this.serving(project);
    return new Promise(() => {});
  }

  /**
   * @param {Backend} backend
   * @param {number} task
   * @param {object} context
   * @param {string | null} requestId
   * @param {number} limitMs
   * @param {AbortSignal | null} signal
   * @param {number | string | null} project
   */
  async #interactive(backend, task, context, requestId, limitMs, signal = null, project = null) {
    const body = JSON.stringify({ task, context });
    const answer = await this.#json(
      `/api/ml/${backend.id}/interactive-annotating`,
      { method: "POST", headers: HEADERS, body },
      limitMs,
      signal,
    );
    if (!answer.errors?.length) return answer.data;
    const told = String(answer.errors[0]);
    const sentence = backendSentence(told);
    if (sentence !== null) throw new Trouble(sentence, requestId);
    if (project !== null) await this.serving(project);
    throw new Trouble(told, requestId);
  }

  /**
   * @param {string} path
   * @param {RequestInit} init
   * @param {number} limitMs
   * @param {AbortSignal | null} signal
   * @param {string} lateText what is said when the limit is over
   * @param {number} tries
   * @returns {Promise<any>}
   */
  async #json(path, init, limitMs, signal = null, lateText = this.texts.cut, tries = 2) {
    const late = AbortSignal.timeout(limitMs);
    const either = signal ? AbortSignal.any([signal, late]) : late;
    const ask = () => this.ask(this.prefix + path, { ...init, signal: either });
    let answer;
    try {
      // Once more: a browser drops its connections when the computer changes its network. No question changes anything.
      answer = await ask().catch((error) => (either.aborted || tries < 2 ? Promise.reject(error) : ask()));
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Trouble(late.aborted ? lateText : this.texts.unreachable);
    }
    if (answer.status === 401 || answer.status === 403) throw new Trouble(this.texts.signedOut);
    if (!answer.ok) throw new Trouble(this.texts.http(answer.status));
    return answer.status === 204 ? null : answer.json();
  }
}
