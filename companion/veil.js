/** Outlines above a picture, on a canvas of our own that follows the editor's zoom. Places are in percent of the picture. */

/** @typedef {readonly (readonly [number, number])[]} Ring corners, not closed by a repeated one */
/** @typedef {{ rings: Ring[], isMarked: boolean }} Figure */

const LINE = "#ffd21f";
const SHADE = "#ffd21f59";
const UNDER = "#000000b0"; // a line that is seen on any picture

export class Veil {
  /** @param {Window} page */
  constructor(page) {
    this.page = page;
    /** @type {HTMLCanvasElement | null} */
    this.canvas = null;
    /** @type {{ image: ImageTag, figures: Figure[] } | null} */
    this.shown = null;
    this.drawn = "";
    this.frame = 0;
  }

  /**
   * @param {ImageTag} image
   * @param {Figure[]} figures
   */
  show(image, figures) {
    this.shown = { image, figures };
    this.drawn = "";
    this.#follow();
  }

  hide() {
    this.shown = null;
    this.page.cancelAnimationFrame(this.frame);
    this.frame = 0;
    this.canvas?.remove();
    this.canvas = null;
  }

  /** Draw again whenever the editor has moved the picture. */
  #follow = () => {
    this.page.cancelAnimationFrame(this.frame);
    if (!this.shown) return;
    const { image, figures } = this.shown;
    const matrix = matrixOf(image);
    const content = image.stageRef?.content;
    if (matrix && content) {
      const size = [content.clientWidth, content.clientHeight];
      const now = JSON.stringify([matrix, size]);
      if (now !== this.drawn || this.canvas?.parentElement !== content) this.#draw(content, size, matrix, figures);
      this.drawn = now;
    }
    this.frame = this.page.requestAnimationFrame(this.#follow);
  };

  /**
   * @param {HTMLElement} content
   * @param {number[]} size
   * @param {number[]} matrix
   * @param {Figure[]} figures
   */
  #draw(content, [width, height], matrix, figures) {
    const canvas = (this.canvas ??= this.page.document.createElement("canvas"));
    canvas.dataset.labelrig = "proposals";
    canvas.style.cssText = `position:absolute;left:0;top:0;width:${width}px;height:${height}px;pointer-events:none`;
    const sharp = this.page.devicePixelRatio || 1;
    canvas.width = Math.round(width * sharp);
    canvas.height = Math.round(height * sharp);
    if (canvas.parentElement !== content) content.append(canvas);
    const context = canvas.getContext("2d");
    if (!context) return;
    context.scale(sharp, sharp);
    // Those that are marked last: they lie above the others.
    for (const { rings, isMarked } of [...figures].sort((one, other) => Number(one.isMarked) - Number(other.isMarked))) {
      context.beginPath();
      for (const ring of rings) {
        ring.forEach((corner, number) => {
          const [x, y] = placed(matrix, corner);
          if (number) context.lineTo(x, y);
          else context.moveTo(x, y);
        });
        context.closePath();
      }
      if (isMarked) {
        context.fillStyle = SHADE;
        context.fill("evenodd");
      }
      for (const [style, line] of /** @type {const} */ ([[UNDER, 3], [LINE, isMarked ? 2.5 : 1.25]])) {
        context.strokeStyle = style;
        context.lineWidth = line;
        context.stroke();
      }
    }
  }
}

/**
 * Where a place of the screen lies on a picture, in percent; null where the picture is not there.
 * @param {ImageTag} image
 * @param {number} clientX
 * @param {number} clientY
 * @returns {[number, number] | null}
 */
export function percentAt(image, clientX, clientY) {
  const matrix = matrixOf(image);
  const box = image.stageRef?.content.getBoundingClientRect();
  if (!matrix || !box) return null;
  const [a, b, c, d, e, f] = matrix;
  const [x, y, scale] = [clientX - box.left - e, clientY - box.top - f, a * d - b * c];
  return scale ? [(d * x - c * y) / scale, (a * y - b * x) / scale] : null;
}

/**
 * Whether a place lies in rings, by the even-odd rule.
 * @param {Ring[]} rings
 * @param {readonly [number, number]} place
 */
export function isInside(rings, [x, y]) {
  let inside = false;
  for (const ring of rings) {
    ring.forEach(([x0, y0], number) => {
      const [x1, y1] = ring[(number + 1) % ring.length];
      if (y0 > y !== y1 > y && x < x0 + ((y - y0) * (x1 - x0)) / (y1 - y0)) inside = !inside;
    });
  }
  return inside;
}

/**
 * From percent of the picture to pixels of what it is drawn on: zoom, place and rotation.
 * @param {ImageTag} image
 * @returns {number[] | null}
 */
function matrixOf(image) {
  const stage = image.stageRef;
  if (!stage || !image.imageIsLoaded) return null;
  const [a, b, c, d, e, f] = stage.getAbsoluteTransform().getMatrix();
  const [across, down] = [image.stageWidth / 100, image.stageHeight / 100];
  return [a * across, b * across, c * down, d * down, e, f];
}

/**
 * @param {number[]} matrix
 * @param {readonly [number, number]} place
 */
function placed([a, b, c, d, e, f], [x, y]) {
  return [a * x + c * y + e, b * x + d * y + f];
}
