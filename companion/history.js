/** The editor's history: one step for each thing that the annotator did, and none for what follows from it. */

const KEY = "labelrig";

/**
 * @param {Annotation} annotation
 * @param {boolean} joins whether it becomes a part of the step before
 * @param {() => void} work
 */
export function asOneStep({ history }, joins, work) {
  history.freeze(KEY);
  try {
    work();
  } finally {
    if (joins) history.setReplaceNextUndoState(true);
    history.unfreeze(KEY);
  }
}

/**
 * One thing back, or on: states that show the same count as one.
 * @param {Annotation} annotation
 * @param {"undo" | "redo"} way
 */
export function step(annotation, way) {
  const { history } = annotation;
  const before = stateNow(annotation);
  do annotation[way]();
  while ((way === "undo" ? history.canUndo : history.canRedo) && isSame(before, stateNow(annotation)));
}

/**
 * The regions as the history has them, by their ids. It is the same object as long as none changes.
 * @param {Annotation} annotation
 * @returns {State}
 */
export function stateNow({ history }) {
  return history.history[history.undoIdx];
}

/**
 * What redo would lead to in the end.
 * @param {Annotation} annotation
 * @returns {State}
 */
export function lastState({ history }) {
  return history.history[history.history.length - 1];
}

/** @typedef {{ areas: Record<string, object> }} State */

/**
 * Whether two states show the same regions. What the editor works out again by itself, such as the points of a stroke in
 * the size that the picture has now, makes no difference.
 * @param {State} one
 * @param {State} other
 */
export function isSame(one, other) {
  if (one === other) return true;
  const ids = Object.keys(one.areas);
  if (ids.length !== Object.keys(other.areas).length) return false;
  return ids.every((id) => id in other.areas && isSameRegion(one.areas[id], other.areas[id]));
}

/**
 * @param {object} one
 * @param {object} other
 */
function isSameRegion(one, other) {
  return one === other || JSON.stringify(one, drawn) === JSON.stringify(other, drawn);
}

/**
 * @this {any} what holds the value
 * @param {string} key
 * @param {unknown} value
 */
function drawn(key, value) {
  if (key === "currentTouch" || key === "ouid") return undefined;
  if ((key === "points" || key === "strokeWidth") && "relativePoints" in this) return undefined;
  return value;
}
