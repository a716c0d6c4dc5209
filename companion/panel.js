/** A small list of the classes above the bottom bar: how many of each, shown or hidden; and the switches of the page. */

import { bottomBar } from "./chip.js";

/** @import { LabelCount } from "./classes.js" */
/** @import { Texts } from "./messages.js" */

const STYLE = `
:host { position: fixed; z-index: 900; max-width: 18rem; font: 13px/1.45 Figtree, system-ui, sans-serif; color: #44464f; }
section { background: #f4f4f6f5; border: 1px solid #d8d9df; border-radius: 10px; overflow: hidden; }
button { all: unset; box-sizing: border-box; cursor: pointer; }
button:focus-visible { outline: 2px solid #2b4a9b; outline-offset: -2px; }
.head { padding: 3px 10px; width: 100%; }
.list { max-height: 40vh; overflow: auto; border-top: 1px solid #d8d9df; padding: 4px 0; }
.row { display: flex; gap: 6px; align-items: center; width: 100%; padding: 1px 10px; }
.row:hover { background: #e7e8ee; }
.row i { flex: none; width: 10px; height: 10px; border-radius: 3px; }
.row span { flex: 1; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.row[aria-pressed="false"].class span { text-decoration: line-through; opacity: 0.55; }
.row[aria-pressed="false"].class i { opacity: 0.3; }
.switches { border-top: 1px solid #d8d9df; padding: 4px 0; }
.switch[aria-pressed]::before { content: "☐"; } .switch[aria-pressed="true"]::before { content: "☑"; }
.track { margin: 0; padding: 3px 10px; border-top: 1px solid #d8d9df; overflow-wrap: anywhere; }
.track.low { background: #ffe9c7; color: #7a4a00; }
[hidden] { display: none; }`;

/**
 * @typedef {object} Contents
 * @property {boolean} isOpen
 * @property {number} count of regions
 * @property {LabelCount[]} classes while it is open; those with regions are listed
 * @property {Set<string>} hidden names of classes that are not shown
 * @property {{ key: string, text: string, isOn?: boolean }[]} switches those without `isOn` go on to their next value
 * @property {{ text: string, isLow: boolean } | null} track of the region that is selected
 */

/**
 * @typedef {object} Actions
 * @property {() => void} fold open or close the list
 * @property {(name: string) => void} toggle show or hide a class
 * @property {(key: string) => void} flip a switch
 */

export class Panel {
  /**
   * @param {Document} page
   * @param {Texts} texts
   * @param {Actions} actions
   */
  constructor(page, texts, actions) {
    this.page = page;
    this.texts = texts;
    this.actions = actions;
    this.host = page.createElement("labelrig-panel");
    this.host.hidden = true;
    const root = this.host.attachShadow({ mode: "open" });
    const style = page.createElement("style");
    style.textContent = STYLE;
    this.box = page.createElement("section");
    root.append(style, this.box);
    page.body.append(this.host);
    this.key = "";
  }

  /** @param {Contents} contents */
  show(contents) {
    const { isOpen, count, classes, hidden, switches, track } = contents;
    const key = JSON.stringify([isOpen, count, classes, [...hidden], switches, track]);
    if (key !== this.key) {
      this.key = key;
      const focused = this.host.shadowRoot?.activeElement?.getAttribute("data-key");
      const head = this.#button("head", "fold", `${isOpen ? "▾" : "▸"} ${this.texts.regions(count)}`, this.actions.fold);
      head.setAttribute("aria-expanded", String(isOpen));
      this.box.replaceChildren(head);
      if (track) this.box.append(this.#track(track));
      if (isOpen) this.box.append(this.#list(classes, hidden), this.#switches(switches));
      if (focused) [...this.box.querySelectorAll("button")].find((one) => one.dataset.key === focused)?.focus();
    }
    this.#place();
    this.host.hidden = false;
  }

  hide() {
    this.host.hidden = true;
  }

  remove() {
    this.host.remove();
  }

  /**
   * @param {LabelCount[]} classes
   * @param {Set<string>} hidden
   */
  #list(classes, hidden) {
    const list = this.page.createElement("div");
    list.className = "list";
    for (const { name, colour, count } of classes.filter((one) => one.count > 0 || hidden.has(one.name))) {
      const row = this.#button("row class", `class:${name}`, "", () => this.actions.toggle(name));
      row.setAttribute("aria-pressed", String(!hidden.has(name)));
      row.title = this.texts.toggle;
      const swatch = this.page.createElement("i");
      swatch.style.background = colour;
      const [label, number] = [this.page.createElement("span"), this.page.createElement("b")];
      label.textContent = name || this.texts.noLabel;
      number.textContent = String(count);
      row.append(swatch, label, number);
      list.append(row);
    }
    return list;
  }

  /** @param {NonNullable<Contents["track"]>} track */
  #track({ text, isLow }) {
    const line = this.page.createElement("p");
    line.className = isLow ? "track low" : "track";
    line.textContent = isLow ? `⚠ ${text}` : text;
    return line;
  }

  /** @param {Contents["switches"]} switches */
  #switches(switches) {
    const list = this.page.createElement("div");
    list.className = "switches";
    for (const { key, text, isOn } of switches) {
      const row = this.#button("row switch", key, "", () => this.actions.flip(key));
      if (isOn !== undefined) row.setAttribute("aria-pressed", String(isOn));
      const label = this.page.createElement("span");
      label.textContent = text;
      label.style.whiteSpace = "normal";
      row.append(label);
      list.append(row);
    }
    return list;
  }

  /**
   * @param {string} kind
   * @param {string} key
   * @param {string} text
   * @param {() => void} pressed
   */
  #button(kind, key, text, pressed) {
    const button = this.page.createElement("button");
    button.type = "button";
    button.className = kind;
    button.dataset.key = key;
    button.textContent = text;
    button.addEventListener("click", pressed);
    return button;
  }

  /** Above the bottom bar, at its right end. */
  #place() {
    const box = bottomBar(this.page);
    this.host.style.right = `${Math.max(8, innerWidth - (box?.right ?? innerWidth) + 8)}px`;
    this.host.style.bottom = `${box ? Math.max(8, innerHeight - box.top + 2) : 64}px`;
  }
}
