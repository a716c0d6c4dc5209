/**
 * Brushes as the editor shows them. Its own way (`RLE2Region` in libs/editor, utils/canvas.js) makes a picture in the size of
 * the image, passes over all of its pixels several times and packs it as a PNG: for each mask, and seconds for 24 megapixels.
 * Ours takes its place in the page's bundle, and leaves to it what it does not know.
 */

import { pictureOf } from "./maskpicture.js";

const MAKER = "RLE2Region";
const IS_MAKER = /\bRLE2Region:\s*function/;

/** @typedef {(item: Region, options?: { color?: string }) => HTMLElement} Maker something to draw, which tells `onload` once it is there */
/** @typedef {{ code: ArrayLike<number>, size: { width: number, height: number }, colour: string }} Wanted */

/**
 * Have a page's editor show brushes by our pictures.
 * @param {Window} page
 * @returns {() => void} to be called once the editor is there: its part of the bundle may have come before this script
 */
export function mendBrushes(page) {
  const chunks = page.webpackChunklabelstudio;
  if (!chunks) return () => {};
  const pictures = new Pictures(page);
  let isMended = false;
  /** @type {string | undefined} the number of the module */
  let found;
  /** @type {BundleRequire | undefined} */
  let bundle;
  const mend = (/** @type {Record<string, any>} */ exports) => {
    const tools = Object.values(exports).find((one) => typeof one?.[MAKER] === "function");
    if (!tools || isMended) return;
    tools[MAKER] = pictures.inPlaceOf(tools[MAKER]);
    isMended = true;
  };
  const wrap = (/** @type {Record<string, Factory>} */ factories) => {
    const id = Object.keys(factories).find((one) => IS_MAKER.test(Function.prototype.toString.call(factories[one])));
    if (id === undefined) return;
    const stock = factories[id];
    factories[id] = (module, exports, require) => {
      stock(module, exports, require);
      mend(exports);
    };
    found = id;
  };
  const push = chunks.push.bind(chunks);
  push([["labelrig"], {}, (require) => (bundle = require)]);
  if (bundle) wrap(bundle.m);
  chunks.push = (part) => {
    wrap(part[1]);
    return push(part);
  };
  return () => {
    if (!isMended && bundle && found !== undefined) mend(bundle(found));
  };
}

class Pictures {
  /** @param {Window} page */
  constructor(page) {
    this.page = page;
    /** What the browser packs one after the other: an image is a tenth of its canvas, and there may be a hundred of them. */
    this.last = Promise.resolve();
  }

  /**
   * @param {Maker} stock
   * @returns {Maker}
   */
  inPlaceOf(stock) {
    return (item, options) => {
      try {
        return this.#made(item, options?.color ?? "", () => stock(item, options)) ?? stock(item, options);
      } catch (error) {
        console.warn("labelrig: a mask is shown in the editor's own way:", error);
        return stock(item, options);
      }
    };
  }

  /**
   * @param {Region} item
   * @param {string} colour
   * @param {() => HTMLElement} stock
   */
  #made({ id, rle, currentImageEntity }, colour, stock) {
    const { naturalWidth: width = 0, naturalHeight: height = 0 } = currentImageEntity ?? {};
    if (!rle?.length || width < 1 || height < 1) return null;
    const wanted = { code: rle, size: { width, height }, colour };
    if (this.page.Htx?.annotationStore.selected?.suggestions.has(id)) {
      const canvas = this.#canvas(wanted); // somebody waits for it
      if (canvas) queueMicrotask(() => canvas.dispatchEvent(new Event("load")));
      return canvas;
    }
    const image = new Image();
    this.last = this.last.then(() => this.#pack(image, wanted)).catch(() => {
      image.src = /** @type {HTMLImageElement} */ (stock()).src;
    });
    return image;
  }

  /** @param {Wanted} wanted */
  #canvas({ code, size, colour }) {
    const picture = pictureOf(code, size, colour);
    if (picture === null) return null;
    const canvas = this.page.document.createElement("canvas");
    [canvas.width, canvas.height] = [picture.size.width, picture.size.height];
    canvas.getContext("2d")?.putImageData(new ImageData(picture.bytes, canvas.width), 0, 0);
    return canvas;
  }

  /**
   * @param {HTMLImageElement} image
   * @param {Wanted} wanted
   */
  async #pack(image, wanted) {
    const canvas = this.#canvas(wanted);
    if (canvas === null) throw new Error("it is not the code of such an image");
    const blob = await new Promise((/** @type {(made: Blob | null) => void} */ done) => canvas.toBlob(done));
    if (blob === null) throw new Error("the browser packs no picture of it");
    const address = URL.createObjectURL(blob);
    image.addEventListener("load", () => URL.revokeObjectURL(address), { once: true });
    image.src = address;
  }
}
