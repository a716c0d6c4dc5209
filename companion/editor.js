/**
 * What Label Studio's editor shows, by the objects that it exposes: `dataManager`, its store `lsf.lsf`, and `ToolManager`.
 * What a name does stands in Label Studio's sources of the versions listed here. Which tools and labels are picked is in
 * `picked.js`, what is done to regions in `regions.js`.
 */

export const VERSIONS = ["1.23.2"];
export const FINISHED = "lsf:regionFinishedDrawing";

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
