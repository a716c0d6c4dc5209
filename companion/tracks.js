/** What a propagated region says of itself, in a note at the region; labeling/tracks.py writes and reads the same. */

/** @import { Texts } from "./messages.js" */

export const MODEL_VERSION = "propagate"; // of the predictions that propagated masks are in
const LOW_SCORE = 0.5; // such masks are there only if asked for: `./inv propagate --least-score`
const NOTE = /^track (?<track>\S+): out of (?<origin>.*), score (?<score>\d+(?:\.\d+)?), presence (?<presence>[\d.]+), run [0-9a-f]+$/;

/** @typedef {{ track: string, origin: string, score: number }} Note */

/**
 * The note of a region or of a result; null without one.
 * @param {{ meta?: { text?: unknown } | null }} marked
 * @returns {Note | null}
 */
export function noteOf(marked) {
  const text = marked.meta?.text;
  for (const one of Array.isArray(text) ? text : [text]) {
    const found = typeof one === "string" ? NOTE.exec(one)?.groups : null;
    if (found) return { track: found.track, origin: found.origin, score: Number(found.score) };
  }
  return null;
}

/**
 * What the panel says of the region that is selected; null where it was not propagated, or several are.
 * @param {Region[]} selected
 * @param {Texts} texts
 * @returns {{ text: string, isLow: boolean } | null}
 */
export function trackLine(selected, texts) {
  const note = selected.length === 1 ? noteOf(/** @type {any} */ (selected[0])) : null;
  if (!note) return null;
  const isLow = note.score < LOW_SCORE;
  return { text: texts.track(note.track, note.origin, note.score.toFixed(2)) + (isLow ? `: ${texts.lowScore}` : ""), isLow };
}
