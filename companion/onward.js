/**
 * Shift and M: the masks of this image go on into the next ones of its sequence, as predictions, while the person works
 * on. Images that people have annotated are left alone; from there on their masks count, and where they show none all
 * objects end: older masks after them go.
 */

import { Course } from "./course.js";
import { imagesOf, openAnnotation } from "./editor.js";
import { newId } from "./everything.js";
import { annotatedIn, masksIn, sequenceOf } from "./frames.js";
import { Memory } from "./memory.js";
import { sequenceRule } from "./options.js";
import { propagatedIn, store } from "./predictions.js";
import { entriesOf } from "./prompts.js";
import { Trouble } from "./trouble.js";

/** @import { Api } from "./api.js" */
/** @import { Texts } from "./messages.js" */
/** @import { Placed } from "./sequence.js" */

const ANCHORS = 4; // as many as SAM2 is trained with
const NOTE_MS = 20_000;
const NAMED = 3; // images that cannot be read, in the line

/** @typedef {{ frame: Placed, place: number, entries: PromptEntry[], predicted: PromptEntry[], tracks: string[] }} Anchor */

/**
 * @typedef {object} Desk what the session knows
 * @property {DataManager} manager
 * @property {Api} api
 * @property {Store | null} store
 * @property {number | null} task
 * @property {Texts} texts
 * @property {{ name: string | null }} windowing the picture that is pointed at
 * @property {{ read(): { onward: number } }} choices how many images, 0 for all that follow
 * @property {() => void} tick
 * @property {(error: unknown, requestId: string) => void} refused
 */

export class Onward {
  /** @param {Desk} desk */
  constructor(desk) {
    this.desk = desk;
    /** @type {AbortController | null} */
    this.current = null;
    this.done = 0;
    this.total = 0;
    this.doubted = 0; // images that lack masks
    /** @type {string[]} the names of images that cannot be read */
    this.passed = [];
    this.empty = 0; // images that come after one without objects, with that
    this.ends = ""; // the name of that image, where nothing is followed at the end
    this.note = "";
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
  }

  get isBusy() {
    return this.current !== null;
  }

  /** What the line says. */
  get hints() {
    const { texts } = this.desk;
    return [this.isBusy ? texts.onward(this.done, this.total) : "", this.note].filter(Boolean);
  }

  /** The key itself: begin, or end. */
  toggle() {
    if (this.isBusy) return this.stop(this.desk.texts.onwardStopped(this.done, this.total));
    void this.#go();
  }

  /** @param {string} note */
  stop(note = "") {
    this.current?.abort();
    this.current = null;
    this.#say(note);
  }

  async #go() {
    const { desk } = this;
    const annotation = desk.store && openAnnotation(desk.store);
    const image = annotation && desk.store ? imagesOf(desk.store).find((one) => one.name === desk.windowing.name) : undefined;
    const { task } = desk;
    if (!annotation || !image || task === null) return;
    // What is on the screen now: the person works on while the project's list is read.
    const own = annotation.regions.filter((one) => one.object.name === image.name && !one.dynamic && !one.fromSuggestion);
    const entries = masksIn(entriesOf(own), image.name);
    if (!entries.length) return this.#say(desk.texts.noMasksHere);
    const control = new AbortController();
    this.current = control;
    [this.done, this.total, this.doubted, this.passed, this.empty, this.ends] = [0, 0, 0, [], 0, ""];
    this.#say("");
    try {
      await this.#follow(task, image, entries, control.signal);
      if (this.current === control) this.#say(this.#summary, this.passed.length || this.ends ? null : NOTE_MS);
    } catch (error) {
      if (this.current !== control) return; // ended, and said so
      const away = await whyAway(desk); // it explains what failed
      if (this.current !== control) return;
      if (away) desk.refused(away, newId());
      const cause = away ?? error;
      if (!(cause instanceof Trouble)) console.error("labelrig:", cause);
      this.#say(desk.texts.onwardFailed(this.done, this.total, cause instanceof Trouble ? cause.message : String(cause)), null);
    } finally {
      if (this.current === control) this.current = null;
      desk.tick();
    }
  }

  /**
   * @param {number} task
   * @param {ImageTag} image
   * @param {PromptEntry[]} entries
   * @param {AbortSignal} signal
   */
  async #follow(task, image, entries, signal) {
    const { api, manager, texts } = this.desk;
    const backend = await api.serving(manager.projectId); // asked anew: it may have stopped, or been taken away
    const sequence = await sequenceOf(api, manager.projectId, task, image, sequenceRule(backend), signal);
    const { frames, at } = sequence ?? { frames: [], at: 0 };
    const most = this.desk.choices.read().onward || frames.length;
    const last = Math.min(frames.length - 1, at + most);
    if (last <= at) throw new Trouble(texts.lastOfSequence);
    this.total = last - at;
    /** @type {Anchor[]} */
    const anchors = [anchorOf(frames[at], at, await api.read(`/api/tasks/${task}/`, signal), image, entries)];
    /** @param {Set<string>} [known] */
    const begin = async (known) => {
      const memory = anchors[0].entries.length ? new Memory(api, backend, frames.length, signal) : null;
      const tracks = memory ? await give(memory, anchors) : new Set();
      return { memory, course: new Course(image.name, frames, anchors[0].place, tracks, known) };
    };
    let { memory, course } = await begin();
    try {
      for (let place = at + 1; place <= last; place += 1) {
        const frame = frames[place];
        const whole = await api.read(`/api/tasks/${frame.task}/`, signal);
        const drawn = annotatedIn(whole);
        if (drawn && place < last) {
          anchors.unshift(anchorOf(frame, place, whole, image, masksIn(drawn, image.name)));
          memory?.end(task);
          ({ memory, course } = await begin(course.known));
        } else if (!drawn && !memory) {
          if (propagatedIn(whole).length) await store(api, frame.task, [], (one) => course.replaces(one), signal);
        } else if (!drawn && memory) {
          const found = await memory.into(frame, place);
          if (found.problem) this.passed.push(frame.name);
          else {
            const how = await store(api, frame.task, found.results, (one) => course.replaces(one), signal);
            if (how !== "annotated" && found.doubted.length) this.doubted += 1;
          }
        }
        if (!memory) this.empty += 1;
        this.done += 1;
        this.desk.tick();
      }
      if (!memory) this.ends = anchors[0].frame.name;
    } finally {
      memory?.end(task);
    }
  }

  /** What came of it. */
  get #summary() {
    const { texts } = this.desk;
    const names = [...this.passed.slice(0, NAMED), ...(this.passed.length > NAMED ? ["…"] : [])].join(", ");
    return [
      texts.onwardDone(this.done - this.passed.length - this.empty, this.doubted),
      names && texts.passedOver(names),
      this.ends && texts.endsAt(this.ends),
    ].filter(Boolean).join("; ");
  }

  /**
   * @param {string} note
   * @param {number | null} forMs null: until the next time
   */
  #say(note, forMs = NOTE_MS) {
    clearTimeout(this.timer);
    this.note = note;
    if (note && forMs !== null) this.timer = setTimeout(() => this.#say(""), forMs);
    this.desk.tick();
  }
}

/**
 * Why SAM2 cannot be asked now; null where it can.
 * @param {Desk} desk
 * @returns {Promise<unknown>}
 */
function whyAway({ api, manager }) {
  return api.serving(manager.projectId).then(() => null, (trouble) => trouble);
}

/**
 * @param {Placed} frame
 * @param {number} place
 * @param {any} whole the task as Label Studio gives it
 * @param {ImageTag} image
 * @param {PromptEntry[]} entries
 * @returns {Anchor}
 */
function anchorOf(frame, place, whole, image, entries) {
  return { frame, place, entries, predicted: masksIn(propagatedIn(whole)[0]?.result ?? [], image.name), tracks: [] };
}

/**
 * Give the nearest image's masks, and those of older ones with the same objects.
 * @param {Memory} memory
 * @param {Anchor[]} anchors the nearest first
 * @returns {Promise<Set<string>>} the tracks of the nearest
 */
async function give(memory, [nearest, ...older]) {
  nearest.tracks = Object.keys(await memory.give(nearest.frame, nearest.place, nearest.entries, nearest.predicted));
  const tracks = new Set(nearest.tracks);
  const shared = older.filter((one) => one.tracks.some((track) => tracks.has(track))).slice(0, ANCHORS - 1);
  for (const one of shared) await memory.give(one.frame, one.place, one.entries, one.predicted);
  return tracks;
}
