/** The results of a region: the one that draws it, and its labels, answers and notes. */

const SHAPES = /^(brush|bitmask|polygon)(labels)?$/;
// Of a result's value, what draws the region; the rest is its labels and answers.
const DRAWN = ["format", "rle", "touches", "maskDataURL", "imageDataURL", "points", "closed", "x", "y", "width", "height", "radiusX", "radiusY", "rotation"];

/** @param {{ type: string }} result */
export function isShape({ type }) {
  return SHAPES.test(type);
}

/**
 * New shapes with all that the old region had: its labels, its answers to questions about a region, its notes.
 * @param {any[]} results the backend's
 * @param {any[]} entries of the old region, and of others after it
 * @returns {any[]}
 */
export function dressed(results, entries) {
  const old = entries.filter((one) => one.id === entries[0].id);
  const shape = old.find(isShape);
  const labels = shape?.value[shape.type];
  const seen = new Set();
  return results.flatMap((one) => {
    if (seen.has(one.id)) return [];
    seen.add(one.id);
    const value = Array.isArray(labels) && one.type.endsWith("labels") ? { ...one.value, [one.type]: labels } : one.value;
    const rest = old.filter((entry) => entry !== shape);
    return [
      { ...one, value, ...(shape?.meta ? { meta: shape.meta } : {}) },
      ...rest.map((entry) => ({ ...entry, id: one.id, value: withoutShape(entry.value) })),
    ];
  });
}

/**
 * The labels and answers of a result.
 * @param {Record<string, any>} value
 */
export function withoutShape(value) {
  return Object.fromEntries(Object.entries(value).filter(([name]) => !DRAWN.includes(name)));
}
