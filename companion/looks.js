/** How a picture is looked at: contrast and brightness (window and level), inverse, false colour. Numbers only. */

/**
 * @typedef {object} Look
 * @property {number} window which part of the grey values becomes all of them, 1 is as it came; in (0, 2]
 * @property {number} level the grey value in its middle, 0 black to 1 white
 * @property {boolean} inverted whether black is white
 * @property {boolean} coloured whether grey values are shown as colours
 */

/** @typedef {{ slope: number, intercept: number, coloured: boolean }} Transfer from grey values to those that are shown */

/** @type {Readonly<Look>} */
export const AS_IT_CAME = { window: 1, level: 0.5, inverted: false, coloured: false };
const NARROWEST = 1 / 64;
const WIDEST = 2;
/** How much of the picture's width a drag must be long for twice the contrast; for brightness, from black to white. */
const DOUBLED_BY = 0.2;

// Seventeen values of "inferno" (matplotlib's, by S. van der Walt and N. Smith, CC0): lighter is always warmer.
export const COLOURS = {
  R: "0 0.043 0.129 0.239 0.341 0.443 0.541 0.639 0.737 0.816 0.89 0.945 0.976 0.988 0.976 0.949 0.988",
  G: "0 0.027 0.047 0.035 0.063 0.098 0.133 0.173 0.216 0.271 0.349 0.443 0.549 0.667 0.788 0.91 1",
  B: "0.016 0.141 0.29 0.396 0.431 0.431 0.416 0.38 0.329 0.271 0.2 0.122 0.039 0.059 0.196 0.396 0.643",
};

/**
 * What was kept, as far as it can be one.
 * @param {unknown} kept
 * @returns {Look}
 */
export function lookOf(kept) {
  const { window, level, inverted, coloured } = /** @type {Partial<Look>} */ (kept ?? {});
  return {
    window: within(window, NARROWEST, WIDEST, AS_IT_CAME.window),
    level: within(level, 0, 1, AS_IT_CAME.level),
    inverted: inverted === true,
    coloured: coloured === true,
  };
}

/** @param {Look} look */
export function isAsItCame(look) {
  return transferOf(look) === null;
}

/**
 * A drag: to the right for more contrast, upwards for more brightness.
 * @param {Look} look at its begin
 * @param {number} right how far, in widths of the picture
 * @param {number} up in heights
 * @returns {Look}
 */
export function dragged(look, right, up) {
  const window = look.window * 2 ** (-right / DOUBLED_BY);
  // An inverted picture becomes brighter by a higher level.
  const level = look.level - (look.inverted ? -up : up) * Math.min(1, look.window);
  return lookOf({ ...look, window: Math.min(WIDEST, Math.max(NARROWEST, window)), level: Math.min(1, Math.max(0, level)) });
}

/**
 * What is done to each grey value, of 0 to 1; null where it stays.
 * @param {Look} look
 * @returns {Transfer | null}
 */
export function transferOf({ window, level, inverted, coloured }) {
  if (window === 1 && level === 0.5 && !inverted && !coloured) return null;
  const slope = 1 / window;
  const intercept = 0.5 - level / window;
  return inverted ? { slope: -slope, intercept: 1 - intercept, coloured } : { slope, intercept, coloured };
}

/**
 * @param {unknown} value
 * @param {number} least
 * @param {number} most
 * @param {number} otherwise
 */
function within(value, least, most, otherwise) {
  return typeof value === "number" && value >= least && value <= most ? value : otherwise;
}
