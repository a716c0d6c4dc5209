/** What keys do beside clicks: all objects (A), the masks of the image before (J, and M continued by SAM2), work on masks (W). */

import { Nothing } from "./before.js";
import { imagesOf, openAnnotation } from "./editor.js";
import { Everything, newId } from "./everything.js";
import { Masked } from "./masked.js";
import { Onward } from "./onward.js";
import { pickedLabel } from "./picked.js";
import { Proposals } from "./proposals.js";
import { Reading } from "./reading.js";
import { Work } from "./work.js";

/** @import { Api } from "./api.js" */
/** @import { Drawing } from "./drawing.js" */
/** @import { Press } from "./keys.js" */
/** @import { Texts } from "./messages.js" */
/** @import { Outliner } from "./outliner.js" */

/**
 * @typedef {object} Desk what the session knows, and is told
 * @property {Window} page
 * @property {DataManager} manager
 * @property {Api} api
 * @property {Store | null} store
 * @property {Backend | null} backend
 * @property {number | null} task
 * @property {Drawing} drawing
 * @property {Texts} texts
 * @property {{ read(): { onward: number } }} choices
 * @property {{ name: string | null }} windowing the picture that is pointed at
 * @property {{ outliner: Pick<Outliner, "of"> }} sight
 * @property {() => void} tick
 * @property {(work: () => void) => void} safely
 * @property {() => void} asked
 * @property {() => void} answered
 * @property {(error: unknown, requestId: string) => void} refused
 */

export class Tools {
  /** @param {Desk} desk */
  constructor(desk) {
    this.desk = desk;
    this.work = new Work(desk.api, desk.manager.projectId, desk);
    this.everything = new Everything(desk.api);
    const masked = new Masked(() => desk.sight.outliner);
    this.proposals = new Proposals(desk.safely, (error) => desk.refused(error, newId()), (offer) => masked.among(offer));
    this.onward = new Onward(desk);
    this.reading = new Reading(desk);
    /** @type {"offered" | "copies" | "continued"} what the proposals are */
    this.kind = "offered";
    this.note = "";
    /** @type {{ key: "a" | "j" | "m", task: number, annotation: Annotation } | null} a key whose proposals are still to come */
    this.wanted = null;
  }

  /** Whether something waits that is there at once: not all objects, beside which people go on. */
  get isBusy() {
    return this.work.isBusy || this.reading.isBusy || this.proposals.isBusy;
  }

  /** Whether prompts are drawn on masks too. */
  get isOverMasks() {
    return this.work.isOverMasks;
  }

  /** Whether a click where the mouse is takes a proposal. */
  get takesClick() {
    return this.proposals.marked !== null;
  }

  /** Whether what the line says of all this is what comes next. */
  get leads() {
    return this.work.isOpen || (this.proposals.isOpen && this.proposals.left.length > 0);
  }

  /** What the line says of all this. */
  get hints() {
    const { texts } = this.desk;
    const { everything, proposals } = this;
    const [left, leftOut] = [proposals.left.length, proposals.leftOut.size];
    return [
      everything.isBusy && texts.finding(Math.round(100 * everything.share)),
      proposals.isOpen && left > 0 && texts[this.kind](left),
      leftOut > 0 && texts.leftOut(leftOut),
      this.note,
      ...this.work.hints,
      ...this.onward.hints,
    ].filter((one) => typeof one === "string" && one !== "");
  }

  stop() {
    this.#end();
    this.work.stop();
  }

  close() {
    this.stop();
    this.onward.stop();
  }

  /** Another annotation is on the screen, or none. What was asked for is asked again if it is of the same task. */
  turn() {
    const { wanted } = this;
    this.stop();
    this.wanted = wanted;
  }

  /** @param {Annotation | null} annotation on the screen */
  look(annotation) {
    if (!annotation) return;
    const { wanted } = this;
    if (wanted && wanted.annotation !== annotation) {
      this.wanted = null;
      // Label Studio makes the annotation of a task that it opens twice, and a person may be quicker.
      if (wanted.task === this.desk.task) void this.#offer(wanted.key, annotation);
    }
    this.work.look(annotation);
    this.proposals.look();
  }

  /** Enter: the mask that waits becomes one of its own, or a part of the one that is worked on. */
  accept() {
    const annotation = this.#annotation;
    if (!annotation || !this.work.isOverMasks) return this.desk.drawing.accept();
    void this.work.accept(annotation).then(this.desk.tick);
  }

  /** Before the annotation is saved: a mask that waits goes where Enter would put it. */
  async finish() {
    const annotation = this.#annotation;
    if (annotation && this.work.isOverMasks) await this.work.accept(annotation);
    this.stop();
  }

  /**
   * Whether a move or a button of the mouse is about proposals; the editor then sees nothing of it.
   * @param {MouseEvent} event
   */
  moved(event) {
    return this.proposals.moved(event);
  }

  /**
   * Whether a key is one of these; it is obeyed then.
   * @param {Press & { repeat?: boolean }} press
   * @param {Set<string>} taken hotkeys of labels
   */
  pressed(press, taken) {
    const annotation = this.#annotation;
    if (!annotation || press.ctrlKey || press.metaKey || press.altKey) return false;
    const isOurs = this.#obey(press, annotation, taken);
    if (isOurs) this.desk.tick();
    return isOurs;
  }

  /**
   * @param {Press & { repeat?: boolean }} press
   * @param {Annotation} annotation
   * @param {Set<string>} taken
   */
  #obey(press, annotation, taken) {
    const key = press.key.toLowerCase();
    const isAgain = press.repeat === true;
    if (key === "enter" && press.shiftKey && this.proposals.left.length) {
      if (!isAgain) this.#takeAll(annotation);
      return true;
    }
    if (key === "m" && press.shiftKey && !taken.has("shift+m")) {
      if (!isAgain) this.onward.toggle();
      return true;
    }
    if (press.shiftKey && key !== "+") return false;
    if (this.work.isOpen && this.work.pressed(key, annotation)) return true;
    if (key === "escape" && this.#isOffering && !this.desk.drawing.isPending) {
      this.#end();
      return true;
    }
    if (taken.has(key) || !(key === "a" || key === "j" || key === "m" || key === "w")) return false;
    if (isAgain) return true;
    this.note = "";
    if (key === "w") this.work.toggle(annotation);
    else if (this.#isOffering) this.#end();
    else void this.#offer(key, annotation);
    return true;
  }

  /** @param {Annotation} annotation */
  #takeAll(annotation) {
    const { proposals, desk } = this;
    const name = proposals.offer?.image.name ?? "";
    if (this.kind === "offered" && pickedLabel(annotation, name) === null) this.note = desk.texts.label;
    else proposals.takeAll();
  }

  /**
   * @param {"a" | "j" | "m"} key
   * @param {Annotation} annotation
   */
  async #offer(key, annotation) {
    const { desk } = this;
    const { store, task } = desk;
    const name = desk.windowing.name;
    const image = store ? imagesOf(store).find((one) => one.name === name) : undefined;
    if (!image || task === null) return;
    const wanted = { key, task, annotation };
    this.wanted = wanted;
    desk.asked();
    try {
      const backend = desk.backend ?? (await desk.api.serving(desk.manager.projectId));
      const before = key === "a" ? null : await this.reading.before(key, backend, task, image, annotation);
      const offer = before?.offer ?? (key === "a" ? await this.everything.find(backend, task, image, annotation, () => desk.tick()) : null);
      if (!offer || this.#annotation !== annotation) return;
      this.kind = before?.kind ?? "offered";
      this.note = before?.note ?? "";
      if (!offer.proposals.length) {
        this.note = desk.texts.noneFound;
        return;
      }
      this.proposals.open(offer);
    } catch (error) {
      if (error instanceof Nothing) this.note = desk.texts[error.reason];
      else if (this.#annotation === annotation) desk.refused(error, newId());
    } finally {
      if (this.wanted === wanted && this.#annotation === annotation) this.wanted = null;
      desk.tick();
    }
  }

  #end() {
    this.note = "";
    this.wanted = null;
    this.everything.stop();
    this.reading.stop();
    this.proposals.close();
  }

  /** Whether there is something to take, or to wait for. Once all were taken, undo offers one again. */
  get #isOffering() {
    return this.proposals.left.length > 0 || this.everything.isBusy || this.reading.isBusy;
  }

  get #annotation() {
    const { store } = this.desk;
    return store && openAnnotation(store);
  }
}
