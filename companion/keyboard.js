/** A person's keyboard: which key a press is, by what it types and by its place, and what stands on a key. */

/** @typedef {Pick<KeyboardEvent, "key" | "code" | "shiftKey" | "ctrlKey" | "metaKey" | "altKey"> & { getModifierState?(name: string): boolean }} Press */

const THINNER = "BracketLeft"; // the two keys to the right of P
const THICKER = "BracketRight";

/**
 * The letter or sign of a press, in lower case. A keyboard without Latin letters means the key at its place.
 * @param {Pick<Press, "key" | "code">} press
 */
export function typed({ key, code }) {
  const letter = /^Key([A-Z])$/.exec(code ?? "")?.[1];
  const isForeign = key.length === 1 && key > "\u024f";
  return (isForeign && letter ? letter : key).toLowerCase();
}

/**
 * Thinner or thicker: the signs [ and ], however a keyboard types them, and the two keys to the right of P, which have
 * them on a keyboard of the United States.
 * @param {Press} press
 * @param {Set<string>} taken hotkeys of labels
 * @returns {"thinner" | "thicker" | null}
 */
export function brushKey(press, taken) {
  const { key, code, shiftKey, metaKey } = press;
  const isThird = press.getModifierState?.("AltGraph") === true || (press.ctrlKey && press.altKey);
  if (metaKey || (!isThird && (press.ctrlKey || press.altKey))) return null;
  if (key === "[" && !taken.has("[")) return "thinner";
  if (key === "]" && !taken.has("]")) return "thicker";
  if (shiftKey || isThird || taken.has(key.toLowerCase())) return null;
  if (code === THINNER) return "thinner";
  return code === THICKER ? "thicker" : null;
}

/** What stands on the two keys, as far as the browser says so. */
export class Keyboard {
  /** @param {{ keyboard?: { getLayoutMap(): Promise<Map<string, string>> } }} navigator */
  constructor(navigator) {
    this.navigator = navigator;
    this.brushKeys = ["[", "]"];
  }

  /** Read it; the person may have another one by now. */
  async read() {
    try {
      const layout = await this.navigator.keyboard?.getLayoutMap();
      this.brushKeys = [layout?.get(THINNER) ?? "[", layout?.get(THICKER) ?? "]"];
    } catch {
      // Not here, as on a page without TLS: the signs are named.
    }
  }
}
