/** What the chip says, from how things are. */

import { isAsItCame } from "./looks.js";
import { nameOf } from "./messages.js";

/** @import { Trouble } from "./api.js" */
/** @import { Look } from "./looks.js" */
/** @import { Texts } from "./messages.js" */

/**
 * @typedef {object} Situation
 * @property {boolean} autoAnnotation whether the editor asks at all
 * @property {Trouble | null} trouble what went wrong last
 * @property {BackendState | null} state what the backend said last
 * @property {"shown" | "loading" | { problem: string }} pictures whether what is asked about can be seen
 * @property {string} look how a picture is looked at, if not as it came
 * @property {string} coverage how many pixels have no label, where the project wants all to have one
 * @property {boolean} isUnknown whether it has not said anything about this task yet
 * @property {boolean} isBusy whether a click waits for its answer
 * @property {boolean} isSuggested whether a mask waits to be accepted
 * @property {boolean} foundNothing whether the last answer held no mask
 * @property {number} candidate which of the model's masks is on the screen, from 0
 * @property {number} candidates of how many
 * @property {boolean} negative whether points say "not this"
 * @property {boolean} lacksLabel whether what is drawn would be of no label
 * @property {boolean} brushAsks whether the brush asks SAM2
 */

/** @typedef {{ mood: "quiet" | "busy" | "ready" | "error", text: string, extra: string }} Line */

/**
 * @param {Situation} now
 * @param {Texts} texts
 * @returns {Line}
 */
export function statusLine(now, texts) {
  const { trouble, state } = now;
  if (trouble?.requestId) return { mood: "error", text: trouble.message, extra: texts.request(trouble.requestId) };
  // What is said of a mask that waits counts more than another image of the task.
  if (typeof now.pictures === "object" && !now.isBusy && !now.isSuggested) {
    return { mood: "error", text: now.pictures.problem, extra: "" };
  }
  if (trouble) return { mood: "error", text: trouble.message, extra: "" };
  if (!now.autoAnnotation) return { mood: "quiet", text: texts.off, extra: [now.coverage, now.look].filter(Boolean).join(" · ") };
  const hints = [
    now.lacksLabel && texts.label,
    now.candidates > 1 && texts.another(now.candidate + 1, now.candidates),
    now.negative && texts.negative,
    !now.brushAsks && texts.byHand,
    now.coverage,
    now.look,
  ];
  const extra = hints.filter(Boolean).join(" · ");
  const name = nameOf(state, texts);
  if (now.isBusy) return { mood: "busy", text: texts.thinking(name), extra };
  if (now.isSuggested) return { mood: "ready", text: texts.pending(name), extra };
  if (now.foundNothing) return { mood: "quiet", text: texts.nothing(name), extra };
  if (now.pictures === "loading") return { mood: "busy", text: texts.pictureLoading, extra };
  if (now.isUnknown) return { mood: "quiet", text: texts.starting, extra };
  if (state?.backend === "loading") return { mood: "busy", text: texts.loading(state.model ?? ""), extra };
  if (state?.image === "encoding") return { mood: "busy", text: texts.encoding(name), extra };
  return { mood: "ready", text: texts.ready(name), extra };
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
