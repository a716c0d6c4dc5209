/** Whether the pictures of a task are on the screen, and if not, why: Label Studio shows no reason, or waits for ever. */

/** @import { Texts } from "./messages.js" */

const PATIENCE_MS = 2_000; // then we ask for the picture ourselves
const PAUSE_MS = 10_000; // between two questions
const LIMIT_MS = 70_000; // the backend makes a picture within a minute, or says so
// Label Studio's link to an object of a cloud storage: what it streams is ours to ask, where it leads is not.
const OF_STORAGE = /\/(?:tasks|projects)\/\d+\/(?:resolve|presign)\/\?(?:[^#]*&)?fileuri=([^&#]+)/;

/**
 * @typedef {object} Wait a picture that is not there
 * @property {ImageEntity} entity the one that shows it now: the editor makes others when it reads the task anew
 * @property {number} since
 * @property {number} asked when we last asked for it ourselves; 0 never
 * @property {boolean} isAsking
 * @property {number} came how often it came when we asked, and not to the editor
 * @property {boolean} isRetried whether the editor was made to load it again
 * @property {string | null} problem
 */

export class Pictures {
  /**
   * @param {Texts} texts
   * @param {typeof fetch} ask
   * @param {() => number} now in milliseconds
   */
  constructor(texts, ask = (...given) => fetch(...given), now = () => performance.now()) {
    this.texts = texts;
    this.ask = ask;
    this.now = now;
    /** @type {Map<string, Wait>} by address */
    this.waits = new Map();
  }

  /**
   * How the pictures are now: all there, one still on its way, or what is wrong with the first that will not come.
   * @param {ImageTag[]} images
   * @returns {"shown" | "loading" | { problem: string }}
   */
  look(images) {
    const missing = images.flatMap((one) => (one.currentImageEntity && !one.imageIsLoaded ? [one.currentImageEntity] : []));
    const addresses = new Set(missing.map((one) => one.src));
    for (const src of this.waits.keys()) if (!addresses.has(src)) this.waits.delete(src);
    for (const one of missing) this.#wait(one);
    const problem = [...this.waits.values()].find((one) => one.problem !== null)?.problem;
    if (problem) return { problem };
    return missing.length ? "loading" : "shown";
  }

  /** @param {ImageEntity} entity */
  #wait(entity) {
    const now = this.now();
    const wait = this.waits.get(entity.src) ?? { entity, since: now, asked: 0, isAsking: false, came: 0, isRetried: false, problem: null };
    wait.entity = entity;
    this.waits.set(entity.src, wait);
    const isDue = wait.asked ? now - wait.asked >= PAUSE_MS : entity.error || now - wait.since >= PATIENCE_MS;
    if (!isDue || wait.isAsking) return;
    wait.asked = now;
    wait.isAsking = true;
    void this.#problem(entity.src, entity.error).then((problem) => {
      wait.isAsking = false;
      if (this.waits.get(entity.src) !== wait) return; // it came meanwhile, or another task is open
      if (problem === null) this.#again(wait.entity, wait);
      else wait.problem = problem;
    });
  }

  /**
   * A picture came when we asked for it. The editor waits for ever for one that was refused, and tries a broken one once.
   * @param {ImageEntity} entity
   * @param {Wait} wait
   */
  #again(entity, wait) {
    wait.came += 1;
    if (wait.problem !== null && !wait.isRetried) {
      load(entity, wait.came);
    } else if (wait.isRetried) {
      wait.problem = entity.error ? this.texts.noPicture(this.texts.notAPicture(nameIn(entity.src))) : null;
      return;
    } else if (entity.error || wait.came > 1) {
      wait.isRetried = true;
      load(entity, wait.came);
    }
    wait.problem = null;
  }

  /**
   * Why a picture does not come; null where it does.
   * @param {string} src
   * @param {boolean} hasFailed what came was no picture for the browser
   * @returns {Promise<string | null>}
   */
  async #problem(src, hasFailed) {
    const { texts } = this;
    const stop = new AbortController();
    try {
      const answer = await this.ask(src, { signal: AbortSignal.any([stop.signal, AbortSignal.timeout(LIMIT_MS)]) });
      if (answer.ok) return hasFailed && !isPicture(answer) ? texts.noPicture(texts.notAPicture(nameIn(src))) : null;
      if (answer.status === 401) return texts.signedOut;
      return texts.noPicture((await sentenceIn(answer)) ?? texts.missing(nameIn(src), answer.status));
    } catch {
      if (!hasFailed) return null; // of another server, which we may not ask
      return texts.noPicture(OF_STORAGE.test(src) ? texts.notFromStorage(nameIn(src)) : nameIn(src));
    } finally {
      stop.abort(); // the picture itself is the editor's
    }
  }
}

/**
 * Let the editor load a picture once more. What came and was broken is in its caches: an address that it has not had,
 * and that servers get as it was, leads past them.
 * @param {ImageEntity} entity
 * @param {number} times
 */
function load(entity, times) {
  try {
    entity.setError(false);
    if (entity.currentSrc === undefined) entity.preload();
    else entity.markAsLoaded(`${entity.src}#${times}`);
  } catch {
    // The editor has thrown it away since it was looked at; the next look finds the one in its place.
  }
}

/** @param {Response} answer */
function isPicture(answer) {
  return answer.headers.get("Content-Type")?.startsWith("image/") === true;
}

/**
 * What the backend or the proxy says.
 * @param {Response} answer
 */
async function sentenceIn(answer) {
  try {
    const { detail } = await answer.json();
    return typeof detail === "string" && detail ? detail : null;
  } catch {
    return null;
  }
}

/** @param {string} src */
function nameIn(src) {
  const coded = OF_STORAGE.exec(src)?.[1];
  const last = src.split(/[/=]/).pop() ?? src;
  try {
    return coded ? uriIn(decodeURIComponent(coded)) : (decodeURIComponent(last).split("/").pop() ?? last);
  } catch {
    return last;
  }
}

/** @param {string} coded base64url, as Label Studio writes it */
function uriIn(coded) {
  const bytes = atob(coded.replaceAll("-", "+").replaceAll("_", "/"));
  return new TextDecoder().decode(Uint8Array.from(bytes, (one) => one.charCodeAt(0)));
}
