/** "Not this": what points mean from the key N on, until their object is done. */

import { pickedLabels } from "./picked.js";

export class Negative {
  constructor() {
    this.isOn = false;
    /** The labels that were picked when it began. */
    this.labels = "";
  }

  /** @param {Annotation | null} annotation */
  turn(annotation) {
    this.isOn = !this.isOn;
    this.labels = annotation ? pickedLabels(annotation) : "";
  }

  /**
   * It ends with its object: with another label, also where that was picked a moment ago.
   * @param {Annotation | null} annotation
   */
  look(annotation) {
    const picked = annotation ? pickedLabels(annotation) : "";
    if (this.isOn && picked && picked !== this.labels) this.isOn = false;
  }

  end() {
    this.isOn = false;
  }
}
