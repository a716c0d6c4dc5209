/** What a click on the picture means: with a label picked it draws, also where a mask lies already. */

import { imagesOf, openAnnotation, selectedIn } from "./editor.js";

/** @import { Session } from "./session.js" */

/**
 * Whether a button that goes down on a mask would select it, though a label is picked to draw with. Label Studio draws
 * there with Ctrl held. A prompt that is not accepted yet is dragged, as ever.
 * @param {Window} page
 * @param {Store} store
 * @param {Pick<MouseEvent, "target" | "button" | "shiftKey" | "clientX" | "clientY">} press
 */
export function drawsOverMask(page, store, press) {
  const annotation = openAnnotation(store);
  if (!annotation || !store.autoAnnotation || press.button !== 0 || press.shiftKey) return false;
  const holds = (/** @type {ImageTag} */ one) => one.stageRef?.content.contains(/** @type {Node} */ (press.target));
  const image = imagesOf(store).find(holds);
  if (!image?.stageRef || !mayDrawOnMasks(page, annotation, image)) return false;
  const { left, top } = image.stageRef.content.getBoundingClientRect();
  return maskAt(annotation, image.stageRef, press.clientX - left, press.clientY - top) !== undefined;
}

/**
 * Whether a click at a place draws there; else it selects the mask that lies there.
 * @param {Window} page
 * @param {Annotation} annotation
 * @param {ImageTag} image
 * @param {number} x in pixels of the page, from the corner of the stage
 * @param {number} y
 */
export function isDrawnAt(page, annotation, image, x, y) {
  if (mayDrawOnMasks(page, annotation, image)) return true;
  return image.stageRef !== undefined && maskAt(annotation, image.stageRef, x, y) === undefined;
}

/**
 * @param {Window} page
 * @param {Annotation} annotation
 * @param {ImageTag} image
 */
function mayDrawOnMasks(page, annotation, image) {
  if (selectedIn(annotation).length || !image.activeStates().length) return false;
  return page.ToolManager?.getInstance({ name: image.name })?.findSelectedTool()?.isDrawingTool === true;
}

/**
 * Whether a click means "not this".
 * @param {Pick<Session, "store" | "drawing" | "safely">} session
 */
export function meansNotThis(session) {
  const { negative, annotation } = session.drawing;
  session.safely(() => negative.look(annotation));
  return negative.isOn && session.store?.autoAnnotation === true;
}

/**
 * The region that lies at a place, if it is no prompt.
 * @param {Annotation} annotation
 * @param {Stage} stage
 * @param {number} x
 * @param {number} y
 */
function maskAt(annotation, stage, x, y) {
  for (let one = stage.getIntersection({ x, y }); one; one = one.getParent()) {
    const { id, name } = one.attrs;
    const found = annotation.regions.find((region) => id === region.cleanId || name?.startsWith(region.id));
    if (found) return found.dynamic ? undefined : found;
  }
  return undefined;
}
