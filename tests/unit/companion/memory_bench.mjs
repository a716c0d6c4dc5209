/** Label Studio with a sequence of images, and the backend's memory behind it, as far as the page asks them. */

export const SIZE = { original_width: 8, original_height: 6, to_name: "image" };

export function note(track, score, origin = "1.png") {
  return `track ${track}: out of ${origin}, score ${score.toFixed(2)}, presence 0.99, run 3f2a1c9d07be`;
}

export function brush(id, more = {}) {
  return { ...SIZE, id, type: "brush", from_name: "brush", value: { format: "rle", rle: [1, 2, 3] }, ...more };
}

export function masked(track, score, origin) {
  return brush(track, { score, meta: { text: [note(track, score, origin)] } });
}

export class Bench {
  /** @param {number} count of images; task 1 shows 1.png */
  constructor(count) {
    this.tasks = new Map();
    for (let task = 1; task <= count; task += 1) {
      this.tasks.set(task, { id: task, data: { image: `/data/local-files/?d=s/${task}.png` }, annotations: [], predictions: [] });
    }
    this.asked = []; // of the backend: the step, the task, and the tracks or regions
    this.sent = []; // to Label Studio
    this.tracks = [];
    this.broken = []; // tasks whose images cannot be read
    this.doubted = []; // tracks that get no mask
    this.waits = 0; // answers that say that a step is in work still
    this.fails = null; // [task, error] for a step into it
    this.held = null; // a promise that steps wait for
    this.made = 100;
    this.away = null; // why the backend does not serve
  }

  async serving() {
    if (this.away) throw this.away;
    return { id: 3 };
  }

  async query(_backend, task, context, _request, signal) {
    if (context.ask === "outlines") return { outlines: context.result.map((one) => ({ id: one.id, rings: [[0, 0, 9, 0, 9, 9]], area: 0.1 })) };
    const { step, run } = context.follow;
    if (this.held && step !== "end") await this.held;
    signal.throwIfAborted();
    if (this.waits > 0 && step !== "end") {
      this.waits -= 1;
      return { result: [], follow: { done: false } };
    }
    const ids = [...new Set((context.result ?? []).map((one) => one.id))];
    this.asked.push([step, task, ...ids]);
    if (step === "end") return { follow: { done: true } };
    if (step === "anchor") {
      const tracks = Object.fromEntries(ids.map((id) => [id.includes(".") ? id : `${task}.${id}`, id]));
      if (run !== this.run) this.tracks = Object.keys(tracks);
      this.run = run;
      return { follow: { done: true, tracks } };
    }
    if (this.fails?.[0] === task) throw this.fails[1];
    if (this.broken.includes(task)) {
      return { result: [], follow: { done: true, tracks: this.tracks, ended: [], doubted: [], problem: `${task}.png is cut off` } };
    }
    const doubted = this.tracks.filter((track) => this.doubted.includes(track));
    const result = this.tracks.filter((track) => !doubted.includes(track)).map((track) => masked(track, 0.9));
    return { result, score: 0.9, follow: { done: true, tracks: this.tracks, ended: [], doubted, problem: null } };
  }

  async read(path) {
    const one = /^\/api\/tasks\/(\d+)\/$/.exec(path);
    if (one) return structuredClone(this.tasks.get(Number(one[1])));
    const tasks = [...this.tasks.values()].map(({ id, data }) => ({ id, data }));
    return { tasks, total: tasks.length };
  }

  async write(method, path, body) {
    this.sent.push([method, body ? body.task : Number(/(\d+)\/$/.exec(path)[1])]);
    if (method === "POST") {
      this.made += 1;
      this.tasks.get(body.task).predictions.push({ id: this.made, ...body });
      return { id: this.made };
    }
    for (const task of this.tasks.values()) task.predictions = task.predictions.filter((one) => !path.endsWith(`/${one.id}/`));
    return null;
  }

  annotate(task, ...results) {
    this.tasks.get(task).annotations.push({ id: task * 10, result: results });
  }
}
