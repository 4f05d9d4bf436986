// Speaks to assistive technology: stages and whole sentences, politely, one after the other.
import { h } from "./dom.js";

const KEPT = 8;

/** A polite live region. */
export class Announcer {
  readonly element = h("div", { class: "sr", role: "status", "aria-live": "polite", "aria-relevant": "additions", "aria-atomic": "false" });
  #last = "";

  /** Says `text`. The same thing twice in a row is said once. */
  say(text: string): void {
    const plain = text.trim();
    if (!plain || plain === this.#last) return;
    this.#last = plain;
    this.element.append(h("p", { text: plain }));
    while (this.element.childElementCount > KEPT) this.element.firstElementChild?.remove();
  }
}
