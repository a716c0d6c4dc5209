/** Looks after the backend and the image of an opened task until the image is encoded. */

import { Trouble } from "./api.js";

/** @import { Api } from "./api.js" */

const PAUSE_MS = 700;
const PATIENCE = 200; // questions: some minutes, for the largest image on the slowest machine

/**
 * @param {Api} api
 * @param {number | string} project
 * @param {number} task
 * @param {(backend: Backend | null) => void} found
 * @param {(state: BackendState | null) => boolean} told returns whether anybody still wants to know
 * @throws {Trouble} what will fail when somebody clicks
 */
export async function follow(api, project, task, found, told) {
  const backend = await api.backend(project);
  found(backend);
  if (backend === null) return;
  const trouble = api.troubleOf(backend);
  if (trouble) throw trouble;
  for (let asked = 0; asked < PATIENCE; asked += 1) {
    const state = await api.state(backend, task);
    if (!told(state) || state === null || state.image === "ready") return;
    if (state.backend === "failed" || state.image === "failed") throw new Trouble(state.reason ?? "SAM2: ?");
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}
