/** Keys for what Label Studio has none for. A key that the project's own labels use stays theirs. */

/**
 * What a key press asks for, if anything.
 * @param {{ key: string, shiftKey: boolean, ctrlKey: boolean, metaKey: boolean, altKey: boolean }} press
 * @param {Set<string>} taken hotkeys of labels
 * @returns {"accept" | "reject" | "negative" | "brush" | null}
 */
export function wishOf(press, taken) {
  if (press.ctrlKey || press.metaKey || press.altKey) return null;
  const key = press.key.toLowerCase();
  if (key === "enter" && !press.shiftKey) return "accept";
  if (key === "escape") return "reject";
  if (key === "n" && !press.shiftKey && !taken.has("n")) return "negative";
  if (key === "b" && press.shiftKey && !taken.has("shift+b")) return "brush";
  return null;
}

/**
 * The hotkeys in a labeling configuration.
 * @param {string} config
 */
export function hotkeysIn(config) {
  const found = config.matchAll(/\bhotkey\s*=\s*(?:"([^"]*)"|'([^']*)')/gi);
  return new Set([...found].flatMap((one) => (one[1] ?? one[2]).toLowerCase().split(",").map((key) => key.trim())));
}

/**
 * Whether somebody types text.
 * @param {EventTarget | null} target
 */
export function isTyping(target) {
  const element = /** @type {HTMLElement | null} */ (target);
  if (!element?.tagName) return false;
  if (element.isContentEditable) return true;
  const isField = /^(INPUT|TEXTAREA|SELECT)$/.test(element.tagName);
  return isField && !/^(checkbox|radio|range|button)$/.test(/** @type {HTMLInputElement} */ (element).type);
}
