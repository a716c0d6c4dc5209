/** What the keys do that ask for something of the whole page, and when; `keys.js` says which keys. */

import { imagesOf, openAnnotation } from "./editor.js";
import { step } from "./history.js";
import { brushesOf } from "./picked.js";

/** @import { Wish } from "./keys.js" */
/** @import { Session } from "./session.js" */

/**
 * Whether something can be done now that a key asks for; else the key is Label Studio's.
 * @param {Session} session
 * @param {Wish} wish
 * @param {EventTarget | null} target where the key was pressed
 */
export function isPossible({ store, drawing, page, watch, windowing, board }, wish, target) {
  if (store === null) return false;
  const isOpen = openAnnotation(store) !== null;
  if (wish === "accept") return drawing.isPending;
  if (wish === "reject") return drawing.isPending || watch.trouble !== null;
  if (wish === "next") return drawing.offersMore;
  if (wish === "twin") return isOpen && imagesOf(store).length === 2;
  if (wish === "negative" || wish === "brush") return store.autoAnnotation;
  if (wish === "undo" || wish === "redo") return isOpen;
  if (wish === "thinner" || wish === "thicker") return brushesOf(page).length > 0;
  if (wish === "invert" || wish === "colour" || wish === "reset") return windowing.name !== null;
  if (wish === "task") return board.next.isPossible && target === page.document.body;
  return true;
}

/**
 * @param {Session} session
 * @param {Wish} wish
 */
export function obey(session, wish) {
  const { drawing, choices } = session;
  if (wish === "accept") session.tools.accept();
  else if (wish === "reject") reject(session);
  else if (wish === "next") drawing.next();
  else if (wish === "twin") takeOver(session);
  else if (wish === "negative") drawing.negative.turn(drawing.annotation);
  else if (wish === "undo" || wish === "redo") turn(session, wish);
  else if (wish === "thinner" || wish === "thicker") for (const one of brushesOf(session.page)) one[wish]();
  else if (wish === "invert" || wish === "colour" || wish === "reset") session.windowing.obey(wish);
  else if (wish === "fill" || wish === "label" || wish === "task") session.board.obey(wish);
  else choices.write({ brushAsks: !choices.read().brushAsks });
}

/** @param {Session} session */
function reject({ drawing, watch }) {
  drawing.reject();
  watch.trouble = null;
}

/**
 * @param {Session} session
 * @param {"undo" | "redo"} way
 */
function turn({ store, drawing, look }, way) {
  const annotation = store && openAnnotation(store);
  if (!annotation || drawing.turn(way)) return;
  step(annotation, way);
  look();
}

/**
 * The mask on the other image of its pair; one that still waits is accepted first.
 * @param {Session} session
 */
function takeOver({ store, drawing, twin }) {
  const annotation = store && openAnnotation(store);
  if (!annotation || drawing.isBusy) return;
  if (drawing.isSuggested) drawing.accept();
  void twin.take(annotation);
}
