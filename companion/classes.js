/** The classes of a task: their colours, and how many regions each has. */

import { promptsAmong } from "./prompts.js";

/** @typedef {{ name: string, colour: string, count: number }} LabelCount */

/** What regions without a label are listed under. */
export const NO_LABEL = "";

/**
 * Every label of the palettes, in their order, and what else regions are labelled with.
 * @param {Iterable<Control>} controls of the labeling configuration
 * @param {Region[]} regions of the annotation
 * @returns {LabelCount[]}
 */
export function classesOf(controls, regions) {
  /** @type {Map<string, LabelCount>} */
  const classes = new Map();
  for (const palette of controls) {
    if (!palette.type.endsWith("labels")) continue;
    for (const { value, background } of palette.children ?? []) {
      if (value && !classes.has(value)) classes.set(value, { name: value, colour: background ?? "#888", count: 0 });
    }
  }
  for (const region of drawnAmong(regions)) {
    const name = region.labelName || NO_LABEL;
    const known = classes.get(name) ?? { name, colour: region.strokeColor ?? "#888", count: 0 };
    classes.set(name, { ...known, count: known.count + 1 });
  }
  return [...classes.values()];
}

/**
 * What is drawn and no prompt.
 * @param {Region[]} regions
 */
export function drawnAmong(regions) {
  const prompts = new Set(promptsAmong(regions));
  return regions.filter((one) => !prompts.has(one) && !one.isDrawing);
}
