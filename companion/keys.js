/** Keys for what Label Studio has none for. A key that the project's own labels use stays theirs. */

import { brushKey, typed } from "./keyboard.js";

/** @typedef {import("./keyboard.js").Press} Press */
/** @typedef {"invert" | "colour" | "reset"} Seeing how the picture is looked at */
/** @typedef {"fill" | "label" | "task"} Showing how masks are filled; the label stays; the next task */
/** @typedef {"undo" | "redo" | "thinner" | "thicker"} Working a step back or on; the brush */
/** @typedef {"accept" | "reject" | "negative" | "next" | "brush" | "twin" | Seeing | Showing | Working} Wish */

/** @param {Pick<Press, "shiftKey" | "ctrlKey" | "metaKey" | "altKey">} press */
export function isPlain(press) {
  return !press.shiftKey && !press.ctrlKey && !press.metaKey && !press.altKey;
}

/**
 * What a key press asks for, if anything.
 * @param {Press} press
 * @param {Set<string>} taken hotkeys of labels
 * @returns {Wish | null}
 */
export function wishOf(press, taken) {
  const key = typed(press);
  const brush = brushKey(press, taken);
  if (brush) return brush;
  if (key === "z" && (press.ctrlKey || press.metaKey) && !press.altKey) return press.shiftKey ? "redo" : "undo";
  if (press.ctrlKey || press.metaKey || press.altKey) return null;
  if (key === "enter" && !press.shiftKey) return "accept";
  if (key === "escape") return "reject";
  if (key === "n" && !press.shiftKey && !taken.has("n")) return "negative";
  if (key === "c" && !press.shiftKey && !taken.has("c")) return "next";
  if (key === "t" && !press.shiftKey && !taken.has("t")) return "twin";
  if (key === "b" && press.shiftKey && !taken.has("shift+b")) return "brush";
  if (key === "i" && !press.shiftKey && !taken.has("i")) return "invert";
  if (key === "f" && !press.shiftKey && !taken.has("f")) return "colour";
  if (key === "g" && press.shiftKey && !taken.has("shift+g")) return "reset";
  if (key === "o" && !press.shiftKey && !taken.has("o")) return "fill";
  if (key === "l" && !press.shiftKey && !taken.has("l")) return "label";
  if (key === "tab" && !press.shiftKey && !taken.has("tab")) return "task";
  return null;
}

/**
 * The hotkeys in a labeling configuration, and those that were set for Label Studio itself.
 * @param {string} config
 * @param {Record<string, { key?: string | null } | null> | null} keymap
 */
export function hotkeysIn(config, keymap = null) {
  const labels = [...config.matchAll(/\bhotkey\s*=\s*(?:"([^"]*)"|'([^']*)')/gi)].map((one) => one[1] ?? one[2]);
  const own = Object.values(keymap ?? {}).map((one) => one?.key ?? "");
  return new Set([...labels, ...own].flatMap((one) => one.toLowerCase().split(",").map((key) => key.trim())));
}

/**
 * Whether the user types text.
 * @param {EventTarget | null} target
 */
export function isTyping(target) {
  const element = /** @type {HTMLElement | null} */ (target);
  if (!element?.tagName) return false;
  if (element.isContentEditable) return true;
  const isField = /^(INPUT|TEXTAREA|SELECT)$/.test(element.tagName);
  return isField && !/^(checkbox|radio|range|button)$/.test(/** @type {HTMLInputElement} */ (element).type);
}
