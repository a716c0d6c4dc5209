/** The key M: the masks of the image before, continued into this one by SAM2's memory, as proposals. */

import { Nothing, masksBefore, offerOf, resultsOf } from "./before.js";
import { isMask, masksIn, sequenceOf } from "./frames.js";
import { Memory } from "./memory.js";
import { sequenceRule } from "./options.js";
import { withoutShape } from "./results.js";
import { Trouble } from "./trouble.js";

/** @import { Api } from "./api.js" */
/** @import { Offer } from "./proposals.js" */

/**
 * @typedef {object} Continued
 * @property {Offer} offer
 * @property {boolean} isByPlace this image begins its sequence: the masks are those of the list's image before, as they lie there
 * @property {number} doubted how many objects have no mask, since SAM2 is not sure of it
 * @property {number} objects how many were followed
 */

/**
 * The masks of the image before in the sequence, as they are on this one.
 * @param {Api} api
 * @param {DataManager} manager
 * @param {Backend} backend
 * @param {number} task
 * @param {ImageTag} image
 * @param {Annotation} annotation
 * @param {AbortSignal} signal
 * @returns {Promise<Continued>}
 */
export async function masksContinued(api, manager, backend, task, image, annotation, signal) {
  const sequence = await sequenceOf(api, manager.projectId, task, image, sequenceRule(backend), signal);
  if (!sequence?.at) {
    const offer = await masksBefore(api, manager, backend, task, image, annotation, signal);
    return { offer, isByPlace: true, doubted: 0, objects: 0 };
  }
  const { frames, at } = sequence;
  const before = await api.read(`/api/tasks/${frames[at - 1].task}/`, signal);
  const drawn = resultsOf(before);
  const entries = masksIn(drawn, image.name);
  if (!entries.length) throw new Nothing("noMasksBefore");
  const memory = new Memory(api, backend, frames.length, signal);
  const regions = await memory.give(frames[at - 1], at - 1, entries);
  const { results, tracks, doubted, problem } = await memory.into(frames[at], at);
  memory.end(task);
  if (problem) throw new Trouble(problem);
  if (!results.length) throw new Nothing(doubted.length ? "doubtedHere" : "goneHere");
  const all = [...results, ...answersIn(drawn, regions)];
  const offer = await offerOf(api, backend, task, image, annotation, all, signal);
  return { offer, isByPlace: false, doubted: doubted.length, objects: tracks.length };
}

/**
 * What was answered about the regions, for those that come of them.
 * @param {any[]} drawn results of the image before
 * @param {Record<string, string>} regions the id of each track's region there
 * @returns {any[]}
 */
function answersIn(drawn, regions) {
  return Object.entries(regions).flatMap(([track, id]) => {
    const answers = drawn.filter((one) => one.id === id && one.type !== "labels" && !isMask(one));
    return answers.map((one) => ({ ...one, id: track, value: withoutShape(one.value) }));
  });
}
