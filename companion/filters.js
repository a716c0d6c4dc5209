/** Shows pictures by their looks: an SVG filter on the canvas that holds the picture alone. Masks lie on others. */

import { COLOURS, transferOf } from "./looks.js";

/** @import { Look } from "./looks.js" */

const SVG = "http://www.w3.org/2000/svg";
const GREY = "0.2126 0.7152 0.0722 0 0 ".repeat(3) + "0 0 0 1 0"; // luminance, as of ITU-R BT.709

export class Filters {
  /** @param {Document} page */
  constructor(page) {
    this.page = page;
    /** @type {SVGElement | null} */
    this.root = null;
    /** @type {Map<HTMLCanvasElement, string>} what was set, to be taken back */
    this.set = new Map();
  }

  /**
   * @param {HTMLCanvasElement} canvas of the picture alone
   * @param {Look} look
   */
  show(canvas, look) {
    const transfer = transferOf(look);
    const wanted = transfer === null ? "" : `url("#${this.#filter(transfer)}")`;
    if ((this.set.get(canvas) ?? "") !== wanted) {
      canvas.style.filter = wanted;
      this.set.set(canvas, wanted);
    }
    for (const other of this.set.keys()) if (!other.isConnected) this.set.delete(other);
    this.#sweep();
  }

  /** Every picture as it came. */
  clear() {
    for (const canvas of this.set.keys()) canvas.style.filter = "";
    this.set.clear();
    this.root?.remove();
    this.root = null;
  }

  /**
   * The id of a filter that does this; another look has another one, so that the browser draws anew.
   * @param {import("./looks.js").Transfer} transfer
   */
  #filter({ slope, intercept, coloured }) {
    const id = `labelrig-look-${[slope, intercept, Number(coloured)].map((one) => one.toFixed(4)).join("-")}`;
    if (this.root === null) {
      this.root = this.#element("svg", { width: "0", height: "0", "aria-hidden": "true", style: "position:absolute" });
      this.page.body.append(this.root);
    }
    if (![...this.root.children].some((one) => one.id === id)) {
      const filter = this.#element("filter", { id, "color-interpolation-filters": "sRGB", x: "0", y: "0", width: "1", height: "1" });
      if (coloured) filter.append(this.#element("feColorMatrix", { type: "matrix", values: GREY }));
      filter.append(this.#each(() => ({ type: "linear", slope: String(slope), intercept: String(intercept) })));
      if (coloured) filter.append(this.#each((channel) => ({ type: "table", tableValues: COLOURS[channel] })));
      this.root.append(filter);
    }
    return id;
  }

  /** Filters that no canvas uses any more: a drag makes many. */
  #sweep() {
    const used = new Set(this.set.values());
    for (const one of [...(this.root?.children ?? [])]) if (!used.has(`url("#${one.id}")`)) one.remove();
  }

  /** @param {(channel: "R" | "G" | "B") => Record<string, string>} how */
  #each(how) {
    const transfer = this.#element("feComponentTransfer", {});
    for (const channel of /** @type {const} */ (["R", "G", "B"])) transfer.append(this.#element(`feFunc${channel}`, how(channel)));
    return transfer;
  }

  /**
   * @param {string} name
   * @param {Record<string, string>} attributes
   */
  #element(name, attributes) {
    const element = /** @type {SVGElement} */ (this.page.createElementNS(SVG, name));
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  }
}
