/** Which of the model's masks is on the screen for a lone point, and the way back: the editor's history knows nothing of it. */

/** @typedef {{ number: number, back: number[], forth: number[], last: object | null }} Choice of one point; `last` is the last state of the history when it was made */

export class Candidates {
  constructor() {
    /** Of how many masks the one on the screen is. */
    this.of = 1;
    /** @type {Map<string, Choice>} by the state of the point: it may come again by undo and redo */
    this.choices = new Map();
    /** @type {Choice | null} of the point that is asked about, alone or with those that came after it */
    this.current = null;
  }

  /** Which one is on the screen, from 0. */
  get number() {
    return this.current?.number ?? 0;
  }

  /** Nothing is asked about. */
  reset() {
    this.of = 1;
    this.current = null;
  }

  /** Another annotation is on the screen. */
  forget() {
    this.reset();
    this.choices.clear();
  }

  /**
   * The prompts that are asked about are others than before: those of a point that was chosen for keep its choice.
   * @param {string[]} states of the prompts
   */
  about(states) {
    this.of = 1;
    const known = states.find((one) => this.choices.has(one));
    this.current = known === undefined ? null : this.choices.get(known) ?? null;
    if (this.current && states.length > 1) this.current.forth = [];
  }

  /**
   * The next one.
   * @param {string} point its state
   * @param {object} last state of the editor's history
   */
  next(point, last) {
    const choice = this.current ?? { number: 0, back: [], forth: [], last };
    this.choices.set(point, choice);
    this.current = choice;
    this.#turn(choice, choice.back, (choice.number + 1) % this.of);
    choice.forth = [];
    choice.last = last;
  }

  /** The one before; false where no other one was chosen. */
  undo() {
    const before = this.current?.back.pop();
    if (!this.current || before === undefined) return false;
    this.#turn(this.current, this.current.forth, before);
    return true;
  }

  /** The one that was taken back; false where there is none. */
  redo() {
    const after = this.current?.forth.pop();
    if (!this.current || after === undefined) return false;
    this.#turn(this.current, this.current.back, after);
    return true;
  }

  /**
   * Whether what the editor's history can redo was done before another mask was chosen: that ended it.
   * @param {object} last state of the history
   */
  endsRedo(last) {
    return this.current !== null && this.current.last === last;
  }

  /**
   * @param {Choice} choice
   * @param {number[]} way where the one on the screen is kept
   * @param {number} number
   */
  #turn(choice, way, number) {
    way.push(choice.number);
    choice.number = number;
  }
}
