/** The status chip: one quiet line above the editor's bottom bar. Red with a sentence when something went wrong. */

/** @import { Line } from "./status.js" */

const STYLE = `
:host { position: fixed; z-index: 900; pointer-events: none; max-width: 46rem; }
div { display: inline-block; padding: 3px 10px; border-radius: 10px; font: 13px/1.45 Figtree, system-ui, sans-serif;
  background: #f4f4f6ee; color: #44464f; border: 1px solid #d8d9df; }
:host([data-mood="busy"]) div { color: #2b4a9b; border-color: #a9bcf0; }
:host([data-mood="ready"]) div { color: #1f6b3a; border-color: #a5d6b5; }
:host([data-mood="error"]) div { color: #8f1616; background: #fff1f0f7; border-color: #e39a96; pointer-events: auto; }
span { color: #6b3fa0; } span:not(:empty)::before { content: " · "; }`;

export class Chip {
  /** @param {Document} page */
  constructor(page) {
    this.page = page;
    this.host = page.createElement("labelrig-chip");
    this.host.setAttribute("role", "status");
    this.host.hidden = true;
    const root = this.host.attachShadow({ mode: "open" });
    const style = page.createElement("style");
    style.textContent = STYLE;
    const line = page.createElement("div");
    this.text = page.createElement("b");
    this.text.style.fontWeight = "500";
    this.extra = page.createElement("span");
    line.append(this.text, this.extra);
    root.append(style, line);
    page.body.append(this.host);
  }

  /** @param {Line} line */
  show({ mood, text, extra }) {
    this.host.dataset.mood = mood;
    // For whoever looks from outside: a screen reader, a test. A shadow tree's text is neither's. Set again, the same
    // words would be read aloud again.
    const all = extra ? `${text} · ${extra}` : text;
    if (this.host.getAttribute("aria-label") !== all) {
      this.host.setAttribute("aria-label", all);
      this.text.textContent = text;
      this.extra.textContent = extra;
    }
    this.#place();
    this.host.hidden = false;
  }

  hide() {
    this.host.hidden = true;
  }

  /** Above the bottom bar, wherever it is now. */
  #place() {
    const box = bottomBar(this.page);
    const panel = /** @type {HTMLElement | null} */ (this.page.querySelector("labelrig-panel"));
    this.host.style.maxWidth = box ? `min(46rem, ${box.width - (panel?.offsetWidth ?? 0) - 24}px)` : "";
    this.host.style.left = `${Math.max(8, (box?.left ?? 0) + 8)}px`;
    this.host.style.bottom = `${box ? Math.max(8, innerHeight - box.top + 6) : 64}px`;
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
