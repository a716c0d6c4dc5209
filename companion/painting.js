/** How masks, prompts and what a click would give are drawn on an overlay. */

import { trace } from "./outliner.js";
import { paintMark } from "./marks.js";

/** @import { Mark } from "./marks.js" */
/** @import { Outline } from "./outliner.js" */
/** @import { Ring } from "./outlines.js" */
/** @import { Matrix, View } from "./overlay.js" */

/** @typedef {{ outline: Outline, colour: string, isPending: boolean }} Mask */

/**
 * @typedef {object} Scene what lies on one picture
 * @property {Mask[]} masks
 * @property {Mark[]} marks
 * @property {Ring[]} preview in percent of the picture
 */

/** Widths and dashes are in pixels of the page. */
const CASING = 3;
const CORE = 1.5;
const DASHES = [6, 4];
const DOTS = [2, 3];
const DARK = "#000000c0";
const LIGHT = "#ffffffd0";

/**
 * @param {CanvasRenderingContext2D} context in pixels of the page
 * @param {View} view
 * @param {Scene} scene
 * @param {Matrix} percent from percent of the picture to pixels of the page
 */
export function paint(context, view, { masks, marks, preview }, percent) {
  context.lineJoin = "round";
  for (const pending of [false, true]) {
    for (const mask of masks) if (mask.isPending === pending && isSeen(mask.outline, view)) paintMask(context, view, mask);
  }
  if (preview.length) paintPreview(context, preview, percent);
  for (const mark of marks) paintMark(context, mark, percent);
}

/**
 * An accepted mask has a line in its own colour, on one that stands out from it; one that waits is dashed.
 * @param {CanvasRenderingContext2D} context
 * @param {View} view
 * @param {Mask} mask
 */
function paintMask(context, { matrix, scale }, { outline, colour, isPending }) {
  const path = outline.path(scale);
  context.save();
  context.transform(...matrix);
  context.setLineDash([]);
  context.lineWidth = CASING / scale;
  context.strokeStyle = isPending || isLight(colour) ? DARK : LIGHT;
  context.stroke(path);
  context.lineWidth = CORE / scale;
  context.strokeStyle = isPending ? "#fff" : colour;
  if (isPending) context.setLineDash(DASHES.map((one) => one / scale));
  context.stroke(path);
  context.restore();
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Ring[]} rings
 * @param {Matrix} percent
 */
function paintPreview(context, rings, percent) {
  const path = pathOf(rings, percent);
  context.setLineDash([]);
  context.lineWidth = CASING;
  context.strokeStyle = "#00000080";
  context.stroke(path);
  context.setLineDash(DOTS);
  context.lineWidth = CORE;
  context.strokeStyle = "#fff";
  context.stroke(path);
  context.setLineDash([]);
}

/**
 * @param {Ring[]} rings in percent of a picture
 * @param {Matrix} percent to pixels of the page
 */
export function pathOf(rings, [a, b, c, d, e, f]) {
  const path = new Path2D();
  for (const ring of rings) {
    trace(path, ring.map((value, at) => (at % 2 ? b * ring[at - 1] + d * value + f : a * value + c * ring[at + 1] + e)));
  }
  return path;
}

/**
 * @param {Outline} outline
 * @param {View} view
 */
function isSeen({ box }, { matrix: [a, b, c, d, e, f], width, height }) {
  if (box === null) return false;
  const corners = [[box.left, box.top], [box.right, box.top], [box.right, box.bottom], [box.left, box.bottom]];
  const across = corners.map(([x, y]) => a * x + c * y + e);
  const down = corners.map(([x, y]) => b * x + d * y + f);
  return Math.max(...across) >= 0 && Math.min(...across) <= width && Math.max(...down) >= 0 && Math.min(...down) <= height;
}

/**
 * Whether black stands out from a colour more than white does (relative luminance of WCAG 2, without its gamma).
 * @param {string} colour #rrggbb
 */
function isLight(colour) {
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16) / 255);
  return !(0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.5);
}
