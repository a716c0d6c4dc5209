/**
 * The pill with which a mask is accepted or rejected on the picture. Label Studio 1.23.2 gives its two images a component
 * in place of an address (libs/editor, components/ImageView/SuggestionControls.jsx): the browser asks the server for the
 * component's text, and the pill stays blank.
 */

const CROSS = "M2 2 10 10M10 2 2 10";
const CHECK = "M1.5 6.5 4.5 9.5 10.5 2.5";

/**
 * Give the two images their icons.
 * @param {{ HTMLImageElement: { prototype: object } }} page
 * @returns {() => void} puts the browser's own behaviour back
 */
export function mendIcons({ HTMLImageElement: { prototype } }) {
  const stock = Object.getOwnPropertyDescriptor(prototype, "src");
  if (!stock?.set) return () => {};
  const { set } = stock;
  /** @type {Map<unknown, string>} by the component; the cross is drawn first */
  const icons = new Map();
  Object.defineProperty(prototype, "src", {
    ...stock,
    set(/** @type {unknown} */ source) {
      if (isComponent(source) && !icons.has(source)) icons.set(source, icon(icons.size ? CHECK : CROSS));
      set.call(this, icons.get(source) ?? source);
    },
  });
  return () => Object.defineProperty(prototype, "src", stock);
}

/** @param {unknown} source */
function isComponent(source) {
  return typeof source === "function" || (typeof source === "object" && source !== null && "$$typeof" in source);
}

/** @param {string} way */
function icon(way) {
  const line = `<path d="${way}" fill="none" stroke="#fff" stroke-width="2" stroke-linecap="round"/>`;
  return `data:image/svg+xml,${encodeURIComponent(
    `<svg xmlns="http://www.w3.org/2000/svg" width="12" height="12" viewBox="0 0 12 12">${line}</svg>`,
  )}`;
}
