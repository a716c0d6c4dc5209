/** labelrig's companion in Label Studio's pages: finds the editor, and is its session's keyboard and mouse. */

import { Api } from "./api.js";
import { mendBrushes } from "./brushes.js";
import { Chip } from "./chip.js";
import { FINISHED, isUsable, openAnnotation, strangeness } from "./editor.js";
import { drawsOverMask, meansNotThis } from "./gestures.js";
import { isPlain, isTyping, wishOf } from "./keys.js";
import { textsFor } from "./messages.js";
import { isPossible } from "./obeying.js";
import { Session } from "./session.js";

const LOOK_MS = 300;
const REPEATED = new Set(["undo", "redo", "thinner", "thicker"]); // as long as the key is held
const STEPS = "[data-testid=bottombar-undo-button], [data-testid=bottombar-redo-button]";

/** @type {Session | null} */
let session = null;
/** @type {DataManager | null} */
let seen = null;
/** @type {Chip | null} */
let chip = null;
let mendShown = () => {};

const strange = strangeness(window);
if (strange === null) begin();
else if (window.APP_SETTINGS) console.info(`labelrig: the companion does nothing: ${strange}`);

function begin() {
  mendShown = mendBrushes(window);
  setInterval(look, LOOK_MS);
  window.addEventListener("keydown", onKey, { capture: true });
  window.addEventListener("keyup", (press) => session?.windowing.lifted(press), { capture: true });
  window.addEventListener("blur", () => session?.windowing.release());
  window.addEventListener("focus", () => void session?.keyboard.read());
  window.addEventListener("beforeunload", (leaving) => {
    if (session?.isUnsaved) leaving.preventDefault();
  });
  for (const name of /** @type {const} */ (["pointerdown", "mousedown", "pointermove", "mousemove"])) {
    window.addEventListener(name, onMouse, { capture: true });
  }
  for (const name of /** @type {const} */ (["pointerup", "mouseup", "click"])) {
    window.addEventListener(name, onRelease, { capture: true });
  }
}

/** A project's page makes a data manager of its own; one without an interactive backend does not listen for drawings. */
function look() {
  if (window.Htx) mendShown();
  const manager = window.dataManager;
  if (manager === seen) return;
  session?.close();
  session = null;
  seen = null;
  if (!isUsable(manager) || !manager.getEventCallbacks(FINISHED).size) return;
  seen = manager;
  const texts = textsFor(navigator.languages);
  chip ??= new Chip(document);
  session = new Session(manager, new Api(texts, window.APP_SETTINGS?.hostname ?? ""), chip, texts);
  session.start();
}

/** @param {KeyboardEvent} press */
function onKey(press) {
  if (!session?.store || isTyping(press.target)) return;
  if (session.windowing.pressed(press, session.taken)) {
    press.preventDefault();
    press.stopImmediatePropagation();
    return;
  }
  if (session.tools.pressed(press, session.taken)) {
    press.preventDefault();
    press.stopImmediatePropagation();
    return;
  }
  // A tool may be picked by this key: the smart one, before the next click.
  setTimeout(session.tick);
  const wish = wishOf(press, session.taken);
  const isOurs =
    (wish !== null && isPossible(session, wish, press.target)) || (isPlain(press) && session.drawing.keeps(press.key));
  if (!isOurs) return;
  press.preventDefault();
  press.stopImmediatePropagation();
  if (wish !== null && (!press.repeat || REPEATED.has(wish))) session.obey(wish);
}

/**
 * Whether what the mouse does is about how a picture is looked at, or a sign on it; the editor then sees nothing of it.
 * @param {MouseEvent} event
 */
function onMouse(event) {
  if (!session?.store) return false;
  const isOurs = session.pointed(event);
  if (!isOurs && (event.type === "pointerdown" || event.type === "mousedown")) onPress(event);
  if (isOurs) {
    // After a cancelled pointerdown no mouse event would come until the button is up, and the editor may get them yet.
    if (event.type !== "pointerdown") event.preventDefault();
    event.stopImmediatePropagation();
  } else if (session.tools.isOverMasks && !/move$/.test(event.type) && isOnCanvas(event)) {
    holdCtrl(event);
  }
  return isOurs;
}

/** @param {MouseEvent} press */
function onPress(press) {
  if (!session?.store) return;
  if (!isOnCanvas(press)) return session.leave(); // a row of the list, another page: what is not saved is sent before
  if (!session.tools.isOverMasks && drawsOverMask(window, session.store, press)) holdCtrl(press);
}

/**
 * The editor takes Ctrl for "draw here, also where a mask lies".
 * @param {MouseEvent} event
 */
function holdCtrl(event) {
  Object.defineProperty(event, "ctrlKey", { get: () => true });
}

/** @param {MouseEvent} release */
function onRelease(release) {
  if (!session?.store || onMouse(release)) return;
  const step = release.type === "click" ? /** @type {Element | null} */ (release.target)?.closest?.(STEPS) : null;
  if (step && openAnnotation(session.store)) {
    release.preventDefault();
    release.stopImmediatePropagation();
    return session.obey(/** @type {HTMLElement} */ (step).dataset.testid?.includes("undo") ? "undo" : "redo");
  }
  if (isOnCanvas(release) && meansNotThis(session)) {
    // The editor takes Alt for "not this"; the key N says so without it.
    Object.defineProperty(release, "altKey", { get: () => true });
  }
  setTimeout(session.tick);
}

/** @param {MouseEvent} event */
function isOnCanvas(event) {
  return /** @type {Element | null} */ (event.target)?.tagName === "CANVAS";
}
