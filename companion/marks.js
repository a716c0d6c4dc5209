/** The prompts that wait, as signs of the same size at every zoom: plus, minus, box, stroke. */

import { moved } from "./overlay.js";

/** @import { Matrix } from "./overlay.js" */

const SIDE = 12; // pixels of the page
const REACH = SIDE / 2 + 2; // of a click, from the middle
const GREEN = "#12a150";
const RED = "#d92d20";

/**
 * @typedef {object} Mark
 * @property {Region} region
 * @property {"plus" | "minus" | "box" | "stroke"} kind
 * @property {number} x of its middle, in percent of the picture
 * @property {number} y
 * @property {number[][]} lines what it stands for, in percent, x and y in turn: the box's sides, the strokes
 */

/**
 * @param {Region} prompt
 * @returns {Mark | null} null for what has no place
 */
export function markOf(prompt) {
  const { type, x = 0, y = 0, width = 0, height = 0 } = prompt;
  if (type === "keypointregion") return { region: prompt, kind: prompt.negative ? "minus" : "plus", x, y, lines: [] };
  if (type === "rectangleregion") {
    return { region: prompt, kind: "box", ...corner(prompt, 0, 0), lines: [sides(prompt, width, height)] };
  }
  const strokes = Array.from(prompt.touches ?? [], (one) => Array.from(one.relativePoints)).filter((one) => one.length >= 2);
  return strokes.length ? { region: prompt, kind: "stroke", x: strokes[0][0], y: strokes[0][1], lines: strokes } : null;
}

/**
 * The mark at a place, the one that was drawn last.
 * @param {Mark[]} marks
 * @param {Matrix} matrix from percent to pixels of the page
 * @param {number} x in pixels of the page
 * @param {number} y
 * @returns {Mark | null}
 */
export function markAt(marks, matrix, x, y) {
  const isNear = (/** @type {Mark} */ one) => {
    const [left, top] = moved(matrix, one.x, one.y);
    return Math.max(Math.abs(left - x), Math.abs(top - y)) <= REACH;
  };
  return marks.findLast(isNear) ?? null;
}

/**
 * @param {CanvasRenderingContext2D} context in pixels of the page
 * @param {Mark} mark
 * @param {Matrix} matrix from percent
 */
export function paintMark(context, mark, matrix) {
  const colour = mark.kind === "minus" ? RED : GREEN;
  context.lineJoin = context.lineCap = "round";
  context.setLineDash([]);
  for (const line of mark.lines) {
    const path = new Path2D();
    for (let at = 0; at + 1 < line.length; at += 2) path.lineTo(...moved(matrix, line[at], line[at + 1]));
    if (mark.kind === "box") path.closePath();
    both(context, path, colour);
  }
  const [x, y] = moved(matrix, mark.x, mark.y);
  context.fillStyle = colour;
  context.strokeStyle = "#fff";
  context.lineWidth = 1;
  context.beginPath();
  if (mark.kind === "box") context.rect(x - SIDE / 2, y - SIDE / 2, SIDE, SIDE);
  else context.arc(x, y, SIDE / 2, 0, 2 * Math.PI);
  context.fill();
  context.stroke();
  context.lineWidth = 2;
  context.stroke(signOf(mark.kind, x, y));
}

/**
 * @param {Mark["kind"]} kind
 * @param {number} x
 * @param {number} y
 */
function signOf(kind, x, y) {
  const sign = new Path2D();
  const arm = SIDE / 2 - 3;
  if (kind === "box") sign.rect(x - arm, y - arm, 2 * arm, 2 * arm);
  else if (kind === "stroke") sign.arc(x, y, 1, 0, 2 * Math.PI);
  if (kind === "plus" || kind === "minus") {
    sign.moveTo(x - arm, y);
    sign.lineTo(x + arm, y);
  }
  if (kind === "plus") {
    sign.moveTo(x, y - arm);
    sign.lineTo(x, y + arm);
  }
  return sign;
}

/**
 * A line that is seen on light and on dark.
 * @param {CanvasRenderingContext2D} context
 * @param {Path2D} path
 * @param {string} colour
 */
function both(context, path, colour) {
  context.strokeStyle = "#ffffffb0";
  context.lineWidth = 3;
  context.stroke(path);
  context.strokeStyle = colour;
  context.lineWidth = 1.5;
  context.stroke(path);
}

/**
 * A corner of a box, which may be turned about its first one.
 * @param {Region} box
 * @param {number} right from the first corner, in percent of the width
 * @param {number} down in percent of the height
 */
function corner({ x = 0, y = 0, rotation = 0, object }, right, down) {
  const { naturalWidth = 1, naturalHeight = 1 } = object.currentImageEntity ?? {};
  const [wide, high] = [(right * naturalWidth) / 100, (down * naturalHeight) / 100];
  const angle = (rotation * Math.PI) / 180;
  const [dx, dy] = [wide * Math.cos(angle) - high * Math.sin(angle), wide * Math.sin(angle) + high * Math.cos(angle)];
  return { x: x + (100 * dx) / naturalWidth, y: y + (100 * dy) / naturalHeight };
}

/**
 * @param {Region} box
 * @param {number} width
 * @param {number} height
 */
function sides(box, width, height) {
  return [[0, 0], [width, 0], [width, height], [0, height]].flatMap(([right, down]) => {
    const { x, y } = corner(box, right, down);
    return [x, y];
  });
}
