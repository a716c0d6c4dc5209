/** The key J: the masks of the task before, in the order of the list of tasks, as proposals on this one. */

import { addInTurn, newId } from "./everything.js";
import { annotationsIn } from "./frames.js";

/** @import { Api } from "./api.js" */
/** @import { Offer } from "./proposals.js" */

const PAGE = 1000;
const MOST_PAGES = 100;
const MASKS = /^(brush|bitmask|polygon|ellipse|rectangle)(labels)?$/;
const MADE_HERE = ["score", "origin", "parentID"]; // of the other task alone

/** What there is no offer for, and why: a word of the page's texts. */
export class Nothing extends Error {
  /** @param {"noTaskBefore" | "noMasksBefore" | "otherSizeBefore" | "goneHere" | "doubtedHere"} reason */
  constructor(reason) {
    super(reason);
    this.reason = reason;
  }
}

/**
 * The masks of the task before this one.
 * @param {Api} api
 * @param {DataManager} manager
 * @param {Backend} backend
 * @param {number} task
 * @param {ImageTag} image that they are offered on
 * @param {Annotation} annotation
 * @param {AbortSignal} signal
 * @returns {Promise<Offer>}
 */
export async function masksBefore(api, manager, backend, task, image, annotation, signal) {
  const id = await taskBefore(api, manager, task, signal);
  if (id === null) throw new Nothing("noTaskBefore");
  const before = await api.read(`/api/tasks/${id}/`, signal);
  const index = image.multiImage ? image.currentImageEntity?.index ?? 0 : 0;
  const mine = resultsOf(before).filter((one) => one.to_name === image.name && (one.item_index ?? 0) === index);
  return offerOf(api, backend, task, image, annotation, mine, signal);
}

/**
 * Results as proposals: each mask can be taken with all that its region has.
 * @param {Api} api
 * @param {Backend} backend
 * @param {number} task
 * @param {ImageTag} image that they are offered on
 * @param {Annotation} annotation
 * @param {any[]} mine results of one image
 * @param {AbortSignal} signal
 * @returns {Promise<Offer>}
 */
export async function offerOf(api, backend, task, image, annotation, mine, signal) {
  const shapes = mine.filter((one) => MASKS.test(one.type) && annotation.names.has(one.from_name));
  const unique = [...new Map(shapes.map((one) => [one.id, one])).values()];
  if (!unique.length) throw new Nothing("noMasksBefore");
  const { naturalWidth, naturalHeight } = image.currentImageEntity ?? {};
  const fitting = unique.filter((one) => one.original_width === naturalWidth && one.original_height === naturalHeight);
  if (!fitting.length) throw new Nothing("otherSizeBefore");
  const data = await api.query(backend, task, { ask: "outlines", result: fitting.map(plain) }, newId(), signal);
  /** @type {{ id: string, rings: any[], area: number }[]} */
  const outlines = data?.outlines ?? [];
  const proposals = outlines.map(({ rings, area }) => ({ rings, area }));
  return {
    image,
    annotation,
    proposals,
    take: async (chosen) =>
      addInTurn(
        annotation,
        chosen.map((one) => copied(mine, outlines[proposals.indexOf(one)].id)),
      ),
  };
}

/**
 * The id of the task before one, as the list of tasks is sorted and filtered now; null for the first, and for one that
 * the list does not have.
 * @param {Api} api
 * @param {DataManager} manager
 * @param {number} task
 * @param {AbortSignal} signal
 * @returns {Promise<number | null>}
 */
export async function taskBefore(api, manager, task, signal) {
  const view = manager.store?.viewsStore?.selected;
  /** @type {Record<string, string>} */
  const which = view?.virtual ? { query: String(view.query ?? "") } : view?.id !== undefined ? { view: String(view.id) } : {};
  let last = null;
  for (let page = 1; page <= MOST_PAGES; page += 1) {
    const asked = new URLSearchParams({
      project: String(manager.projectId),
      ...which,
      include: "id",
      page: String(page),
      page_size: String(PAGE),
    });
    const { tasks = [], total = 0 } = await api.read(`/api/tasks?${asked}`, signal);
    /** @type {number[]} */
    const ids = tasks.map((/** @type {{ id: number }} */ one) => one.id);
    const at = ids.indexOf(task);
    if (at >= 0) return at > 0 ? ids[at - 1] : last;
    if (!ids.length || page * PAGE >= total) return null;
    last = ids[ids.length - 1];
  }
  return null;
}

/**
 * The annotation that counts, else another one that has results; else the newest prediction.
 * @param {any} task as Label Studio gives it
 * @returns {any[]}
 */
export function resultsOf(task) {
  const predicted = [...(task.predictions ?? [])].sort((one, other) => other.id - one.id);
  const rows = [...annotationsIn(task), ...predicted];
  return rows.find((one) => one.result?.length)?.result ?? [];
}

/**
 * All results of a region, without what is true of the other task only.
 * @param {any[]} results
 * @param {string} id
 */
function copied(results, id) {
  const own = structuredClone(results.filter((one) => one.id === id));
  for (const one of own) for (const name of MADE_HERE) delete one[name];
  return own;
}

/**
 * A shape as the backend reads it.
 * @param {any} result
 * @returns {PromptEntry}
 */
function plain({ id, type, from_name, to_name, item_index, original_width, original_height, value }) {
  return { id, type, from_name, to_name, ...(item_index === undefined ? {} : { item_index }), original_width, original_height, value };
}
