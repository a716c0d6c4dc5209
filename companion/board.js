/** The list of classes with its switches, and the keys O, L and Tab. */

import { nextFill } from "./fills.js";
import { openAnnotation, selectedIn } from "./editor.js";
import { Next } from "./next.js";
import { Panel } from "./panel.js";
import { trackLine } from "./tracks.js";

/** @import { Choices } from "./choices.js" */
/** @import { Drawing } from "./drawing.js" */
/** @import { Showing } from "./keys.js" */
/** @import { Texts } from "./messages.js" */
/** @import { Sight } from "./sight.js" */

const NOTE_MS = 6_000;
const ONWARD = [10, 20, 50, 100, 0]; // images, 0 for all that follow

/**
 * @typedef {object} Desk what the session knows, and does
 * @property {Window} page
 * @property {DataManager} manager
 * @property {Store | null} store
 * @property {Drawing} drawing
 * @property {Choices} choices
 * @property {Sight} sight
 * @property {Texts} texts
 * @property {() => void} tick look at everything now
 * @property {(work: () => void) => void} safely
 */

export class Board {
  /** @param {Desk} desk */
  constructor(desk) {
    this.desk = desk;
    this.next = new Next({
      manager: desk.manager,
      get store() {
        return desk.store;
      },
      said: (what) => this.#note(desk.texts[what]),
    });
    /** @type {Panel | null} */
    this.panel = null;
    this.note = "";
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
  }

  close() {
    clearTimeout(this.timer);
    this.panel?.remove();
    this.panel = null;
  }

  look() {
    const { page, store, sight, texts, choices, safely } = this.desk;
    const count = store ? sight.count : null;
    if (count === null) return this.panel?.hide();
    this.panel ??= new Panel(page.document, texts, {
      fold: () => safely(() => this.#flip("panel")),
      toggle: (name) => safely(() => sight.toggle(name)),
      flip: (key) => safely(() => this.#flip(key)),
    });
    const { panel, keepsLabel, previews, onward } = choices.read();
    const { isSlow, median } = sight.hover;
    const annotation = store?.annotationStore.selected;
    this.panel.show({
      isOpen: panel,
      count,
      classes: panel ? sight.classes() : [],
      hidden: sight.hidden,
      switches: [
        { key: "keepsLabel", text: texts.keepLabel, isOn: keepsLabel },
        { key: "previews", text: isSlow ? texts.slowPreviews(Math.round(median)) : texts.previews, isOn: previews && !isSlow },
        { key: "onward", text: texts.onwardCount(onward) },
      ],
      track: annotation ? trackLine(selectedIn(annotation), texts) : null,
    });
  }

  /** What the line says of it. */
  get hints() {
    const { choices, texts } = this.desk;
    const { fill, keepsLabel } = choices.read();
    return [this.note, keepsLabel && texts.kept, fill !== 1 && texts.fill(Math.round(100 * fill))].filter(Boolean);
  }

  /** @param {Showing} wish */
  obey(wish) {
    const { choices, drawing, store, texts } = this.desk;
    if (wish === "fill") return choices.write({ fill: nextFill(choices.read().fill) });
    if (wish === "label") return this.#flip("keepsLabel");
    const annotation = store && openAnnotation(store);
    if (!annotation) return;
    if (drawing.isPending) return this.#note(texts.waits);
    this.#note(texts.saving);
    void this.next.go(annotation).then(
      () => this.note === texts.saving && this.#note(""),
      (error) =>
        this.desk.safely(() => {
          throw error;
        }),
    );
  }

  /** @param {string} key of a switch */
  #flip(key) {
    const { choices, sight, tick } = this.desk;
    const choice = choices.read();
    if (key === "keepsLabel") choices.write({ keepsLabel: !choice.keepsLabel });
    if (key === "onward") choices.write({ onward: ONWARD[(ONWARD.indexOf(choice.onward) + 1) % ONWARD.length] });
    if (key === "panel") choices.write({ panel: !choice.panel });
    if (key === "previews") {
      choices.write({ previews: sight.hover.isSlow || !choice.previews });
      sight.hover.again();
    }
    tick();
  }

  /** @param {string} text */
  #note(text) {
    clearTimeout(this.timer);
    this.note = text;
    if (text) this.timer = setTimeout(() => this.#note(""), NOTE_MS);
    this.desk.tick();
  }
}
