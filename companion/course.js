/** From an annotated image on: which tracks are followed, and which of the masks that are there already go. */

import { noteOf } from "./tracks.js";

/** @import { Placed } from "./sequence.js" */

const SPACE = /\s+/g; // a note has an image's name with single spaces

export class Course {
  /**
   * @param {string} image the tag's name
   * @param {Placed[]} frames the sequence
   * @param {number} place of the annotated image
   * @param {Set<string>} tracks of the objects that it shows
   * @param {Set<string>} known the tracks of all annotated images before it
   */
  constructor(image, frames, place, tracks, known = new Set()) {
    this.image = image;
    this.place = place;
    this.tracks = tracks;
    this.known = new Set([...known, ...tracks]);
    this.places = new Map(frames.map((one, at) => [one.name.replace(SPACE, " "), at]));
  }

  /**
   * Whether a mask on an image after the annotated one goes: its track is made anew, or an object that the annotated
   * image does not show was followed past it. What came from a later image, backward, stays.
   * @param {any} result of a prediction
   * @returns {boolean}
   */
  replaces(result) {
    const note = noteOf(result);
    if (!note) return false;
    if (this.known.has(note.track)) return true;
    const origin = this.places.get(note.origin);
    return result.to_name === this.image && origin !== undefined && origin <= this.place;
  }
}
