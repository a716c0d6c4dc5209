/** What the chip says, from how things are. */

import { isAsItCame } from "./looks.js";
import { nameOf, shortNameOf } from "./messages.js";

/** @import { Look } from "./looks.js" */
/** @import { Texts } from "./messages.js" */
/** @import { Trouble } from "./trouble.js" */

/**
 * @typedef {object} Situation
 * @property {boolean} autoAnnotation whether the editor asks at all
 * @property {Trouble | null} trouble what went wrong last
 * @property {number | null} unsaved the HTTP status with which the last save failed
 * @property {BackendState | null} state what the backend said last
 * @property {"shown" | "loading" | { problem: string }} pictures whether what is asked about can be seen
 * @property {string} look how a picture is looked at, if not as it came
 * @property {boolean} leads whether that, of what keys do beside clicks, says what to do next
 * @property {string} coverage how many pixels have no label, where the project wants all to have one
 * @property {boolean} isUnknown whether it has not said anything about this task yet
 * @property {boolean} isBusy whether a click waits for its answer
 * @property {boolean} isSuggested whether a mask waits to be accepted
 * @property {boolean} foundNothing whether the last answer held no mask
 * @property {boolean} hasBox whether it was asked for with a box
 * @property {number} candidate which of the model's masks is on the screen, from 0
 * @property {number} candidates of how many
 * @property {boolean} negative whether points say "not this"
 * @property {boolean} lacksLabel whether what is drawn would be of no label
 * @property {boolean} isUnlabelled whether what waits is of no label
 * @property {boolean} wantsLabel whether it was to be accepted all the same
 * @property {boolean} brushAsks whether the brush asks SAM2
 * @property {string | null} selected the label of the region that is selected
 * @property {{ from: string, to: string } | null} relabelled what was done last
 * @property {"point" | "box" | "brush" | null} tool that draws
 * @property {string[]} brushKeys what stands on the keys for thinner and thicker
 */

/** @typedef {{ mood: "quiet" | "busy" | "ready" | "error", text: string, extra: string, about: string }} Line */

/**
 * The line: what to do next. What answers, and where, is in `about`.
 * @param {Situation} now
 * @param {Texts} texts
 * @returns {Line}
 */
export function statusLine(now, texts) {
  return { ...problemLine(now, texts) ?? workLine(now, texts), about: nameOf(now.state, texts) };
}

/** @typedef {Omit<Line, "about">} Words */

/**
 * What is in the way; null where nothing is.
 * @param {Situation} now
 * @param {Texts} texts
 * @returns {Words | null}
 */
function problemLine(now, texts) {
  const { trouble } = now;
  const error = (/** @type {string} */ text, extra = "") => ({ mood: /** @type {const} */ ("error"), text, extra });
  if (now.unsaved !== null) return error(texts.notSaved(reasonOf(now.unsaved, texts)));
  if (trouble?.requestId) return error(trouble.message, texts.request(trouble.requestId));
  // What is said of a mask that waits counts more than another image of the task.
  if (typeof now.pictures === "object" && !now.isBusy && !now.isSuggested) return error(now.pictures.problem);
  if (trouble) return error(trouble.message);
  return now.wantsLabel ? error(texts.wantsLabel) : null;
}

/**
 * @param {number} status
 * @param {Texts} texts
 */
function reasonOf(status, texts) {
  if (status === 401 || status === 403) return texts.signedOut;
  return status === 503 ? texts.unreachable : texts.http(status);
}

/**
 * @param {Situation} now
 * @param {Texts} texts
 * @returns {Words}
 */
function workLine(now, texts) {
  const { state } = now;
  const seen = [now.coverage, now.look];
  const line = (/** @type {Line["mood"]} */ mood, /** @type {string} */ text, /** @type {(string | false)[]} */ ...hints) => ({
    mood,
    text,
    extra: [...hints, now.negative && texts.negative, !now.brushAsks && texts.byHand, ...seen].filter(Boolean).join(" · "),
  });
  if (now.relabelled) return line("ready", texts.relabelled(now.relabelled.from, now.relabelled.to));
  if (!now.autoAnnotation) return { mood: "quiet", text: texts.off, extra: seen.filter(Boolean).join(" · ") };
  const name = shortNameOf(state, texts);
  const another = now.candidates > 1 && texts.another(now.candidate + 1, now.candidates);
  if (now.isBusy) return line("busy", texts.thinking(name));
  if (now.isSuggested && now.isUnlabelled) return line("ready", texts.unlabelledMask, another);
  if (now.isSuggested) return line("ready", texts.pending, another);
  if (now.foundNothing && now.candidates > 1) return line("quiet", texts.nothingThere(now.candidate + 1, now.candidates));
  if (now.foundNothing) return line("quiet", now.hasBox ? texts.nothingInBox : texts.nothing);
  if (now.pictures === "loading") return line("busy", texts.pictureLoading);
  if (now.isUnknown) return line("quiet", texts.starting);
  if (state?.backend === "loading") return line("busy", texts.loading(state.model ?? ""));
  if (state?.image === "encoding") return line("busy", texts.encoding(name), nextStep(now, texts));
  return line("ready", texts.ready(name), nextStep(now, texts));
}

/**
 * @param {Situation} now
 * @param {Texts} texts
 */
function nextStep(now, texts) {
  if (now.leads) return "";
  if (now.selected !== null) return texts.selected(now.selected);
  if (now.lacksLabel) return texts.label;
  if (now.tool === "box") return texts.drawBox;
  if (now.tool !== "brush") return now.tool === "point" && texts.click;
  const [thinner, thicker] = now.brushKeys;
  return [now.brushAsks && texts.paint, texts.brushKeys(thinner, thicker)].filter(Boolean).join(" · ");
}

/**
 * How many pixels have no label, of each image; empty where that is not known.
 * @param {Map<string, number>} shares by image tag, of 0 to 1
 * @param {Texts} texts
 */
export function coverageWords(shares, texts) {
  const all = [...shares];
  if (!all.length) return "";
  if (all.every(([, share]) => share === 0)) return texts.complete;
  if (all.length === 1) return texts.unlabelled(percent(all[0][1]));
  return texts.unlabelled(all.map(([name, share]) => `${name} ${percent(share)}`).join(", "));
}

/** @param {number} share what is not quite none never reads as none */
function percent(share) {
  return share > 0 && share < 0.0005 ? "<0.1 %" : `${(100 * share).toFixed(1)} %`;
}

/**
 * That a file has more pages than the one on the screen; empty where none has.
 * @param {Record<string, number>} pages by image tag
 * @param {number} tags how many images the task has
 * @param {Texts} texts
 */
export function pageWords(pages, tags, texts) {
  const words = Object.entries(pages).map(([name, count]) => (tags > 1 ? `${name}: ${texts.page(count)}` : texts.page(count)));
  return words.join(", ");
}

/**
 * What was changed about a picture, and how it is as it came again; empty where nothing was.
 * @param {Look} look
 * @param {Texts} texts
 */
export function lookWords(look, texts) {
  if (isAsItCame(look)) return "";
  const contrast = `×${Number((1 / look.window).toPrecision(2))}`;
  const brightness = `${Math.round((0.5 - look.level) * (look.inverted ? -100 : 100))} %`;
  const isStretched = look.window !== 1 || look.level !== 0.5;
  const words = [isStretched && texts.look(contrast, brightness), look.inverted && texts.inverted, look.coloured && texts.coloured];
  return [...words, texts.asItCame].filter(Boolean).join(" · ");
}
