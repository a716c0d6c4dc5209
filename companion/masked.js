/** Which proposals are of objects that have a mask already. Parts of such an object, and what lies on it, are others. */

import { drawnAmong } from "./classes.js";
import { isOn } from "./covering.js";
import { coverPolygon, emptyGrid } from "./raster.js";

/** @import { Outliner } from "./outliner.js" */
/** @import { Ring } from "./outlines.js" */
/** @import { Offer, Proposal } from "./proposals.js" */

const SAME = 0.5; // of what two cover together, the share that both cover: from here on they are one object
const CELLS = 64; // each way, of the box around two

/** @typedef {{ rings: Ring[], area: number }} Figure in percent of the picture, its area as a share of it */

export class Masked {
  /** @param {() => Pick<Outliner, "of">} outliner */
  constructor(outliner) {
    this.outliner = outliner;
    /** @type {{ offer: Offer, key: string, found: Set<Proposal> } | null} what was found last */
    this.last = null;
  }

  /**
   * @param {Offer} offer
   * @returns {Set<Proposal>}
   */
  among(offer) {
    const { image, annotation } = offer;
    const { naturalWidth: width = 0, naturalHeight: height = 0, index = 0 } = image.currentImageEntity ?? {};
    const masks = drawnAmong([...annotation.regions]).filter((one) => isOn(one, image.name, index));
    /** @type {{ key: string, figure: () => Figure }[]} */
    const known = masks.flatMap((one) => {
      if (one.type === "polygonregion") {
        const ring = Array.from(one.points ?? []).flatMap(({ x, y }) => [x, y]);
        return [{ key: `${one.id}:${ring}`, figure: () => figureOf([ring]) }];
      }
      const isTraced = one.type === "brushregion" || one.type === "bitmaskregion";
      const outline = isTraced && image.currentImageEntity ? this.outliner().of(one, image.currentImageEntity) : null;
      if (!outline) return [];
      const inPercent = (/** @type {Ring} */ ring) => ring.map((value, at) => (100 * value) / (at % 2 ? height : width));
      return [{ key: String(outline.number), figure: () => figureOf(outline.rings.map(inPercent)) }];
    });
    const key = known.map((one) => one.key).join(" ");
    if (this.last?.offer !== offer || this.last.key !== key) {
      const figures = known.map((one) => one.figure());
      const found = offer.proposals.filter((one) => figures.some((other) => isSame(one, other)));
      this.last = { offer, key, found: new Set(found) };
    }
    return this.last.found;
  }
}

/**
 * @param {Figure} one
 * @param {Figure} other
 */
export function isSame(one, other) {
  if (Math.min(one.area, other.area) < SAME * Math.max(one.area, other.area)) return false; // they cannot share as much
  const [left, top, right, bottom] = boxOf([...one.rings, ...other.rings]);
  if (!(right > left && bottom > top)) return false;
  const into = (/** @type {Ring[]} */ rings) => cells(rings, left, top, CELLS / (right - left), CELLS / (bottom - top));
  const [mine, theirs] = [into(one.rings), into(other.rings)];
  let [both, any] = [0, 0];
  mine.forEach((value, at) => {
    both += value & theirs[at];
    any += value | theirs[at];
  });
  return both >= SAME * any;
}

/**
 * The cells of a grid whose centre lies inside rings, by the even-odd rule.
 * @param {Ring[]} rings
 * @param {number} left
 * @param {number} top
 * @param {number} across cells for one percent
 * @param {number} down
 */
function cells(rings, left, top, across, down) {
  const all = emptyGrid(CELLS, CELLS);
  for (const ring of rings) {
    const own = emptyGrid(CELLS, CELLS);
    /** @type {[number, number][]} */
    const corners = [];
    for (let at = 0; at < ring.length; at += 2) corners.push([(ring[at] - left) * across, (ring[at + 1] - top) * down]);
    coverPolygon(own, corners);
    own.data.forEach((value, at) => (all.data[at] ^= value));
  }
  return all.data;
}

/**
 * @param {Ring[]} rings holes run the other way than what they are in
 * @returns {Figure}
 */
function figureOf(rings) {
  let twice = 0;
  for (const ring of rings) {
    for (let at = 0, before = ring.length - 2; at < ring.length; before = at, at += 2) {
      twice += ring[before] * ring[at + 1] - ring[at] * ring[before + 1];
    }
  }
  return { rings, area: Math.abs(twice) / 20_000 };
}

/** @param {Ring[]} rings */
function boxOf(rings) {
  let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const ring of rings) {
    for (let at = 0; at < ring.length; at += 2) {
      [left, right] = [Math.min(left, ring[at]), Math.max(right, ring[at])];
      [top, bottom] = [Math.min(top, ring[at + 1]), Math.max(bottom, ring[at + 1])];
    }
  }
  return [left, top, right, bottom];
}
