/**
 * How opaque masks are, and which classes are shown. Set on what the editor draws with, never on its regions: those keep
 * what is hidden in their history.
 */

/** The steps of the key, of the masks' own opacity. */
export const STEPS = [1, 0.4, 0];

/**
 * The step after this one.
 * @param {number} fill
 */
export function nextFill(fill) {
  return STEPS[(STEPS.indexOf(fill) + 1) % STEPS.length];
}

/** @typedef {{ fill: number, isShown: boolean }} Given */

export class Fills {
  constructor() {
    /** @type {Map<Layer | Drawn, Given>} what was set, where it is not as the editor has it */
    this.set = new Map();
  }

  /**
   * @param {Region[]} regions all that are drawn
   * @param {number} fill
   * @param {(region: Region) => boolean} isShown
   */
  show(regions, fill, isShown) {
    if (fill === 1 && !this.set.size && regions.every(isShown)) return;
    /** @type {Set<Layer | Drawn>} */
    const there = new Set();
    for (const region of regions) {
      const part = partOf(region);
      if (!part) continue;
      there.add(part);
      const isMask = isLayer(part) || region.type === "bitmaskregion";
      this.#give(part, { fill: isMask ? fill : 1, isShown: isShown(region) });
    }
    for (const part of this.set.keys()) if (!there.has(part)) this.set.delete(part);
  }

  /** Everything as the editor has it. */
  clear() {
    for (const part of [...this.set.keys()]) this.#give(part, { fill: 1, isShown: true });
  }

  /**
   * @param {Layer | Drawn} part
   * @param {Given} wanted
   */
  #give(part, wanted) {
    const before = this.set.get(part) ?? { fill: 1, isShown: true };
    if (before.fill === wanted.fill && before.isShown === wanted.isShown) return;
    if (isLayer(part)) style(part, wanted);
    else if (before.isShown !== wanted.isShown) part.visible(wanted.isShown);
    if (!isLayer(part) && before.fill !== wanted.fill) part.opacity(wanted.fill);
    if (wanted.fill === 1 && wanted.isShown) this.set.delete(part);
    else this.set.set(part, wanted);
  }
}

/**
 * A brush has a canvas of its own, which the editor reads its box from: it is only looked at otherwise. The editor sets
 * its opacity with each rendering; the filter is ours.
 * @param {Layer} layer
 * @param {Given} wanted
 */
function style(layer, { fill, isShown }) {
  const canvas = layer.getNativeCanvasElement();
  canvas.style.filter = fill === 1 ? "" : `opacity(${fill})`;
  canvas.style.visibility = isShown ? "" : "hidden";
  layer.listening(isShown); // who clicks there means what is seen
}

/**
 * What a region is drawn with: a brush's layer, a bitmask's picture, else the shape.
 * @param {Region} region
 * @returns {Layer | Drawn | null | undefined}
 */
function partOf(region) {
  if (region.type === "brushregion") return region.layerRef;
  return region.type === "bitmaskregion" ? region.imageRef : region.shapeRef;
}

/**
 * @param {Layer | Drawn} part
 * @returns {part is Layer}
 */
function isLayer(part) {
  return "getNativeCanvasElement" in part;
}
