/** What is done to the regions of an annotation of Label Studio's editor, as steps of its history. */

import { asOneStep } from "./history.js";
import { pick, selectedLabelsOf } from "./picked.js";
import { ghostsOf } from "./prompts.js";

/**
 * Make the suggestions masks of the annotation and remove what they were asked with, as one step of the history.
 * @param {Store} store
 * @param {Annotation} annotation
 * @param {Region[]} prompts those that go
 * @param {boolean} joins whether it belongs to what was done last, such as the first point of the next object
 * @param {boolean} keepsLabel whether their label is picked for the next object, also where the editor's own setting is off
 * @returns {Label[]} those that are picked then
 */
export function accept(store, annotation, prompts, joins = false, keepsLabel = false) {
  const labels = keepsLabel || store.settings.continuousLabeling ? selectedLabelsOf(prompts) : [];
  asOneStep(annotation, joins, () => {
    // The editor gives the mask every label that is selected: the ghosts that break exports. Only a mask that was asked
    // for without a label takes the one that was picked since.
    if (prompts.some((one) => one.labelName)) annotation.unselectAll();
    for (const id of [...annotation.suggestions.keys()]) annotation.acceptSuggestion(id);
    annotation.unselectAll();
    removeRegions(annotation, prompts);
    for (const label of labels) label.setSelected(true);
  });
  return labels;
}

/**
 * Make results regions of the annotation, as pasting does, as one step of the history. What is picked or selected before
 * has no part in it.
 * @param {Annotation} annotation
 * @param {any[]} results Label Studio's
 * @param {Label[]} labels that are picked afterwards
 * @returns {Region[]} the new regions, under ids of the editor's
 */
export function addRegions(annotation, results, labels = []) {
  return replaceRegions(annotation, [], results, labels);
}

/**
 * Put results in the place of regions, as one step of the history: undo brings the old ones back.
 * @param {Annotation} annotation
 * @param {Region[]} gone
 * @param {any[]} results Label Studio's
 * @param {Label[]} labels that are picked afterwards
 * @returns {Region[]} the new regions, under ids of the editor's
 */
export function replaceRegions(annotation, gone, results, labels = []) {
  /** @type {Region[]} */
  let made = [];
  asOneStep(annotation, false, () => {
    annotation.unselectAll();
    for (const one of gone) one.deleteRegion();
    made = annotation.appendResults(results) ?? [];
    pick(annotation, labels);
  });
  return made;
}

/**
 * Take back the suggestions and what they were asked with.
 * @param {Annotation} annotation
 * @param {Region[]} prompts
 * @param {boolean} joins whether it belongs to what was done last: a point that gave an error
 */
export function reject(annotation, prompts, joins = false) {
  asOneStep(annotation, joins, () => {
    for (const id of [...annotation.suggestions.keys()]) annotation.rejectSuggestion(id);
    removeRegions(annotation, prompts);
    annotation.unselectAll(); // as after a mask was accepted: the next object begins with its label
  });
}

/**
 * Remove prompts, as a step of its own.
 * @param {Annotation} annotation
 * @param {Region[]} prompts
 */
export function remove(annotation, prompts) {
  asOneStep(annotation, false, () => removeRegions(annotation, prompts));
}

/**
 * Remove regions that the annotator did not remove: it belongs to what was done last.
 * @param {Annotation} annotation
 * @param {Region[]} regions
 */
export function tidy(annotation, regions) {
  if (regions.length) asOneStep(annotation, true, () => removeRegions(annotation, regions));
}

/**
 * Without the editor asking about what is left of them.
 * @param {Annotation} annotation
 * @param {Region[]} regions
 */
function removeRegions(annotation, regions) {
  const ids = new Set(regions.map((one) => one.id));
  for (const one of annotation.regions.filter((region) => ids.has(region.id))) {
    one.setDrawing(true); // Label Studio's own way to keep it from asking
    one.deleteRegion();
  }
}

/** @param {Annotation} annotation */
export function stripGhosts(annotation) {
  const found = annotation.regions.flatMap((region) => ghostsOf(region).map((ghost) => ({ region, ghost })));
  if (found.length) asOneStep(annotation, true, () => found.forEach(({ region, ghost }) => region.removeResult(ghost)));
}

/**
 * Give prompts the labels that are picked for their image, as a step of its own.
 * @param {Annotation} annotation
 * @param {Region[]} prompts without a label
 */
export function giveLabels(annotation, prompts) {
  asOneStep(annotation, false, () => {
    for (const one of prompts) {
      for (const palette of one.object.activeStates()) if (palette.type === "labels") one.setValue(palette);
    }
  });
}
