/**
 * Label Studio's editor as far as a drawing touches it, without a page: regions in states, as core/TimeTraveller.js of
 * its sources keeps them, labels that it unselects after each point, suggestions outside of the history. A model in
 * place of SAM2 answers with a mask that tells what it was asked with.
 */

import { Drawing } from "../../../companion/drawing.js";
import { step } from "../../../companion/history.js";

export const turn = () => new Promise((resolve) => setTimeout(resolve));

/** core/TimeTraveller.js: a state is recorded after each change, unless it is frozen or the change is an undo. */
class History {
  constructor(read, write) {
    Object.assign(this, { read, write, history: [read()], undoIdx: 0, locks: new Set(), changed: false, replaces: false });
  }
  get canUndo() {
    return this.undoIdx > 0;
  }
  get canRedo() {
    return this.undoIdx < this.history.length - 1;
  }
  freeze(key) {
    if (!this.locks.size) this.changed = false;
    this.locks.add(key);
  }
  unfreeze(key) {
    this.locks.delete(key);
    if (this.locks.size) return;
    if (this.changed) this.record();
    this.replaces = false;
  }
  setReplaceNextUndoState(replaces) {
    this.replaces = replaces;
  }
  record() {
    if (this.locks.size) {
      this.changed = true;
      return;
    }
    this.history = [...this.history.slice(0, this.undoIdx + (this.replaces ? 0 : 1)), this.read()];
    this.undoIdx = this.history.length - 1;
    this.replaces = false;
    this.changed = false;
  }
  set(index) {
    this.undoIdx = index;
    this.write(this.history[index]);
  }
}

let count = 0;

export class Editor {
  constructor({ labels = ["Sky", "Road"], masks = 3 } = {}) {
    this.masks = masks;
    this.labels = labels.map((name) => ({ name, selected: false, setSelected(on) { this.selected = on; } }));
    const editor = this;
    const palette = {
      name: "label",
      type: "labels",
      get isSelected() {
        return editor.labels.some((one) => one.selected);
      },
      selectedValues: () => editor.labels.filter((one) => one.selected).map((one) => one.name),
    };
    this.annotation = {
      isDrawing: false,
      names: new Map([["label", palette]]),
      regions: [],
      selectedRegions: [],
      suggestions: new Map(),
      unselectAll: () => this.labels.forEach((one) => one.setSelected(false)),
      acceptSuggestion: (id) => {
        const made = this.annotation.suggestions.get(id);
        const picked = palette.selectedValues()[0];
        this.annotation.suggestions.delete(id);
        this.#put({ ...made, fromSuggestion: true, labelName: picked ?? made.labelName });
      },
      rejectSuggestion: (id) => this.annotation.suggestions.delete(id),
      undo: () => this.#step(-1),
      redo: () => this.#step(1),
    };
    this.annotation.history = new History(
      () => ({ areas: Object.fromEntries(this.annotation.regions.map((one) => [one.id, one.plain])) }),
      ({ areas }) => (this.annotation.regions = Object.values(areas).map((plain) => this.#region(plain))),
    );
    this.store = {
      autoAnnotation: true,
      autoAcceptSuggestions: false,
      settings: { continuousLabeling: false },
      loadSuggestions: async (answer, read) => {
        const results = await answer.then(read, () => null);
        if (results === null) return;
        this.annotation.suggestions.clear();
        for (const one of results) this.annotation.suggestions.set(one.id, one);
      },
    };
    this.asked = [];
    const api = { mask: (...given) => new Promise((resolve) => this.asked.push({ given, resolve })) };
    const around = { store: this.store, backend: { id: 1 }, task: 1, asked() {}, answered() {}, refused() {} };
    Object.defineProperty(around, "lacksLabel", { get: () => !palette.isSelected });
    this.drawing = new Drawing(api, 1, around);
    this.drawing.turnTo(this.annotation);
  }

  // -- what people do

  /** Press a label's key, and click. */
  click(name, x, isNegative = false) {
    this.pick(name);
    this.annotation.history.freeze("click");
    const one = this.#put({ type: "keypointregion", dynamic: true, labelName: name, x, negative: isNegative });
    this.annotation.history.unfreeze("click");
    this.annotation.unselectAll();
    this.drawing.pending.note(one);
    this.drawing.reconcile();
  }
  pick(name) {
    this.labels.forEach((one) => one.setSelected(one.name === name));
    this.drawing.look();
  }
  step(way) {
    if (!this.drawing.turn(way)) step(this.annotation, way);
    this.tick();
  }
  tick() {
    this.drawing.look();
    this.drawing.look(); // what is dragged is not asked about until it stands still
  }

  /** Let SAM2 answer everything that it is asked. */
  async answer() {
    for (let rounds = 0; rounds < 4; rounds += 1) {
      await turn();
      for (const { given, resolve } of this.asked.splice(0)) {
        const [, , , entries, candidate] = given;
        const of = `${entries.map((one) => one.of).join(" ")}/${candidate}`;
        count += 1;
        const mask = { id: `mask${count}`, type: "brushregion", dynamic: false, labelName: entries[0].label, of };
        resolve({ results: [mask], candidates: entries.length === 1 ? this.masks : 1 });
      }
      await turn();
      this.tick();
    }
  }

  /** What is on the screen, in words. */
  get view() {
    const { regions, suggestions } = this.annotation;
    const accepted = regions.filter((one) => !one.dynamic).map((one) => `${one.labelName}:${one.plain.of}`);
    const prompts = regions.filter((one) => one.dynamic).map(inWords);
    return { accepted, prompts, waiting: [...suggestions.values()].map((one) => one.of) };
  }

  // -- how it works

  #put(given) {
    count += 1;
    const id = given.id ?? `r${count}`;
    const one = this.#region({ dynamic: false, fromSuggestion: false, results: [], ...given, id });
    this.annotation.regions = [...this.annotation.regions.filter((other) => other.id !== id), one];
    this.annotation.history.record();
    return one;
  }

  #step(by) {
    const { history } = this.annotation;
    if (by < 0 ? !history.canUndo : !history.canRedo) return;
    history.set(history.undoIdx + by);
    this.annotation.unselectAll();
  }

  #region(plain) {
    const label = this.labels.find((one) => one.name === plain.labelName);
    const one = { ...plain, plain, cleanId: plain.id, isDrawing: false, item_index: null, object: { name: "image", activeStates: () => [] } };
    one.results = [{ type: "labels", selectedLabels: label ? [label] : [], serialize: () => ({ of: inWords(plain), label: plain.labelName }) }];
    one.setDrawing = (isDrawing) => (one.isDrawing = isDrawing);
    one.deleteRegion = () => {
      this.annotation.regions = this.annotation.regions.filter((other) => other !== one);
      this.annotation.history.record();
    };
    return one;
  }
}

const inWords = ({ labelName, x, negative }) => `${labelName}${negative ? "-" : "+"}${x}`;
