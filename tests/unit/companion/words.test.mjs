import assert from "node:assert/strict";
import test from "node:test";

import { Choices } from "../../../companion/choices.js";
import { strangeness } from "../../../companion/editor.js";
import { Keyboard, brushKey } from "../../../companion/keyboard.js";
import { hotkeysIn, isTyping, wishOf } from "../../../companion/keys.js";
import { backendSentence, nameOf, shortNameOf, textsFor } from "../../../companion/messages.js";
import { pageWords } from "../../../companion/status.js";

const press = (key, more = {}) => ({ key, shiftKey: false, ctrlKey: false, metaKey: false, altKey: false, ...more });

test("the backend's sentence is read out of what Label Studio says", () => {
  const told = "422 Client Error: the image 'a.png' is cut off: 3 of 9 bytes for url: http://sam2:9090/predict";
  assert.equal(backendSentence(told), "the image 'a.png' is cut off: 3 of 9 bytes");
  assert.equal(backendSentence("503 Server Error: busy for url: http://sam2:9090/predict\n"), "busy");
  assert.equal(backendSentence("HTTPConnectionPool(host='sam2', port=9090): Max retries exceeded"), null);
});

test("the demo model never goes without saying so", () => {
  for (const languages of [["en"], ["es"]]) {
    const texts = textsFor(languages);
    assert.ok(nameOf({ backend: "ready", model: "demo", device: "cpu" }, texts).includes(texts.demo));
    assert.equal(shortNameOf({ backend: "ready", model: "demo" }, texts), "SAM2 DEMO");
  }
  assert.equal(nameOf({ backend: "ready", model: "tiny", device: "cuda:0" }, textsFor([])), "SAM2 tiny (cuda:0)");
  assert.equal(nameOf(null, textsFor([])), "SAM2");
});

test("the first language that we speak is taken, else English", () => {
  const [english, spanish] = [textsFor(["en"]), textsFor(["es"])];
  assert.notEqual(english, spanish);
  assert.equal(textsFor(["ca-ES", "es-MX", "en"]), spanish);
  assert.equal(textsFor(["fr", "en-GB", "es"]), english);
  assert.equal(textsFor(["de"]), english);
  assert.deepEqual(Object.keys(english), Object.keys(spanish));
});

test("a file of several pages is said in the line, by its tag where the task has other images", () => {
  for (const [language, words] of [["en", "page 1 of 12 of this file"], ["es", "página 1 de 12 de este archivo"]]) {
    const texts = textsFor([language]);
    assert.equal(pageWords({}, 1, texts), "");
    assert.equal(pageWords({ image: 12 }, 1, texts), words);
    assert.equal(pageWords({ thermal: 12 }, 2, texts), `thermal: ${words}`);
  }
});

test("keys", () => {
  const none = new Set();
  assert.equal(wishOf(press("Enter"), none), "accept");
  assert.equal(wishOf(press("Escape"), none), "reject");
  assert.equal(wishOf(press("n"), none), "negative");
  assert.equal(wishOf(press("c"), none), "next");
  assert.equal(wishOf(press("B", { shiftKey: true }), none), "brush");
  assert.equal(wishOf(press("z", { ctrlKey: true }), none), "undo");
  assert.equal(wishOf(press("Z", { metaKey: true, shiftKey: true }), none), "redo");
  assert.deepEqual([press("i"), press("f"), press("G", { shiftKey: true })].map((one) => wishOf(one, none)), ["invert", "colour", "reset"]);
  assert.deepEqual([press("o"), press("L"), press("Tab")].map((one) => wishOf(one, none)), ["fill", "label", "task"]);
  for (const other of [press("b"), press("g"), press("Tab", { shiftKey: true }), press("o", { ctrlKey: true }), press("I", { shiftKey: true }), press("f", { ctrlKey: true }), press("C", { shiftKey: true }), press("c", { ctrlKey: true }), press("Enter", { ctrlKey: true }), press("n", { altKey: true }), press("z"), press("z", { ctrlKey: true, altKey: true }), press("1")]) {
    assert.equal(wishOf(other, none), null, other.key);
  }
});

// What Chromium tells of a press: [what], [code, key], and how the third level is told (AltGr is Ctrl+Alt on Windows).
const third = { getModifierState: (name) => name === "AltGraph" };
const KEYBOARDS = [
  ["US", "thinner", "BracketLeft", "[", {}],
  ["US", "thicker", "BracketRight", "]", {}],
  ["Spanish, by its place", "thinner", "BracketLeft", "Dead", {}],
  ["Spanish, by its place", "thicker", "BracketRight", "+", {}],
  ["Spanish, AltGr", "thinner", "BracketLeft", "[", third],
  ["Spanish, AltGr on Windows", "thicker", "BracketRight", "]", { ctrlKey: true, altKey: true }],
  ["German, by its place", "thinner", "BracketLeft", "ü", {}],
  ["German, by its place", "thicker", "BracketRight", "+", {}],
  ["German, AltGr", "thinner", "Digit8", "[", third],
  ["German, AltGr", "thicker", "Digit9", "]", third],
  ["French, by its place", "thinner", "BracketLeft", "Dead", {}],
  ["French, by its place", "thicker", "BracketRight", "$", {}],
  ["French, AltGr", "thinner", "Digit5", "[", third],
  ["French, AltGr", "thicker", "Minus", "]", third],
  ["US, zoom", null, "BracketLeft", "[", { ctrlKey: true }],
  ["Spanish, a capital", null, "BracketRight", "*", { shiftKey: true }],
  ["German, another sign of the third level", null, "BracketRight", "~", third],
];

for (const [keyboard, expected, code, key, more] of KEYBOARDS) {
  test(`brush keys: ${keyboard}, ${key}`, () => {
    assert.equal(brushKey(press(key, { code, ...more }), new Set()), expected);
    if (expected) assert.equal(brushKey(press(key, { code, ...more }), new Set([key.toLowerCase()])), null); // a label's key
  });
}

test("letters are those that are typed, and their places on a keyboard without Latin ones", () => {
  for (const [code, key, expected] of [
    ["KeyN", "n", "negative"], ["KeyL", "n", "negative"], ["KeyN", "т", "negative"], ["KeyC", "ψ", "next"],
    ["KeyA", "q", null], ["Semicolon", "ñ", null], ["KeyN", "ü", null],
  ]) {
    assert.equal(wishOf(press(key, { code }), new Set()), expected, `${key} at ${code}`);
  }
});

test("the line names what stands on the keys, and the signs where the browser does not say", async () => {
  const layouts = [
    [{ getLayoutMap: async () => new Map([["BracketLeft", "ü"], ["BracketRight", "+"]]) }, ["ü", "+"]],
    [{ getLayoutMap: async () => { throw new Error("denied"); } }, ["[", "]"]],
    [undefined, ["[", "]"]],
  ];
  for (const [keyboard, expected] of layouts) {
    const one = new Keyboard({ keyboard });
    await one.read();
    assert.deepEqual(one.brushKeys, expected);
  }
});

test("a label's own key stays the label's", () => {
  const taken = hotkeysIn(`<Label value="Net" hotkey="N"/><Label value="Boat" hotkey='shift+b, x'/>`);
  assert.deepEqual([...taken], ["n", "shift+b", "x"]);
  for (const key of ["o", "l", "Tab"]) assert.equal(wishOf(press(key), new Set([key.toLowerCase()])), null, key);
  assert.equal(wishOf(press("n"), taken), null);
  assert.equal(wishOf(press("B", { shiftKey: true }), taken), null);
});

test("a key that somebody set for Label Studio itself stays Label Studio's", () => {
  const keymap = { "tool:zoom-in": { key: "N" }, "tool:pan": null, "tool:move": { key: null } };
  assert.equal(wishOf(press("n"), hotkeysIn("<View/>", keymap)), null);
  assert.equal(wishOf(press("n"), hotkeysIn("<View/>", null)), "negative");
});

test("somebody who types text is left alone, somebody on a switch is not", () => {
  for (const [target, typing] of [
    [{ tagName: "TEXTAREA" }, true],
    [{ tagName: "INPUT", type: "text" }, true],
    [{ tagName: "INPUT", type: "checkbox" }, false],
    [{ tagName: "DIV", isContentEditable: true }, true],
    [{ tagName: "CANVAS" }, false],
    [null, false],
  ]) {
    assert.equal(isTyping(target), typing, JSON.stringify(target));
  }
});

test("choices are of a project, and a broken store is the first time", () => {
  const held = new Map();
  const storage = { getItem: (key) => held.get(key) ?? null, setItem: (key, value) => held.set(key, value) };
  const first = new Choices(storage, 1).read();
  assert.deepEqual([first.autoAnnotation, first.autoAccept, first.brushAsks, first.looks], [true, false, true, {}]);
  assert.deepEqual([first.fill, first.keepsLabel, first.previews, first.panel], [1, false, true, false]);
  new Choices(storage, 1).write({ autoAnnotation: false });
  assert.deepEqual(new Choices(storage, 1).read(), { ...first, autoAnnotation: false });
  assert.deepEqual(new Choices(storage, 2).read(), first);
  held.set("labelrig:project:2", "{");
  assert.deepEqual(new Choices(storage, 2).read(), first);
});

test("two tabs with different switches do not overrule each other", () => {
  const held = new Map();
  const storage = { getItem: (key) => held.get(key) ?? null, setItem: (key, value) => held.set(key, value) };
  const tab = () => {
    const store = { setAutoAnnotation: (on) => (store.autoAnnotation = on), setAutoAcceptSuggestions: (on) => (store.autoAcceptSuggestions = on) };
    const choices = new Choices(storage, 1);
    choices.give(store);
    return { store, choices };
  };
  const [here, there] = [tab(), tab()];
  here.store.setAutoAnnotation(false);
  for (const { store, choices } of [here, there, here, there]) choices.follow(store);
  assert.equal(there.store.autoAnnotation, true);
  assert.equal(new Choices(storage, 1).read().autoAnnotation, false);
});

test("a browser that keeps nothing stops nobody", () => {
  const storage = { getItem: () => null, setItem: () => { throw new Error("full"); } };
  new Choices(storage, 1).write({ brushAsks: false });
});

test("an unknown version is left alone", () => {
  assert.equal(strangeness({ APP_SETTINGS: { version: { release: "1.23.2" } } }), null);
  assert.match(strangeness({ APP_SETTINGS: { version: { release: "1.24.0" } } }), /1\.24\.0 is not known/);
  assert.match(strangeness({}), /does not say its version/);
});
