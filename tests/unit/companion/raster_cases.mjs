/** Runs what the companion covers on cases from Python: JSON in, the covered pixels out, as text of 0 and 1. */

import { readFileSync } from "node:fs";

import { coverPolygon, coverRuns, coverStroke, emptyGrid, uncovered } from "../../../companion/raster.js";

const answers = JSON.parse(readFileSync(0, "utf8")).map(({ width, height, runs, corners, strokes }) => {
  const grid = emptyGrid(width, height);
  const isRead = (runs ?? []).every((one) => coverRuns(grid, one));
  if (corners) coverPolygon(grid, corners);
  for (const one of strokes ?? []) coverStroke(grid, one.points, one.width, one.value);
  return { isRead, share: uncovered(grid), pixels: Array.from(grid.data.subarray(0, width * height)).join("") };
});
process.stdout.write(JSON.stringify(answers));
