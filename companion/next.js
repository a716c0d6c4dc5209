/** The key Tab: save what changed in a task, and open the next one of the list. */

const SAVE_LIMIT_MS = 60_000;
const LOAD_LIMIT_MS = 30_000;
const PAUSE_MS = 50;
const CALM_MS = 300; // Label Studio opens a task again after it was saved, in several steps

/**
 * @typedef {object} Surroundings
 * @property {DataManager} manager
 * @property {Store | null} store null while a task is loading
 * @property {(said: "last" | "unsaved") => void} said why the next task is not opened
 */

export class Next {
  /**
   * @param {Surroundings} around
   * @param {(ms: number) => Promise<unknown>} pause
   * @param {() => number} now in milliseconds
   */
  constructor(around, pause = (ms) => new Promise((go) => setTimeout(go, ms)), now = () => performance.now()) {
    this.around = around;
    this.pause = pause;
    this.now = now;
    this.isBusy = false;
  }

  /** Whether there is a list to go on in: a stream of tasks opens the next one itself. */
  get isPossible() {
    return this.around.manager.store?.isLabelStreamMode === false && !this.isBusy;
  }

  /**
   * @param {Annotation} annotation with nothing that waits to be accepted
   */
  async go(annotation) {
    const { store, manager } = this.around;
    const task = store?.task?.id;
    if (!store || task === undefined || !this.isPossible) return;
    this.isBusy = true;
    try {
      if (isChanged(annotation) && !(await this.#saved(store, annotation))) return this.around.said("unsaved");
      const next = await this.#after(task);
      if (next === null) return this.around.said("last");
      manager.store?.startLabeling(next);
    } finally {
      this.isBusy = false;
    }
  }

  /**
   * Submit or update as the editor's own button does, and wait until the task is open again.
   * @param {Store} store
   * @param {Annotation} annotation
   */
  async #saved(store, annotation) {
    const { manager } = this.around;
    const isNew = annotation.userGenerate === true && annotation.sentUserGenerate !== true;
    const event = isNew ? "submitAnnotation" : "updateAnnotation";
    let isSaved = false;
    const heard = (/** @type {any[]} */ ...given) => (isSaved = isGood(given[2]));
    manager.on(event, heard);
    try {
      if (isNew) await store.submitAnnotation();
      else await store.updateAnnotation();
      if (!(await this.#until(SAVE_LIMIT_MS, 0, () => isSaved))) return false;
      return await this.#until(LOAD_LIMIT_MS, CALM_MS, () => this.around.store?.annotationStore.selected != null);
    } finally {
      manager.off(event, heard);
    }
  }

  /**
   * The task after this one in the list, which holds those that were scrolled to.
   * @param {number} task
   */
  async #after(task) {
    const tasks = this.around.manager.store?.dataStore;
    if (!tasks) return null;
    const found = () => {
      const at = tasks.list.findIndex((one) => one.id === task);
      return at < 0 ? null : tasks.list[at + 1] ?? null;
    };
    if (found() === null && tasks.hasNextPage) await tasks.fetch({ interaction: "scroll" });
    return found();
  }

  /**
   * Whether something held for a while, within a limit.
   * @param {number} limitMs
   * @param {number} calmMs
   * @param {() => boolean} holds
   */
  async #until(limitMs, calmMs, holds) {
    const began = this.now();
    let since = began;
    while (this.now() - began < limitMs) {
      if (!holds()) since = this.now();
      else if (this.now() - since >= calmMs) return true;
      await this.pause(PAUSE_MS);
    }
    return false;
  }
}

/**
 * Whether something of it is not submitted.
 * @param {Annotation} annotation
 */
function isChanged(annotation) {
  return annotation.history.hasChanges === true || (annotation.draftId ?? 0) > 0;
}

/** @param {{ $meta?: { status?: number } } | undefined} result */
function isGood(result) {
  const status = result?.$meta?.status ?? 0;
  return status >= 200 && status < 300;
}
