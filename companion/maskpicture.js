/**
 * The picture of a brush for the editor to draw, made from the runs of its code; of a large image in fewer pixels. Numbers
 * only. The mask itself stays as it is.
 */

import { eachRun } from "./raster.js";

/** An image of more pixels than these is drawn in these many: finer than any screen as long as it is not zoomed. */
export const MOST_PIXELS = 4_000_000;

const OPAQUE = 255;

/** @typedef {{ width: number, height: number }} Size in pixels */

/**
 * @param {Size} image
 * @returns {Size}
 */
export function pictureSize({ width, height }) {
  const scale = Math.min(1, Math.sqrt(MOST_PIXELS / (width * height)));
  return { width: Math.max(1, Math.floor(width * scale)), height: Math.max(1, Math.floor(height * scale)) };
}

/**
 * @param {ArrayLike<number>} code of the brush
 * @param {Size} image
 * @param {string} colour #rrggbb
 * @returns {{ size: Size, bytes: Uint8ClampedArray<ArrayBuffer> } | null} four bytes a pixel; null for the code of another image, or another form of colour
 */
export function pictureOf(code, image, colour) {
  if (!/^#[0-9a-f]{6}$/i.test(colour)) return null;
  const size = pictureSize(image);
  const pixels = new Uint32Array(size.width * size.height);
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  const ink = red | (green << 8) | (blue << 16); // as bytes, on every processor that browsers run on
  const isRead = size.width < image.width ? paintCoarse(code, image, size, pixels, ink) : paintExact(code, pixels, ink);
  return isRead ? { size, bytes: new Uint8ClampedArray(pixels.buffer) } : null;
}

/**
 * @param {ArrayLike<number>} code
 * @param {Uint32Array} pixels
 * @param {number} ink
 */
function paintExact(code, pixels, ink) {
  return eachRun(code, pixels.length, (first, last, alpha) => pixels.fill(ink | (alpha << 24), first, last));
}

/**
 * What is thinner than a pixel of the picture keeps that one pixel across, and its share of it down.
 * @param {ArrayLike<number>} code
 * @param {Size} image
 * @param {Size} size
 * @param {Uint32Array} pixels
 * @param {number} ink
 */
function paintCoarse(code, image, size, pixels, ink) {
  const [across, down] = [size.width / image.width, size.height / image.height];
  const lineOf = (/** @type {number} */ row) => Math.floor(row * down);
  const rows = new Uint16Array(size.height); // of the image, that are one of the picture: not the same number for all
  for (let row = 0; row < image.height; row += 1) rows[lineOf(row)] += 1;
  const sums = new Uint16Array(pixels.length); // of alpha, over these rows
  let [top, bottom] = [size.height, 0];
  const isRead = eachRun(code, image.width * image.height, (first, last, alpha) => {
    const lastRow = Math.floor((last - 1) / image.width);
    for (let row = Math.floor(first / image.width); row <= lastRow; row += 1) {
      const start = row * image.width;
      const from = Math.min(size.width - 1, Math.round((Math.max(first, start) - start) * across));
      const to = Math.max(from + 1, Math.round((Math.min(last, start + image.width) - start) * across));
      const line = lineOf(row);
      [top, bottom] = [Math.min(top, line), Math.max(bottom, line + 1)];
      for (let at = line * size.width + from, end = line * size.width + to; at < end; at += 1) sums[at] += alpha;
    }
  });
  for (let line = top; line < bottom; line += 1) {
    for (let at = line * size.width, end = at + size.width; at < end; at += 1) {
      if (sums[at]) pixels[at] = ink | (Math.min(OPAQUE, Math.ceil(sums[at] / rows[line])) << 24);
    }
  }
  return isRead;
}
