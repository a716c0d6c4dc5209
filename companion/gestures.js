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
  if (selectedIn(annotation).length) return false;
  const holds = (/** @type {ImageTag} */ one) => one.stageRef?.content.contains(/** @type {Node} */ (press.target));
  const image = imagesOf(store).find(holds);
  if (!image?.stageRef || !image.activeStates().length) return false;
  if (!page.ToolManager?.getInstance({ name: image.name })?.findSelectedTool()?.isDrawingTool) return false;
  const { left, top } = image.stageRef.content.getBoundingClientRect();
  const shape = image.stageRef.getIntersection({ x: press.clientX - left, y: press.clientY - top });
  return maskOf(annotation, shape) !== undefined;
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
 * The region that a shape is drawn for, if it is no prompt.
 * @param {Annotation} annotation
 * @param {Drawn | null} shape
 */
function maskOf(annotation, shape) {
  for (let one = shape; one; one = one.getParent()) {
    const { id, name } = one.attrs;
    const found = annotation.regions.find((region) => id === region.cleanId || name?.startsWith(region.id));
    if (found) return found.dynamic ? undefined : found;
  }
  return undefined;
}
