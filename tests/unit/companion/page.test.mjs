import assert from "node:assert/strict";
import test from "node:test";

import { Chip } from "../../../companion/chip.js";
import { drawsOverMask, isDrawnAt } from "../../../companion/gestures.js";
import { mendIcons } from "../../../companion/icons.js";
import { Relabelled } from "../../../companion/relabelled.js";

/** A page with an image on which a mask and a prompt lie, a label picked, and the point tool. */
function pageWith(more = {}) {
  const given = { picked: ["label"], selected: [], hit: "mask", tool: { isDrawingTool: true }, autoAnnotation: true, ...more };
  const layer = { attrs: { id: given.hit }, getParent: () => null };
  const canvas = {};
  const stageRef = {
    content: { contains: (one) => one === canvas, getBoundingClientRect: () => ({ left: 100, top: 50 }) },
    getIntersection: (place) => {
      assert.deepEqual(place, { x: 10, y: 20 });
      return given.hit && { attrs: {}, getParent: () => ({ attrs: { name: "segmentation" }, getParent: () => layer }) };
    },
  };
  const annotation = {
    names: new Map([["image", { type: "image", name: "image", stageRef, activeStates: () => given.picked }]]),
    regions: [{ id: "mask#a", cleanId: "mask", dynamic: false }, { id: "prompt#a", cleanId: "prompt", dynamic: true }],
    selectedRegions: given.selected,
    isReadOnly: () => false,
  };
  const store = { autoAnnotation: given.autoAnnotation, annotationStore: { selected: annotation } };
  const page = { ToolManager: { getInstance: () => ({ findSelectedTool: () => given.tool }) } };
  const holdsCtrl = drawsOverMask(page, store, { target: canvas, button: 0, shiftKey: false, clientX: 110, clientY: 70 });
  return { holdsCtrl, isDrawn: isDrawnAt(page, annotation, annotation.names.get("image"), 10, 20) };
}

for (const [what, more, expected] of [
  ["draws on a mask", {}, true],
  ["selects it where no label is picked", { picked: [] }, false],
  ["moves a prompt", { hit: "prompt" }, false],
  ["is as ever beside all masks", { hit: null }, false],
  ["is as ever with a region selected", { selected: [{}] }, false],
  ["is as ever with the move tool", { tool: {} }, false],
  ["is as ever without Auto-Annotation", { autoAnnotation: false }, false],
]) {
  test(`a click with a label picked ${what}`, () => assert.equal(pageWith(more).holdsCtrl, expected));
}

for (const [what, more, expected] of [
  ["on a mask with a label picked", {}, true],
  ["not on a mask where no label is picked", { picked: [] }, false],
  ["not on a mask while a region is selected", { selected: [{}] }, false],
  ["not on a mask with the move tool", { tool: {} }, false],
  ["beside all masks", { hit: null, picked: [] }, true],
]) {
  test(`a click draws ${what}: there its mask is outlined before`, () => assert.equal(pageWith(more).isDrawn, expected));
}

test("a label that changed is told until something else is done, and not when it is undone", () => {
  const relabelled = new Relabelled();
  const state = (label) => ({ cleanId: "a", dynamic: false, isDrawing: false, labelName: label });
  const annotation = { regions: [state("Sky")], history: { history: [{}], undoIdx: 0 } };
  const does = (label) => {
    annotation.regions = [state(label)];
    annotation.history.history = [...annotation.history.history, {}];
    annotation.history.undoIdx += 1;
  };
  assert.equal(relabelled.look(annotation), null);
  does("Road");
  assert.deepEqual(relabelled.look(annotation), { from: "Sky", to: "Road" });
  assert.deepEqual(relabelled.look(annotation), { from: "Sky", to: "Road" });
  does("Road");
  assert.equal(relabelled.look(annotation), null);
  annotation.history.undoIdx = 0;
  annotation.regions = [state("Sky")];
  assert.equal(relabelled.look(annotation), null);
});

test("the two images of the pill have icons, every other address stays as it is", () => {
  class HTMLImageElement {
    get src() {
      return this.given;
    }
    set src(source) {
      this.given = String(source);
    }
  }
  const restore = mendIcons({ HTMLImageElement });
  const given = (source) => Object.assign(new HTMLImageElement(), { src: source }).src;
  const [Cross, Check] = [() => "M1", { $$typeof: Symbol("react.memo") }];
  const seen = [Cross, Check, Cross].map(given);
  assert.ok(seen.every((one) => one.startsWith("data:image/svg+xml,")));
  assert.deepEqual([seen[0] === seen[2], seen[0] === seen[1]], [true, false]);
  assert.equal(given("/a.png"), "/a.png");
  restore();
  assert.equal(given(Cross), String(Cross));
});

/** As much of a document as the line needs; `said` holds what a screen reader would be told. */
function documentWith(bar) {
  const said = [];
  const element = () => {
    const one = { dataset: {}, style: { setProperty() {}, getPropertyValue: () => "" }, attributes: {}, offsetHeight: 24, hidden: false, isConnected: false, title: "" };
    let text = "";
    Object.defineProperty(one, "textContent", { get: () => text, set: (value) => { text = value; said.push(value); } });
    one.setAttribute = (name, value) => (one.attributes[name] = value);
    one.attachShadow = () => ({ append() {} });
    one.append = (...children) => children.forEach((child) => (child.isConnected = true));
    one.remove = () => (one.isConnected = false);
    return one;
  };
  const page = { createElement: element, body: element(), head: element(), documentElement: element(), querySelector: () => bar };
  return { page, said };
}

test("the line is a status whose words are set when they change, and its room goes with it", () => {
  globalThis.innerHeight = 900;
  const { page, said } = documentWith({ getBoundingClientRect: () => ({ left: 40, top: 850, width: 700 }) });
  const chip = new Chip(page);
  said.length = 0;
  const line = { mood: "ready", text: "SAM2: ready", extra: "click on the object", about: "SAM2 tiny (cuda:0)" };
  chip.show(line);
  chip.show(line);
  assert.deepEqual(said, ["SAM2: ready · click on the object"]);
  assert.equal(chip.host.attributes.role, "status");
  assert.match(chip.host.title, /^SAM2 tiny \(cuda:0\)\nSAM2: ready/);
  assert.deepEqual([chip.host.style.left, chip.host.style.width, chip.host.style.bottom], ["40px", "700px", "50px"]);
  assert.equal(chip.room.isConnected, true);
  chip.hide();
  assert.deepEqual([chip.host.hidden, chip.room.isConnected], [true, false]);
});
