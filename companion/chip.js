/**
 * The line above the editor's bottom bar, in a place of its own: what is drawn ends above it. Red with a sentence when
 * something went wrong.
 */

/** @import { Line } from "./status.js" */

const PLACE = ".lsf-main-content";
const HEIGHT = "--labelrig-line"; // of the line, in the page
// The colours are Label Studio's, which are others in its dark mode; a page without them has those behind the comma.
const STYLE = `
:host { position: fixed; z-index: 900; box-sizing: border-box; min-height: 31px; padding: 5px 8px; overflow: hidden;
  font: 13px/1.45 Figtree, system-ui, sans-serif; background: var(--color-neutral-background, #fff);
  color: var(--color-neutral-content-subtle, #44464f); border-top: 1px solid var(--color-neutral-border, #d8d9df); }
:host([hidden]) { display: none; }
:host(:not([data-mood="error"])) { white-space: nowrap; text-overflow: ellipsis; }
:host([data-mood="busy"]) { color: var(--color-primary-content, #2b4a9b); }
:host([data-mood="ready"]) { color: var(--color-positive-content, #1f6b3a); }
:host([data-mood="error"]) { color: var(--color-negative-content, #8f1616); }`;
// The editor's pane ends above the line: nothing that is drawn, nor a scroll bar, is behind it.
const ROOM = `${PLACE} { max-height: calc(100% - var(--bottombar-height, 0px) - var(${HEIGHT}, 0px)) !important;
  padding-bottom: 8px !important; }`;

export class Chip {
  /** @param {Document} page */
  constructor(page) {
    this.page = page;
    this.host = page.createElement("labelrig-chip");
    this.host.setAttribute("role", "status"); // read aloud when its words change, after what is being read
    this.host.hidden = true;
    const root = this.host.attachShadow({ mode: "open" });
    const style = page.createElement("style");
    style.textContent = STYLE;
    root.append(style, page.createElement("slot"));
    this.room = page.createElement("style");
    this.room.textContent = ROOM;
    page.body.append(this.host);
  }

  /** @param {Line} line */
  show({ mood, text, extra, about }) {
    this.host.dataset.mood = mood;
    // In the page itself: what is in a shadow is read by no screen reader as it changes. Set again, the same words would
    // be read again.
    const all = extra ? `${text} · ${extra}` : text;
    if (this.host.textContent !== all) this.host.textContent = all;
    const title = `${about}\n${all}`; // the whole of it, where the line is cut off
    if (this.host.title !== title) this.host.title = title;
    this.host.hidden = false;
    if (!this.room.isConnected) this.page.head.append(this.room);
    this.#place();
  }

  hide() {
    if (this.host.hidden) return;
    this.host.hidden = true;
    this.host.textContent = "";
    this.room.remove();
  }

  /** Above the bottom bar, as wide as it, wherever it is now. */
  #place() {
    const bar = bottomBar(this.page);
    const panel = /** @type {HTMLElement | null} */ (this.page.querySelector("labelrig-panel"));
    const { style } = this.host;
    style.left = `${bar?.left ?? 0}px`;
    style.width = bar ? `${bar.width}px` : "100%";
    style.bottom = `${bar ? Math.max(0, innerHeight - bar.top) : 0}px`;
    style.paddingRight = `${(panel?.offsetWidth ?? 0) + 16}px`; // the list of classes stands at its end
    const height = `${this.host.offsetHeight}px`;
    const { style: root } = this.page.documentElement;
    if (root.getPropertyValue(HEIGHT) !== height) root.setProperty(HEIGHT, height);
  }
}

/**
 * Where the editor's bottom bar is now, or the editor.
 * @param {Document} page
 */
export function bottomBar(page) {
  const bar = page.querySelector(".lsf-bottombar, .lsf-bottom-bar") ?? page.querySelector(".lsf-main-content");
  return bar?.getBoundingClientRect() ?? null;
}
