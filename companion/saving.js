/**
 * What Label Studio is given to keep: drafts at once and not five seconds later, without prompts, with the mask that
 * waits. A save that fails is tried again, and Label Studio never waits for it without an end.
 */

const NEW_DRAFT = "createDraftForTask";
const DRAFTS = new Set([NEW_DRAFT, "createDraftForAnnotation", "updateDraft"]);
const SAVES = new Set([...DRAFTS, "submitAnnotation", "updateAnnotation", "saveUserLabels"]);
const RETRY_MS = 5_000;
const LEAST_MS = 1_000; // between two saves: a person who paints makes several strokes a second
const WAITING_MS = 3_000; // then what waits to be accepted is saved too
const HOLD_LIMIT_MS = 10_000;
const HOLD_STEP_MS = 50;
const UNAVAILABLE = 503;

/**
 * @typedef {object} Work what the session knows
 * @property {Store | null} store
 * @property {(id: string) => boolean} isPrompt whether a region with this id asked SAM2
 * @property {(annotation: Annotation) => PromptEntry[]} waiting the mask that waits in it, as a draft has it
 */

/** @typedef {[name: string, params: object, body: { body?: { result?: PromptEntry[], parent_prediction?: unknown } } | undefined, ...rest: any[]]} Call */

export class Saving {
  /**
   * @param {DataManager} manager
   * @param {Work} work
   */
  constructor(manager, work) {
    this.manager = manager;
    this.work = work;
    this.stock = manager.apiCall.bind(manager);
    /** @type {Annotation | null} that is on the screen */
    this.annotation = null;
    /** @type {WeakMap<Annotation, Moment>} what Label Studio has of each */
    this.kept = new WeakMap();
    /** @type {Map<Annotation, Draft>} those that could not be saved */
    this.failures = new Map();
    this.status = 0;
    this.inFlight = 0;
    this.hasChanged = false;
    this.isHeld = false;
    this.draftId = 0;
    this.notBefore = 0;
    this.lackingSince = 0;
  }

  start() {
    this.manager.apiCall = (...call) => this.#call(/** @type {Call} */ (call));
  }

  close() {
    Reflect.deleteProperty(this.manager, "apiCall"); // its class's own is there again
  }

  /** The HTTP status with which the last save failed, 503 without an answer; null where all is well. */
  get problem() {
    return this.failures.size > 0 ? this.status : null;
  }

  /** Whether something that was done would be lost with the page. */
  get isUnsaved() {
    const annotation = this.#onScreen();
    return this.inFlight > 0 || this.problem !== null || (annotation !== null && this.#lacks(annotation));
  }

  /**
   * Another annotation is on the screen, or none.
   * @param {Annotation | null} annotation
   */
  turnTo(annotation) {
    this.annotation = annotation;
    this.draftId = 0;
    this.hasChanged = false;
    this.isHeld = false;
    if (annotation && !this.kept.has(annotation)) this.kept.set(annotation, momentOf(annotation));
  }

  /**
   * Four times a second: save what was done, at once where nothing waits to be accepted.
   * @param {boolean} isSettled
   */
  look(isSettled, now = Date.now()) {
    const annotation = this.#onScreen();
    if (!annotation) return;
    this.hasChanged ||= annotation.history.history.length > 1;
    if (!this.hasChanged) this.kept.set(annotation, momentOf(annotation)); // Label Studio still puts it together
    // It forgets the draft when it submits, also where that failed: a second one would stay beside the first.
    if (annotation.draftId) this.draftId = annotation.draftId;
    else if (this.draftId) annotation.setDraftId(this.draftId);
    if (now < this.notBefore) return;
    if (this.problem !== null) void this.#retry(now);
    else if (!this.#lacks(annotation)) this.lackingSince = now;
    else if (isSettled || now - this.lackingSince > WAITING_MS) {
      this.notBefore = now + LEAST_MS;
      void this.save();
    }
  }

  /** Save what is on the screen, where Label Studio lacks any of it. */
  async save() {
    const annotation = this.#onScreen();
    if (!annotation || this.isHeld || annotation.isDraftSaving || annotation.isDrawing || !this.#lacks(annotation)) return;
    annotation.autosave?.cancel();
    annotation.addVersions({ draft: annotation.serializeAnnotation({ fast: true }) });
    annotation.setDraftSaving(true);
    await this.work.store?.submitDraft(annotation);
    if (this.#onScreen() !== annotation) return;
    if (this.failures.has(annotation)) annotation.setDraftSaving(false);
    else annotation.onDraftSaved();
  }

  /** It is submitted now: back when no save is on its way, and none begins until `resume`. */
  async hold() {
    this.isHeld = true;
    const ends = Date.now() + HOLD_LIMIT_MS;
    while (this.inFlight > 0 && Date.now() < ends) await new Promise((resolve) => setTimeout(resolve, HOLD_STEP_MS));
  }

  /** It was not submitted after all. */
  resume() {
    this.isHeld = false;
  }

  /** @param {number} now */
  async #retry(now) {
    this.notBefore = now + RETRY_MS;
    for (const [annotation, draft] of [...this.failures]) {
      if (annotation === this.#onScreen()) await this.save();
      else await this.#send(draft.call, annotation, draft.moment);
    }
  }

  #onScreen() {
    const { annotation } = this;
    return annotation !== null && this.work.store?.annotationStore.selected === annotation ? annotation : null;
  }

  /** @param {Annotation} annotation */
  #lacks(annotation) {
    const kept = this.kept.get(annotation);
    const now = momentOf(annotation);
    return kept === undefined || kept.snapshot !== now.snapshot || kept.waiting !== now.waiting;
  }

  /**
   * Label Studio's way to its server.
   * @param {Call} call
   * @returns {Promise<any>}
   */
  async #call(call) {
    const [name, params, body, ...rest] = call;
    if (!SAVES.has(name)) return this.stock(...call);
    const annotation = DRAFTS.has(name) ? this.#ownerOf(call) : null;
    const result = body?.body?.result;
    const sent = Array.isArray(result) ? this.#withoutPrompts(result, annotation) : result;
    const moment = annotation && momentOf(annotation);
    if (name === NEW_DRAFT && annotation && moment && !sent?.length && !body?.body?.parent_prediction) {
      this.kept.set(annotation, moment);
      return {}; // nothing was drawn but prompts: no draft is needed that holds nothing
    }
    const asked = /** @type {Call} */ ([name, params, { ...body, body: { ...body?.body, result: sent } }, ...rest]);
    return this.#send(sent === result ? call : asked, annotation, moment);
  }

  /**
   * @param {Call} call
   * @param {Annotation | null} annotation whose draft it is
   * @param {Moment | null} moment that it is of
   */
  async #send(call, annotation, moment) {
    const answer = await this.#answerTo(call);
    const status = answer?.$meta?.status ?? (answer?.error ? UNAVAILABLE : 200);
    if (status >= 400) this.resume();
    if (annotation === null || moment === null) return answer;
    if (status >= 400) {
      this.status = status;
      this.failures.set(annotation, { call, moment });
    } else {
      this.failures.delete(annotation);
      this.kept.set(annotation, moment);
    }
    return answer;
  }

  /** @param {Call} call */
  async #answerTo(call) {
    this.inFlight += 1;
    try {
      return await this.stock(...call);
    } catch (error) {
      // Label Studio reads what went wrong in an answer, and waits for ever for one that never comes.
      return { error: String(error), $meta: { status: UNAVAILABLE, headers: new Map() } };
    } finally {
      this.inFlight -= 1;
    }
  }

  /**
   * The annotation whose draft it is: the editor sends the very list that it keeps.
   * @param {Call} call
   */
  #ownerOf([, , body]) {
    const all = [this.annotation, ...this.failures.keys()];
    return all.find((one) => one !== null && one.versions.draft === body?.body?.result) ?? null;
  }

  /**
   * @param {PromptEntry[]} result
   * @param {Annotation | null} annotation whose draft it is; null of what is submitted
   */
  #withoutPrompts(result, annotation) {
    const own = result.filter((one) => !this.work.isPrompt(one.id));
    const waiting = annotation === null ? [] : this.work.waiting(annotation);
    return own.length === result.length && !waiting.length ? result : [...own, ...waiting];
  }
}

/** @typedef {{ call: Call, moment: Moment }} Draft */
/** @typedef {{ snapshot: unknown, waiting: string }} Moment the regions, and the masks that wait, as they are now */

/**
 * @param {Annotation} annotation
 * @returns {Moment}
 */
function momentOf({ history, suggestions }) {
  return { snapshot: history.history[history.undoIdx], waiting: [...suggestions.keys()].join(" ") };
}
