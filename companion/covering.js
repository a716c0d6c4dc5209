/** Which pixels a region of the editor covers: from Label Studio's regions to shapes in pixels, and those into a grid. */

import { coverGrid, coverPixels, coverPolygon, coverRuns, coverStroke } from "./raster.js";

/** @import { Grid } from "./raster.js" */

/** @typedef {{ points: number[], width: number, value: 0 | 1 }} Stroke in pixels */
/** @typedef {{ runs: ArrayLike<number> | null, strokes: Stroke[], corners: [number, number][], picture: CanvasImageSource | null }} Shape */

/**
 * Cover what a region covers.
 * @param {Grid} grid
 * @param {Shape} shape
 * @param {() => Grid} scratch another empty grid of the same size
 */
export function cover(grid, { runs, strokes, corners, picture }, scratch) {
  const isErased = strokes.some((one) => one.value === 0);
  const own = isErased ? scratch() : grid; // an eraser takes away of its own region only
  if (runs?.length) coverRuns(own, runs);
  if (picture) coverPixels(own, pixelsOf(picture, grid.width, grid.height));
  for (const { points, width, value } of strokes) coverStroke(own, points, width, value);
  coverPolygon(own, corners);
  if (isErased) coverGrid(grid, own);
}

/**
 * Whether a region is on an image.
 * @param {Region} region
 * @param {string} name of the image's tag
 * @param {number} index of the picture, where the tag has several
 */
export function isOn(region, name, index) {
  return region.object.name === name && (region.item_index ?? 0) === index;
}

/** @type {WeakMap<object, number>} */
const numbers = new WeakMap();
let count = 0;

/**
 * The editor replaces a brush's code as a whole, so another list is another mask.
 * @param {object | null | undefined} code
 */
function numberOf(code) {
  if (!code) return 0;
  if (!numbers.has(code)) numbers.set(code, (count += 1));
  return numbers.get(code);
}

/**
 * Changes whenever what the region covers does.
 * @param {Region} region
 */
export function stateOf(region) {
  const { id, rle, touches, points, maskDataURL, imageDataURL, bbox } = region;
  const strokes = Array.from(touches ?? [], (one) => one.relativePoints.length);
  const corners = Array.from(points ?? [], ({ x, y }) => [x, y]);
  return [id, numberOf(rle), strokes, corners, maskDataURL?.length, imageDataURL?.length, numberOf(bbox)];
}

/**
 * @param {Region} region
 * @param {number} width of the picture, in pixels
 * @param {number} height
 * @returns {Shape}
 */
export function shapeOf(region, width, height) {
  const strokes = Array.from(region.touches ?? [], (one) => ({
    points: Array.from(one.relativePoints, (value, at) => (value / 100) * (at % 2 ? height : width)),
    width: (one.relativeStrokeWidth / 100) * width,
    value: /** @type {0 | 1} */ (one.type === "eraser" ? 0 : 1),
  }));
  const corners = Array.from(region.points ?? [], ({ x, y }) => /** @type {[number, number]} */ ([(x / 100) * width, (y / 100) * height]));
  const picture = region.type === "bitmaskregion" ? region.offscreenCanvasRef : region.maskDataURL ? region.getMaskImage?.() : null;
  return { runs: region.rle ?? null, strokes, corners: region.type === "polygonregion" ? corners : [], picture: picture ?? null };
}

/**
 * @param {CanvasImageSource} picture
 * @param {number} width
 * @param {number} height
 */
function pixelsOf(picture, width, height) {
  const context = new OffscreenCanvas(width, height).getContext("2d");
  if (!context) return [];
  context.drawImage(picture, 0, 0, width, height);
  return context.getImageData(0, 0, width, height).data;
}
