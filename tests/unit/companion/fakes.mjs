/** Regions, results and labels as the editor has them, as far as the companion looks. */

let count = 0;

export function region(given = {}) {
  const { type = "keypointregion", label = "Sky", results, ...rest } = given;
  count += 1;
  const id = rest.id ?? `r${count}`;
  return {
    id: `${id}#a1`,
    cleanId: id,
    type,
    dynamic: true,
    fromSuggestion: false,
    isDrawing: false,
    labelName: label,
    object: { name: "image" },
    item_index: null,
    results: results ?? [result("keypoint"), result("labels")],
    x: 10,
    y: 20,
    ...rest,
    ...(rest.id ? { id: `${id}#a1` } : {}),
  };
}

export function result(type, selectedLabels = []) {
  return { type, selectedLabels, serialize: () => (type === "labels" ? null : { id: "r", type, value: {} }) };
}
