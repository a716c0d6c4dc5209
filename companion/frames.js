/** The sequence that a task's image belongs to, read from Label Studio; and one of its tasks, with what is drawn there. */

import { byValue, sequencesOf } from "./sequence.js";

/** @import { Api } from "./api.js" */
/** @import { Placed, Rule } from "./sequence.js" */

const PAGE = 500;
const MOST_PAGES = 200;
const MASKS = /^(brush|bitmask|polygon|ellipse)(labels)?$/;

/**
 * @typedef {object} Sequence
 * @property {Placed[]} frames
 * @property {number} at the place of the task
 */

/**
 * The sequence of a task's image; null where it has none: a list of images, or one that stands in the task itself.
 * @param {Api} api
 * @param {number | string} project
 * @param {number} task
 * @param {ImageTag} image
 * @param {Rule} rule
 * @param {AbortSignal} signal
 * @returns {Promise<Sequence | null>}
 */
export async function sequenceOf(api, project, task, image, rule, signal) {
  const key = /^\$(.+)$/.exec(image.value ?? "")?.[1];
  if (!key || image.multiImage) return null;
  /** @type {{ task: number, url: string, data: Record<string, any> }[]} */
  const frames = [];
  for (let page = 1; page <= MOST_PAGES; page += 1) {
    const asked = new URLSearchParams({
      project: String(project),
      include: "id,data",
      page: String(page),
      page_size: String(PAGE),
      query: JSON.stringify({ ordering: ["tasks:id"] }),
      resolve_uri: "false", // else a link of Label Studio's stands in the place of a cloud storage's address
    });
    const { tasks = [], total = 0 } = await api.read(`/api/tasks?${asked}`, signal);
    for (const { id, data } of tasks) if (typeof data?.[key] === "string") frames.push({ task: id, url: data[key], data });
    if (!tasks.length || page * PAGE >= total) break;
  }
  for (const one of sequencesOf(frames, rule)) {
    const at = one.findIndex((frame) => frame.task === task);
    if (at >= 0) return { frames: one, at };
  }
  return null;
}

/**
 * What people annotated in a task, the annotation that counts first, as for exports and `./inv propagate`: one that is
 * marked as ground truth, else the one that was changed last. Skipping a task is no annotation.
 * @param {any} task as Label Studio gives it
 * @returns {any[]}
 */
export function annotationsIn(task) {
  const rows = (task.annotations ?? []).filter((/** @type {any} */ one) => !one.was_cancelled);
  return rows.sort(
    (/** @type {any} */ one, /** @type {any} */ other) =>
      Number(other.ground_truth ?? false) - Number(one.ground_truth ?? false) ||
      byValue(other.updated_at ?? "", one.updated_at ?? "") ||
      other.id - one.id,
  );
}

/**
 * The annotation that counts; null where people did not annotate the task.
 * @param {any} task as Label Studio gives it
 * @returns {any[] | null}
 */
export function annotatedIn(task) {
  const [counts] = annotationsIn(task);
  return counts ? counts.result ?? [] : null;
}

/** @param {{ type: string }} result of a shape that SAM2 can follow */
export function isMask({ type }) {
  return MASKS.test(type);
}

/**
 * Those results of one image whose masks SAM2 can follow, with their labels, as the backend reads them: each shape once.
 * @param {any[]} results
 * @param {string} image the tag's name
 * @returns {PromptEntry[]}
 */
export function masksIn(results, image) {
  const mine = results.filter((one) => one.to_name === image && !one.item_index);
  const ids = new Set(mine.filter(isMask).map((one) => one.id));
  return mine.filter((one) => ids.has(one.id) && (isMask(one) || one.type === "labels")).map(plain);
}

/**
 * @param {any} result
 * @returns {PromptEntry}
 */
function plain({ id, type, from_name, to_name, original_width, original_height, meta, value }) {
  const own = type === "labels" ? { labels: value.labels } : value; // the editor writes the shape there too
  return { id, type, from_name, to_name, original_width, original_height, ...(meta ? { meta } : {}), value: own };
}
