/** Which images follow on each other: those of one folder by the natural order of their names; dataset/propagate/sequences.py has the same rule. */

import { pathOf } from "./paths.js";

/**
 * @typedef {object} Frame
 * @property {number} task
 * @property {string} url as the task names it
 * @property {Record<string, any>} data of the task
 */

/**
 * @typedef {object} Rule `sequence` in projects.yaml
 * @property {string} [order] `name`, `task`, or a key of the tasks' data
 * @property {string | null} [split] what the names of one sequence share
 * @property {string[]} [cuts] images with which a new sequence begins
 */

/** @typedef {Frame & { path: string, name: string }} Placed */
/** @typedef {{ value: number, key: string[] }} Place */

const DIGITS = /(\d+)/;

/**
 * The images of a project by sequence, each in its order.
 * @param {Frame[]} frames
 * @param {Rule} rule
 * @returns {Placed[][]}
 * @throws {Error} where the rule cannot be read; a task without what it sorts by comes first
 */
export function sequencesOf(frames, rule = {}) {
  const pattern = rule.split ? new RegExp(rule.split.replaceAll("(?P<", "(?<")) : null;
  /** @type {Map<string, { frame: Placed, place: Place }[]>} */
  const groups = new Map();
  for (const frame of frames) {
    if (/^data:/i.test(frame.url)) continue;
    const path = pathOf(frame.url);
    const cut = path.lastIndexOf("/");
    const placed = { ...frame, path, name: path.slice(cut + 1) };
    const key = JSON.stringify([path.slice(0, Math.max(0, cut)), pattern ? groupOf(pattern, placed.name) : ""]);
    const group = groups.get(key) ?? [];
    groups.set(key, group);
    group.push({ frame: placed, place: placeOf(placed, rule.order ?? "name") });
  }
  const cuts = new Set(rule.cuts ?? []);
  return [...groups.values()].flatMap((group) => {
    group.sort((one, other) => byPlace(one.place, other.place) || one.frame.task - other.frame.task);
    /** @type {Placed[][]} */
    const found = [];
    for (const { frame } of group) {
      if (!found.length || cuts.has(frame.name) || cuts.has(frame.path)) found.push([]);
      found[found.length - 1].push(frame);
    }
    return found;
  });
}

/**
 * Sorts `9.png` before `10.png`, and text by its letters, capitals or not.
 * @param {string} one
 * @param {string} other
 */
export function byName(one, other) {
  return byKey(one.split(DIGITS), other.split(DIGITS));
}

/**
 * @param {string[]} one text and runs of digits in turn
 * @param {string[]} other
 */
function byKey(one, other) {
  for (let at = 0; at < Math.min(one.length, other.length); at += 1) {
    const [a, b] = [one[at], other[at]];
    const order = at % 2 ? byValue(BigInt(a), BigInt(b)) || a.length - b.length : byValue(a.toLowerCase(), b.toLowerCase());
    if (order) return order;
  }
  return one.length - other.length;
}

/**
 * @template {string | bigint | number} V
 * @param {V} one
 * @param {V} other
 */
export function byValue(one, other) {
  return one < other ? -1 : one > other ? 1 : 0;
}

/**
 * @param {Place} one
 * @param {Place} other
 */
function byPlace(one, other) {
  return byValue(one.value, other.value) || byKey(one.key, other.key);
}

/**
 * What an image is sorted by.
 * @param {Placed} frame
 * @param {string} order
 * @returns {Place}
 */
function placeOf(frame, order) {
  if (order === "task") return { value: 0, key: [] };
  if (order === "name") return { value: 0, key: frame.name.split(DIGITS) };
  const value = frame.data[order];
  if (typeof value === "string") return { value: 0, key: value.split(DIGITS) };
  return { value: typeof value === "number" ? value : Number.NEGATIVE_INFINITY, key: frame.name.split(DIGITS) };
}

/**
 * What an expression finds in a name: its first group, else all of it; empty where it finds nothing.
 * @param {RegExp} pattern
 * @param {string} name
 */
function groupOf(pattern, name) {
  const found = pattern.exec(name);
  if (!found) return "";
  return found.length > 1 ? found[1] ?? "" : found[0];
}
