/** Drawing that is held back: the editor draws all regions of an image anew for a point, and once more for its mask. */

// From this many regions on, drawing the image costs more than it is worth to see the point before its mask.
const MANY_REGIONS = 20;
const HELD_MS = 250; // for an answer that takes longer, the point is drawn first

export class Holding {
  constructor() {
    /** Draws what was held back. */
    this.release = () => {};
  }

  /**
   * Draw a point and its mask at once, where there is much to draw.
   * @param {Annotation} annotation
   * @param {Stage | undefined} stage
   */
  hold({ regions }, stage) {
    this.release();
    if (regions.length < MANY_REGIONS) return;
    const draw = holdDrawing(stage);
    const timer = setTimeout(draw, HELD_MS);
    this.release = () => {
      clearTimeout(timer);
      draw();
    };
  }
}

/**
 * Draw nothing on an image until told to: with a hundred masks the editor needs longer to draw them for a point than SAM2
 * for its answer, and the answer waits behind it.
 * @param {Stage | undefined} stage
 * @returns {() => void} draws what is due; may be called twice
 */
export function holdDrawing(stage) {
  const layers = stage?.getLayers() ?? [];
  /** @type {Set<Layer>} */
  const due = new Set();
  for (const layer of layers) {
    layer.draw = () => {
      due.add(layer);
      return layer;
    };
  }
  return () => {
    for (const layer of layers) Reflect.deleteProperty(layer, "draw"); // its class's own is there again
    for (const layer of due) if (layer.getStage()) layer.batchDraw(); // the editor may have removed one
    due.clear();
  };
}
