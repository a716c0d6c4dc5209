/** Looks after the backend and the image of an opened task until the image is encoded, and again while something is wrong. */

import { Trouble, troubleOf } from "./trouble.js";

/** @import { Api } from "./api.js" */

const ENCODING_PAUSE_MS = 700;
const TROUBLE_PAUSE_MS = 10_000;

/**
 * @typedef {object} Watch
 * @property {() => boolean} isWanted whether anybody still wants to know
 * @property {(backend: Backend | null) => void} found
 * @property {(state: BackendState | null) => void} told null: the backend is not labelrig's
 * @property {(error: unknown) => void} failed what will make the next click fail too
 */

/**
 * @param {Api} api
 * @param {number | string} project
 * @param {number} task
 * @param {Watch} watch
 * @param {(ms: number) => Promise<unknown>} pause
 */
export async function follow(api, project, task, watch, pause = (ms) => new Promise((go) => setTimeout(go, ms))) {
  while (watch.isWanted()) {
    try {
      return await untilReady(api, project, task, watch, pause);
    } catch (error) {
      if (watch.isWanted()) watch.failed(error);
    }
    await pause(TROUBLE_PAUSE_MS);
  }
}

/**
 * @param {Api} api
 * @param {number | string} project
 * @param {number} task
 * @param {Watch} watch
 * @param {(ms: number) => Promise<unknown>} pause
 */
async function untilReady(api, project, task, watch, pause) {
  const backend = await api.backend(project);
  if (!watch.isWanted()) return;
  watch.found(backend);
  const trouble = troubleOf(backend, api.texts);
  if (backend === null || trouble) throw trouble;
  for (;;) {
    const state = await api.state(backend, task);
    if (!watch.isWanted()) return;
    if (state?.backend === "failed" || state?.image === "failed") throw new Trouble(state.reason ?? "SAM2: ?");
    watch.told(state);
    if (state?.backend !== "loading" && state?.image !== "encoding") return;
    await pause(ENCODING_PAUSE_MS);
  }
}
