/**
 * Everything that touches Label Studio's editor, by the objects that it exposes: `dataManager`, its store `lsf.lsf`, and
 * `ToolManager`. What a name does stands in Label Studio's sources of the versions listed here.
 */

import { asOneStep } from "./history.js";
import { ghostsOf } from "./prompts.js";

export const VERSIONS = ["1.23.2"];
export const FINISHED = "lsf:regionFinishedDrawing";
const PROMPT_TOOLS = /^(KeyPointTool|RectangleTool|Rectangle3PointTool)$/;

/**
 * Null when the page is of a version that we know; else why nothing is done.
 * @param {Window} page
 */
export function strangeness(page) {
  const release = page.APP_SETTINGS?.version?.release;
  if (release === undefined) return "this page does not say its version";
  return VERSIONS.includes(release) ? null : `Label Studio ${release} is not known, only ${VERSIONS.join(", ")}`;
}

/**
 * Whether the data manager has what we use: a page may be half built.
 * @param {DataManager | undefined} manager
 * @returns {manager is DataManager}
 */
export function isUsable(manager) {
  const names = /** @type {const} */ (["on", "off", "getEventCallbacks"]);
  return manager !== undefined && names.every((name) => typeof manager[name] === "function");
}

/**
 * The annotation on the screen that can be drawn on.
 * @param {Store} store
 * @returns {Annotation | null}
 */
export function openAnnotation(store) {
  const { selected, viewingAll } = store.annotationStore;
  return !selected || viewingAll || selected.isReadOnly() ? null : selected;
}

/**
 * The image tags of the annotation on the screen, whether or not it can be drawn on.
 * @param {Store} store
 * @returns {ImageTag[]}
 */
export function imagesOf(store) {
  const { selected, viewingAll } = store.annotationStore;
  const tags = !selected || viewingAll ? [] : [...selected.names.values()];
  return /** @type {ImageTag[]} */ (tags.filter((one) => one.type === "image"));
}

/**
 * The canvas with the picture and nothing else; null while there is none.
 * @param {ImageTag} image
 */
export function canvasOf(image) {
  const src = image.currentImageEntity?.currentSrc;
  const holds = (/** @type {Drawn} */ one) =>
    one.className === "Image" && /** @type {HTMLImageElement | null} */ (one.image?.())?.src === src;
  const layers = image.imageIsLoaded && src ? image.stageRef?.getLayers() ?? [] : [];
  return layers.find((layer) => layer.getChildren().some(holds))?.getNativeCanvasElement() ?? null;
}

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
 * The masks that wait to be accepted.
 * @param {Annotation} annotation
 * @returns {Region[]}
 */
export function suggestionsIn(annotation) {
  return [...annotation.suggestions.values()];
}

/**
 * The regions that are selected, in the order in which they were.
 * @param {Annotation} annotation
 * @returns {Region[]}
 */
export function selectedIn(annotation) {
  return annotation.selectedRegions ?? [];
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

/**
 * Select the label of a prompt again: the editor unselects it after each point, and the next one would be of nothing.
 * @param {Region} prompt
 */
export function keepLabel(prompt) {
  const labels = selectedLabelsOf([prompt]);
  for (const label of labels) label.setSelected(true);
  return labels;
}

/**
 * Draw nothing on an image until told to: with a hundred masks the editor needs longer to draw them for a point than SAM2
 * for its answer, and the answer waits behind it.
 * @param {Stage | undefined} stage
 * @returns {() => void} draws what is due; may be called twice
 */
export function holdDrawing(stage) {
  const layers = stage?.getLayers() ?? [];
  /** @type {Set<Layer>} */
  const due = new Set();
  for (const layer of layers) {
    layer.draw = () => {
      due.add(layer);
      return layer;
    };
  }
  return () => {
    for (const layer of layers) Reflect.deleteProperty(layer, "draw"); // its class's own is there again
    for (const layer of due) if (layer.getStage()) layer.batchDraw(); // the editor may have removed one
    due.clear();
  };
}

/** @param {Label} label */
export function isPicked(label) {
  return label.selected;
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

/**
 * The labels that are picked, for what is drawn next; empty where a region is selected, whose labels they show then.
 * @param {Annotation} annotation
 */
export function pickedLabels(annotation) {
  if (selectedIn(annotation).length) return "";
  const palettes = [...annotation.names.values()].filter((one) => one.type.endsWith("labels") && one.isSelected);
  return palettes.map((one) => JSON.stringify([one.name, one.selectedValues?.()])).join();
}

/** @param {Region[]} prompts */
function selectedLabelsOf(prompts) {
  const last = prompts[prompts.length - 1];
  return last?.results.flatMap((one) => (one.type.endsWith("labels") ? one.selectedLabels ?? [] : [])) ?? [];
}
