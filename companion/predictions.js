/** Propagated masks as predictions of Label Studio's, as `./inv propagate` stores them (dataset/propagate/storing.py). */

import { annotatedIn } from "./frames.js";
import { MODEL_VERSION, noteOf } from "./tracks.js";

/** @import { Api } from "./api.js" */

/**
 * The propagated predictions of a task, the newest first.
 * @param {any} task as Label Studio gives it
 * @returns {{ id: number, result: any[] }[]}
 */
export function propagatedIn(task) {
  const rows = (task.predictions ?? []).filter((/** @type {any} */ one) => one.model_version === MODEL_VERSION);
  return rows.sort((/** @type {any} */ one, /** @type {any} */ other) => other.id - one.id);
}

/**
 * Put masks into a task: those of other tracks stay, and a task that people have annotated stays as it is. The new
 * prediction is there before the old one goes, so what is cut off in between leaves both; the next time removes the older.
 * @param {Api} api
 * @param {number} id of the task
 * @param {any[]} results
 * @param {(result: any) => boolean} replaces whether a mask that is there goes
 * @param {AbortSignal} signal
 * @returns {Promise<"stored" | "same" | "annotated">}
 */
export async function store(api, id, results, replaces, signal) {
  const task = await api.read(`/api/tasks/${id}/`, signal);
  if (annotatedIn(task)) return "annotated";
  const [newest, ...older] = propagatedIn(task);
  const kept = (newest?.result ?? []).filter((one) => !replaces(one));
  const all = [...kept, ...results];
  const isSame = newest !== undefined && canonical(newest.result) === canonical(all);
  if (!isSame) {
    const scores = all.flatMap((one) => noteOf(one)?.score ?? []);
    const score = scores.length ? Math.min(...scores) : 0;
    await api.write("POST", "/api/predictions/", { task: id, result: all, score, model_version: MODEL_VERSION }, signal);
    if (newest) older.push(newest);
  }
  for (const one of older) await api.write("DELETE", `/api/predictions/${one.id}/`, null, signal);
  return isSame ? "same" : "stored";
}

/**
 * JSON with sorted keys: a database may give them back in another order.
 * @param {unknown} value
 * @returns {string}
 */
function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value) ?? "null";
  const entries = Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1));
  return `{${entries.map(([name, one]) => `${JSON.stringify(name)}:${canonical(one)}`).join(",")}}`;
}
