/** What went wrong, in a sentence for people: `Trouble`, and which one a backend has that does not serve. */

import { backendSentence } from "./messages.js";

/** @import { Texts } from "./messages.js" */

const CONNECTED = "CO";
const CANNOT_SERVE = "ER";

/** What went wrong, in one sentence. */
export class Trouble extends Error {
  /**
   * @param {string} sentence
   * @param {string | null} requestId under which the backend's log has it
   */
  constructor(sentence, requestId = null) {
    super(sentence);
    this.requestId = requestId;
  }
}

/**
 * What is wrong with a project's backend, by the state that Label Studio finds it in.
 * @param {Backend | null} backend null: the project has none for clicks
 * @param {Texts} texts
 * @returns {Trouble | null} null: it serves
 */
export function troubleOf(backend, texts) {
  if (backend === null) return new Trouble(texts.noBackend);
  if (backend.state === CONNECTED) return null;
  if (backend.state === CANNOT_SERVE && backend.error_message) {
    return new Trouble(texts.refused(backendSentence(backend.error_message) ?? backend.error_message));
  }
  return new Trouble(texts.silent(backend.url));
}
