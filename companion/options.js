/** A project's options for the page, which Label Studio keeps with its backend. */

/** @import { Rule } from "./sequence.js" */

const TOLERANCE = 1.5; // pixels, where the project says nothing else

/**
 * Whether the project wants a label for every pixel (`complete_maps` in projects.yaml).
 * @param {Backend | null} backend
 */
export function wantsCompleteMaps(backend) {
  return optionsOf(backend)?.complete_maps === true;
}

/**
 * How far a polygon may be beside the edge of its mask, in pixels.
 * @param {Backend | null} backend
 */
export function toleranceOf(backend) {
  return Number(optionsOf(backend)?.polygon_tolerance_pixels) || TOLERANCE;
}

/**
 * Which images follow on each other (`sequence` in projects.yaml).
 * @param {Backend | null} backend
 * @returns {Rule}
 */
export function sequenceRule(backend) {
  try {
    return JSON.parse(optionsOf(backend)?.sequence ?? "{}") ?? {};
  } catch {
    return {};
  }
}

/** @param {Backend | null} backend */
function optionsOf(backend) {
  const given = backend?.extra_params;
  try {
    return typeof given === "string" ? JSON.parse(given) : given; // what was typed in the browser is a text
  } catch {
    return null;
  }
}
