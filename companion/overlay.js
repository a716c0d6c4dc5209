/**
 * A canvas of ours on top of an image tag's own: what is drawn there is in no annotation and no history. It lets every
 * event through, moves with the picture at once, and is drawn anew when the picture rests.
 */

const NAME = ".labelrig";
const CHANGES = ["x", "y", "scaleX", "scaleY", "offsetX", "offsetY", "rotation", "width", "height"];
const RESTS_MS = 90;

/** @typedef {[number, number, number, number, number, number]} Matrix a to f, as of a canvas */

/**
 * @typedef {object} View how a picture lies on the screen
 * @property {Matrix} matrix from pixels of the picture to those of the page, from the canvas's corner
 * @property {number} scale pixels of the page for one of the picture
 * @property {number} width of the canvas, in pixels of the page
 * @property {number} height
 */

export class Overlay {
  /**
   * @param {ImageTag} image
   * @param {Stage} stage its own
   * @param {(context: CanvasRenderingContext2D, view: View) => void} paint
   * @param {(work: () => void) => void} safely ends the companion where the work fails
   */
  constructor(image, stage, paint, safely) {
    this.image = image;
    this.stage = stage;
    this.paint = paint;
    const page = stage.content.ownerDocument;
    this.page = page.defaultView ?? window;
    this.canvas = page.createElement("canvas");
    this.canvas.className = "labelrig-overlay";
    this.canvas.setAttribute("aria-hidden", "true");
    this.canvas.style.cssText = "position:absolute;left:0;top:0;pointer-events:none;z-index:1;transform-origin:0 0";
    stage.content.append(this.canvas);
    /** @type {View | null} as it was drawn last */
    this.drawn = null;
    this.isDue = true;
    this.frame = 0;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.rest = undefined;
    this.tick = () => safely(() => this.#tick());
    this.changed = () => this.#ask();
    stage.on(CHANGES.map((one) => `${one}Change${NAME}`).join(" "), this.changed);
    this.#ask();
  }

  /** What is on it has changed. */
  invalidate() {
    this.isDue = true;
    this.#ask();
  }

  remove() {
    this.stage.off(NAME);
    this.page.cancelAnimationFrame(this.frame);
    clearTimeout(this.rest);
    this.canvas.remove();
  }

  /** @returns {View | null} null while the picture has no size */
  view() {
    return viewOf(this.image, this.stage);
  }

  #ask() {
    if (this.frame === 0) this.frame = this.page.requestAnimationFrame(this.tick);
  }

  #tick() {
    this.frame = 0;
    const view = this.view();
    if (view === null) return;
    const { drawn, canvas } = this;
    if (this.isDue || drawn === null || drawn.width !== view.width || drawn.height !== view.height) return this.#draw(view);
    if (isSame(drawn.matrix, view.matrix)) return;
    canvas.style.transform = `matrix(${between(drawn.matrix, view.matrix).join(",")})`;
    clearTimeout(this.rest);
    this.rest = setTimeout(() => this.invalidate(), RESTS_MS);
  }

  /** @param {View} view */
  #draw(view) {
    const { canvas, page } = this;
    clearTimeout(this.rest);
    const ratio = page.devicePixelRatio || 1;
    const [width, height] = [Math.round(view.width * ratio), Math.round(view.height * ratio)];
    if (canvas.width !== width || canvas.height !== height) {
      [canvas.width, canvas.height] = [width, height];
      [canvas.style.width, canvas.style.height] = [`${view.width}px`, `${view.height}px`];
    }
    canvas.style.transform = "";
    this.drawn = view;
    this.isDue = false;
    const context = canvas.getContext("2d");
    if (!context) return;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.paint(context, view);
  }
}

/**
 * @param {ImageTag} image
 * @param {Stage} stage its own
 * @returns {View | null} null while the picture has no size
 */
export function viewOf(image, stage) {
  const { naturalWidth = 0, naturalHeight = 0 } = image.currentImageEntity ?? {};
  if (naturalWidth < 1 || naturalHeight < 1 || !(image.stageWidth > 1)) return null;
  const [a, b, c, d, e, f] = stage.getAbsoluteTransform().getMatrix();
  const [x, y] = [image.stageWidth / naturalWidth, image.stageHeight / naturalHeight];
  const matrix = /** @type {Matrix} */ ([a * x, b * x, c * y, d * y, e, f]);
  return { matrix, scale: Math.hypot(matrix[0], matrix[1]), width: stage.width(), height: stage.height() };
}

/**
 * From percent of a picture to pixels of the page.
 * @param {View} view
 * @param {ImageTag} image
 * @returns {Matrix}
 */
export function percentOf({ matrix: [a, b, c, d, e, f] }, image) {
  const { naturalWidth = 1, naturalHeight = 1 } = image.currentImageEntity ?? {};
  const [x, y] = [naturalWidth / 100, naturalHeight / 100];
  return [a * x, b * x, c * y, d * y, e, f];
}

/**
 * @param {Matrix} matrix
 * @param {number} x
 * @param {number} y
 * @returns {[number, number]}
 */
export function moved([a, b, c, d, e, f], x, y) {
  return [a * x + c * y + e, b * x + d * y + f];
}

/**
 * @param {Matrix} matrix
 * @returns {Matrix}
 */
export function inverse([a, b, c, d, e, f]) {
  const size = a * d - b * c;
  return [d / size, -b / size, -c / size, a / size, (c * f - d * e) / size, (b * e - a * f) / size];
}

/**
 * What leads from a picture as it was drawn to it as it is.
 * @param {Matrix} before
 * @param {Matrix} now
 * @returns {Matrix}
 */
export function between(before, now) {
  const [a, b, c, d, e, f] = inverse(before);
  const [x, y] = moved(now, e, f);
  return [
    now[0] * a + now[2] * b,
    now[1] * a + now[3] * b,
    now[0] * c + now[2] * d,
    now[1] * c + now[3] * d,
    x,
    y,
  ];
}

/**
 * @param {Matrix} one
 * @param {Matrix} other
 */
function isSame(one, other) {
  return one.every((value, at) => Math.abs(value - other[at]) < 1e-6);
}
