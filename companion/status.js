/** What the chip says, from how things are. */

import { nameOf } from "./messages.js";

/** @import { Trouble } from "./api.js" */
/** @import { Texts } from "./messages.js" */

/**
 * @typedef {object} Situation
 * @property {boolean} autoAnnotation whether the editor asks at all
 * @property {Trouble | null} trouble what went wrong last
 * @property {BackendState | null} state what the backend said last
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
  if (trouble) {
    return { mood: "error", text: trouble.message, extra: trouble.requestId ? texts.request(trouble.requestId) : "" };
  }
  if (!now.autoAnnotation) return { mood: "quiet", text: texts.off, extra: "" };
  const hints = [
    now.lacksLabel && texts.label,
    now.candidates > 1 && texts.another(now.candidate + 1, now.candidates),
    now.negative && texts.negative,
    !now.brushAsks && texts.byHand,
  ];
  const extra = hints.filter(Boolean).join(" · ");
  const name = nameOf(state, texts);
  if (now.isBusy) return { mood: "busy", text: texts.thinking(name), extra };
  if (now.isSuggested) return { mood: "ready", text: texts.pending(name), extra };
  if (now.foundNothing) return { mood: "quiet", text: texts.nothing(name), extra };
  if (now.isUnknown) return { mood: "quiet", text: texts.starting, extra };
  if (state?.backend === "loading") return { mood: "busy", text: texts.loading(state.model ?? ""), extra };
  if (state?.image === "encoding") return { mood: "busy", text: texts.encoding(name), extra };
  return { mood: "ready", text: texts.ready(name), extra };
}
