/**
 * Everything that touches Label Studio's editor, by the objects that it exposes: `dataManager`, its store `lsf.lsf`, and
 * `ToolManager`. What a name does stands in Label Studio's sources of the versions listed here.
 */

import { ghostsOf, promptsAmong } from "./prompts.js";

export const VERSIONS = ["1.23.2"];
export const FINISHED = "lsf:regionFinishedDrawing";
const PROMPT_TOOLS = /^(KeyPointTool|RectangleTool|Rectangle3PointTool)$/;
const HISTORY_KEY = "labelrig";

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
 * @param {boolean} keepsLabel whether their label is picked for the next object, also where the editor's own setting is off
 * @returns {Label[]} those that are picked then
 */
export function accept(store, annotation, prompts, keepsLabel = false) {
  const labels = keepsLabel || store.settings.continuousLabeling ? selectedLabelsOf(prompts) : [];
  asOneStep(annotation, () => {
    // The editor gives the mask every label that is selected: the ghosts that break exports. Only a mask that was asked
    // for without a label takes the one that was picked since.
    if (prompts.some((one) => one.labelName)) annotation.unselectAll();
    for (const id of [...annotation.suggestions.keys()]) annotation.acceptSuggestion(id);
    annotation.unselectAll();
    remove(annotation, prompts);
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
  asOneStep(annotation, () => {
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
 */
export function reject(annotation) {
  asOneStep(annotation, () => {
    for (const id of [...annotation.suggestions.keys()]) annotation.rejectSuggestion(id);
    remove(annotation, promptsAmong(annotation.regions));
    annotation.unselectAll(); // as after a mask was accepted: the next object begins with its label
  });
}

/**
 * Remove prompts without the editor asking about what is left of them.
 * @param {Annotation} annotation
 * @param {Region[]} prompts
 */
export function remove(annotation, prompts) {
  const ids = new Set(prompts.map((one) => one.id));
  for (const one of promptsAmong(annotation.regions).filter((region) => ids.has(region.id))) {
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
  for (const region of annotation.regions) {
    for (const ghost of ghostsOf(region)) region.removeResult(ghost);
  }
}

/** @param {Region[]} prompts */
function selectedLabelsOf(prompts) {
  const last = prompts[prompts.length - 1];
  return last?.results.flatMap((one) => (one.type.endsWith("labels") ? one.selectedLabels ?? [] : [])) ?? [];
}

/**
 * @param {Annotation} annotation
 * @param {() => void} work
 */
function asOneStep(annotation, work) {
  annotation.history.freeze(HISTORY_KEY);
  try {
    work();
  } finally {
    annotation.history.unfreeze(HISTORY_KEY);
  }
}
