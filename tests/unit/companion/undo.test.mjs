import assert from "node:assert/strict";
import test from "node:test";

import { isSame } from "../../../companion/history.js";
import { Editor } from "./editor_model.mjs";

test("undo and redo around two accepted masks lead through all that was done", async () => {
  const editor = new Editor();
  const seen = [editor.view];
  for (const [label, x] of [["Sky", 1], ["Road", 2]]) {
    editor.click(label, x);
    await editor.answer();
    seen.push(editor.view);
    editor.drawing.accept();
    editor.tick();
    seen.push(editor.view);
  }
  for (const expected of seen.slice(0, -1).reverse()) {
    editor.step("undo");
    await editor.answer();
    assert.deepEqual(editor.view, expected);
  }
  for (const expected of seen.slice(1)) {
    editor.step("redo");
    await editor.answer();
    assert.deepEqual(editor.view, expected);
  }
});

test("a click with another label is one step back, with the mask that it accepted", async () => {
  const editor = new Editor();
  editor.click("Sky", 1);
  await editor.answer();
  const before = editor.view;
  editor.click("Road", 2);
  await editor.answer();
  assert.deepEqual([editor.view.accepted.length, editor.view.prompts], [1, ["Road+2"]]);
  const after = editor.view;
  editor.step("undo");
  await editor.answer();
  assert.deepEqual(editor.view, before);
  editor.step("redo");
  await editor.answer();
  assert.deepEqual(editor.view, after);
});

test("another label before the answer keeps the object before", async () => {
  const editor = new Editor();
  editor.click("Sky", 1);
  editor.click("Road", 2);
  await editor.answer();
  assert.deepEqual([editor.view.accepted, editor.view.prompts], [["Sky:Sky+1/0"], ["Road+2"]]);
  assert.equal(editor.view.waiting.length, 1);
});

test("another mask is taken back, and an accepted one comes again as it was", async () => {
  const editor = new Editor();
  editor.click("Sky", 1);
  await editor.answer();
  for (const _ of [1, 2]) {
    editor.drawing.next();
    await editor.answer();
  }
  editor.drawing.accept();
  for (const waiting of ["Sky+1/2", "Sky+1/1", "Sky+1/0"]) {
    editor.step("undo");
    await editor.answer();
    assert.deepEqual(editor.view.waiting, [waiting]);
  }
  editor.step("redo");
  await editor.answer();
  assert.deepEqual(editor.view.waiting, ["Sky+1/1"]);
});

/** Numbers of 0 to 1 that are the same in each run (mulberry32). */
function numbersFrom(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

test("whatever was done, undo leads back through it and redo on again", async () => {
  for (let seed = 1; seed <= 60; seed += 1) await sequence(seed);
});

async function sequence(seed) {
  const random = numbersFrom(seed);
  const editor = new Editor();
  const done = [];
  let views = [editor.view];
  let at = 0;
  for (let number = 0; number < 25; number += 1) {
    const action = ["click", "click", "click", "other", "enter", "enter", "esc", "next", "undo", "undo", "redo"][Math.floor(random() * 11)];
    const label = random() < 0.5 ? "Sky" : "Road";
    const isNew = act(editor, action, label, number);
    done.push(`${action} ${label} ${number}`);
    if (random() < 0.8 || ["undo", "redo", "next"].includes(action)) await editor.answer();
    else {
      await editor.answer(); // the model is quick, or the annotator waits
      editor.tick();
    }
    if (action === "undo") at = Math.max(0, at - 1);
    else if (action === "redo") at = Math.min(views.length - 1, at + 1);
    else if (isNew) {
      views = [...views.slice(0, at + 1), editor.view];
      at += 1;
    }
    assert.deepEqual(editor.view, views[at], `seed ${seed}: ${done.join(", ")}`);
  }
}

/** Do it; whether it was one thing more. */
function act(editor, action, label, number) {
  const { drawing } = editor;
  const before = JSON.stringify(editor.view);
  if (action === "click" || action === "other") {
    editor.click(action === "other" ? label : editor.view.prompts[0]?.match(/^[A-Za-z]+/)[0] ?? label, number, random2(number));
    return true;
  }
  if (action === "enter") drawing.accept();
  else if (action === "esc" && drawing.isPending) drawing.reject();
  else if (action === "next") {
    const offers = drawing.offersMore && editor.view.prompts.length === 1;
    drawing.next();
    return offers;
  } else if (action === "undo" || action === "redo") editor.step(action);
  return JSON.stringify(editor.view) !== before;
}

const random2 = (number) => number % 5 === 4;

test("what the editor works out again by itself makes no difference", () => {
  const stroke = (points, relativePoints) => ({ areas: { a: { type: "brushregion", touches: [{ points, strokeWidth: 3, relativePoints }] } } });
  assert.equal(isSame(stroke([1], [10]), stroke([2], [10])), true);
  assert.equal(isSame(stroke([1], [10]), stroke([1], [11])), false);
  assert.equal(isSame({ areas: { a: { x: 1 } } }, { areas: { b: { x: 1 } } }), false);
  assert.equal(isSame({ areas: {} }, { areas: { b: {} } }), false);
});
