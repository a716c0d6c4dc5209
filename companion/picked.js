/** Which tools and labels of Label Studio's editor are picked, and picking others. */

import { selectedIn } from "./editor.js";

const PROMPT_TOOLS = /^(KeyPointTool|RectangleTool|Rectangle3PointTool)$/;

/**
 * Whether the tool that is picked draws prompts.
 * @param {Window} page
 * @param {Region} region
 */
export function isBrushTool(page, region) {
  return page.ToolManager?.getInstance({ name: region.object.name })?.findSelectedTool()?.toolName === "BrushTool";
}

/**
 * What draws now: the tool that is picked on the first image that has one.
 * @param {Window} page
 * @returns {"point" | "box" | "brush" | null}
 */
export function pickedTool(page) {
  const names = (page.ToolManager?.allInstances() ?? []).map((one) => one.findSelectedTool()?.toolName ?? "");
  if (names.some((one) => /^Brush|^Erase/.test(one))) return "brush";
  if (names.some((one) => /^Rectangle/.test(one))) return "box";
  return names.some((one) => /^KeyPoint/.test(one)) ? "point" : null;
}

/**
 * The tools that are picked and have a size, by what makes them thinner and thicker.
 * @param {Window} page
 * @returns {{ thinner(): void, thicker(): void }[]}
 */
export function brushesOf(page) {
  const shortcuts = (page.ToolManager?.allInstances() ?? []).map((one) => one.findSelectedTool()?.extraShortcuts ?? {});
  const sized = shortcuts.filter((one) => "tool:decrease-tool" in one && "tool:increase-tool" in one);
  return sized.map((one) => ({ thinner: one["tool:decrease-tool"][1], thicker: one["tool:increase-tool"][1] }));
}

/**
 * Whether what is drawn now would be of no label, though the project has labels.
 * @param {Window} page
 * @param {Annotation} annotation
 */
export function lacksLabel(page, annotation) {
  const palettes = [...annotation.names.values()].filter((one) => one.type.endsWith("labels"));
  if (!palettes.length) return false;
  const picked = (page.ToolManager?.allInstances() ?? []).map((one) => one.findSelectedTool()?.control);
  const own = picked.filter((one) => one?.type.endsWith("labels"));
  return own.length ? own.some((one) => !one?.isSelected) : !palettes.some((one) => one.isSelected);
}

/**
 * Whether a label is picked for what is drawn on an image, or its project has none.
 * @param {Annotation} annotation
 * @param {string} name of the image's tag
 */
export function isLabelPicked(annotation, name) {
  const palettes = [...annotation.names.values()].filter((one) => one.type.endsWith("labels") && one.toname === name);
  return !palettes.length || palettes.some((one) => one.isSelected);
}

/**
 * Whether the tool that is picked for an image asks about points.
 * @param {Window} page
 * @param {string} name of the image's tag
 */
export function hasSmartPoint(page, name) {
  const tool = page.ToolManager?.getInstance({ name })?.findSelectedTool();
  return tool?.toolName === "KeyPointTool" && tool.dynamic;
}

/**
 * Pick the smart twin of a plain point or box tool: with the plain one, a click asks nothing.
 * @param {Window} page
 */
export function preferSmartTools(page) {
  for (const manager of page.ToolManager?.allInstances() ?? []) {
    const tool = manager.findSelectedTool();
    if (!tool || tool.dynamic || tool.mode === "drawing" || !PROMPT_TOOLS.test(tool.toolName)) continue;
    const twin = manager
      .allTools()
      .find((one) => one.dynamic && one.toolName === tool.toolName && one.control === tool.control);
    if (twin) manager.selectTool(twin, true);
  }
}

/**
 * Pick labels, and nothing else; no region is selected then, which would get them.
 * @param {Annotation} annotation
 * @param {Label[]} labels
 */
export function pick(annotation, labels) {
  annotation.unselectAll();
  for (const label of labels) label.setSelected(true);
}

/**
 * The label that is picked for an image, with the palette that it is of; null where none is.
 * @param {Annotation} annotation
 * @param {string} name of the image tag
 * @returns {{ type: string, value: string, labels: Label[] } | null}
 */
export function pickedLabel(annotation, name) {
  for (const one of annotation.names.values()) {
    const isOn = one.toname === undefined || one.toname.split(",").includes(name);
    const value = one.type.endsWith("labels") && one.isSelected && isOn ? one.selectedValues?.()[0] : undefined;
    if (value !== undefined) return { type: one.type, value, labels: [...(one.selectedLabels ?? [])] };
  }
  return null;
}

/**
 * The labels that a region has of a palette that several tools share.
 * @param {Region} region
 * @returns {Label[]}
 */
export function labelsOf(region) {
  return region.results.flatMap((one) => (one.type === "labels" ? one.selectedLabels ?? [] : []));
}

/**
 * Select the label of a prompt again: the editor unselects it after each point, and the next one would be of nothing.
 * @param {Region} prompt
 */
export function keepLabel(prompt) {
  const labels = selectedLabelsOf([prompt]);
  for (const label of labels) label.setSelected(true);
  return labels;
}

/** @param {Label} label */
export function isPicked(label) {
  return label.selected;
}

/**
 * The labels that are picked, for what is drawn next; empty where a region is selected, whose labels they show then.
 * @param {Annotation} annotation
 */
export function pickedLabels(annotation) {
  if (selectedIn(annotation).length) return "";
  const palettes = [...annotation.names.values()].filter((one) => one.type.endsWith("labels") && one.isSelected);
  return palettes.map((one) => JSON.stringify([one.name, one.selectedValues?.()])).join();
}

/**
 * The labels of the prompt that was drawn last.
 * @param {Region[]} prompts
 */
export function selectedLabelsOf(prompts) {
  const last = prompts[prompts.length - 1];
  return last?.results.flatMap((one) => (one.type.endsWith("labels") ? one.selectedLabels ?? [] : [])) ?? [];
}
