import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import { Course } from "../../../companion/course.js";
import { masked } from "./memory_bench.mjs";

// test_course_cases.py holds ./inv propagate to the same ones.
const cases = JSON.parse(readFileSync(new URL("course_cases.json", import.meta.url), "utf8"));

for (const { what, frames, place, shown, masks, go } of cases) {
  test(`masks that go: ${what}`, () => {
    const placed = frames.map((name, at) => ({ task: at + 1, name }));
    const known = new Set(shown.flat());
    const course = new Course("image", placed, place, new Set(shown.at(-1)), known);
    const results = Object.entries(masks).map(([track, origin]) => masked(track, 0.8, origin));
    assert.deepEqual(results.filter((one) => course.replaces(one)).map((one) => one.id).sort(), go);
  });
}
