/**
 * What the annotator drew and has not accepted: which of it belongs together, and what is sent. Nothing here touches
 * the page.
 */

const SHOWN = 4; // decimals of a percent: a hundredth of a pixel in the largest image

/**
 * Regions that ask SAM2. Those that came from it, and those that are being drawn, do not.
 * @param {Region[]} regions
 * @returns {Region[]}
 */
export function promptsAmong(regions) {
  return regions.filter((one) => one.dynamic && !one.fromSuggestion && !one.isDrawing);
}

/**
 * Prompts that a draft brings back as points like any other, from a page without this script: Label Studio's sources
 * write `is_positive` at a point that asks, and at no other (libs/editor, regions/KeyPointRegion.jsx).
 * @param {Region[]} regions
 * @returns {Region[]}
 */
export function promptsOfDrafts(regions) {
  return regions.filter((one) => !one.dynamic && !one.isDrawing && one._rawResult?.is_positive !== undefined);
}

/**
 * Prompts with the same subject ask for one object together: points, boxes and strokes of one label on one image.
 * @param {Region} prompt
 */
export function subjectOf(prompt) {
  return JSON.stringify([prompt.labelName ?? null, prompt.object.name, prompt.item_index ?? null]);
}

/**
 * Changes whenever the prompt does, by hand, undo or otherwise.
 * @param {Region} prompt
 */
export function stateOf(prompt) {
  const { x, y, width, height, rotation } = prompt;
  const shape = [x, y, width, height, rotation].map((value) => value?.toFixed(SHOWN) ?? "");
  return [prompt.id, subjectOf(prompt), prompt.negative ? "-" : "+", prompt.touches?.length ?? "", ...shape].join("|");
}

/**
 * The subject that was drawn last.
 * @param {Region[]} prompts not empty
 * @param {Set<string>} known the states of all prompts when they were looked at before
 * @param {string | null} before the subject then
 */
export function currentSubject(prompts, known, before) {
  const changed = prompts.filter((one) => !known.has(stateOf(one)));
  if (changed.length) return subjectOf(changed[changed.length - 1]);
  // One was deleted: its subject stays, as long as something of it is left.
  if (before !== null && prompts.some((one) => subjectOf(one) === before)) return before;
  return subjectOf(prompts[prompts.length - 1]);
}

/**
 * The prompts as Label Studio sends them. Only they are serialised: with a hundred masks the whole annotation takes
 * seconds.
 * @param {Region[]} prompts
 * @returns {PromptEntry[]}
 */
export function entriesOf(prompts) {
  return prompts.flatMap((one) => one.results.map((result) => result.serialize()).filter((entry) => entry !== null));
}

/**
 * Results under ids of their own. A stroke's mask comes back under the stroke's id, and the editor would then merge the
 * two instead of replacing one by the other.
 * @template {{ id: string }} R
 * @param {R[]} results
 * @param {Region[]} prompts
 * @param {() => string} newId
 * @returns {R[]}
 */
export function underNewIds(results, prompts, newId) {
  const taken = new Set(prompts.map((one) => one.cleanId));
  /** @type {Map<string, string>} */
  const renamed = new Map();
  return results.map((one) => {
    if (!taken.has(one.id)) return one;
    const id = renamed.get(one.id) ?? newId();
    renamed.set(one.id, id);
    return { ...one, id };
  });
}

/**
 * Results that acceptance glued to a mask because the prompt's label was still selected. They break exports.
 * @param {Region} region
 * @returns {Result[]}
 */
export function ghostsOf(region) {
  if (!region.fromSuggestion || region.type !== "brushregion") return [];
  return region.results.filter((one) => /^(keypoint|rectangle)(labels)?$/.test(one.type));
}
