// How the page stands to the network: time and wake-ups for following turns, and the banner that says so.
import type { World } from "./turn/follow.js";
import { words } from "./words.js";
import { fill, h, icon } from "./view/dom.js";

/** A connection that comes back sooner than this is not worth a word. */
const QUIET_MS = 400;
const RESUMED_MS = 2500;

const wake = new EventTarget();

/** Ends every pause: the reader does not want to wait. */
export function tryNow(): void {
  wake.dispatchEvent(new Event("now"));
}

/** Time as a browser has it; a pause ends early when the network comes back or the reader asks for it. */
export const browserWorld: World = {
  pause: (ms, signal) =>
    new Promise((resolve, reject) => {
      const end = () => {
        clearTimeout(timer);
        removeEventListener("online", end);
        wake.removeEventListener("now", end);
        signal.removeEventListener("abort", end);
        if (signal.aborted) reject(signal.reason as Error);
        else resolve();
      };
      const timer = setTimeout(end, ms);
      addEventListener("online", end);
      wake.addEventListener("now", end);
      signal.addEventListener("abort", end);
    }),
  after: (ms, act) => {
    const timer = setTimeout(act, ms);
    return () => clearTimeout(timer);
  },
  onNetwork: (act) => {
    addEventListener("offline", act);
    addEventListener("online", act);
    return () => {
      removeEventListener("offline", act);
      removeEventListener("online", act);
    };
  },
};

/** The banner below the header. */
export class ConnectionBanner {
  readonly #element: HTMLElement;
  readonly #say: (text: string) => void;
  #shown = "";
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(element: HTMLElement, say: (text: string) => void) {
    this.#element = element;
    this.#say = say;
  }

  /** `lost`: a running turn has no connection. `text`: whether it has released text already. */
  update(lost: boolean, hasText: boolean): void {
    const offline = !navigator.onLine;
    const next = lost ? `lost ${hasText} ${offline}` : offline ? "offline" : "";
    if (next === this.#shown) return;
    const before = this.#shown;
    this.#shown = next;
    clearTimeout(this.#timer);
    if (!next) this.#resumed(before);
    else if (offline) this.#paint(lost, hasText, offline);
    else this.#timer = setTimeout(() => this.#paint(lost, hasText, offline), QUIET_MS);
  }

  #paint(lost: boolean, hasText: boolean, offline: boolean): void {
    const text = lost ? (hasText ? words.lost : words.lostQuestion) : words.offline;
    const more = lost ? (offline ? words.offline : `${words.reconnecting}…`) : "";
    fill(
      this.#element,
      icon("cloud"),
      h("span", { class: "banner-text" }, h("strong", { text }), more && h("span", { text: ` ${more}` })),
      lost && h("button", { type: "button", class: "link", text: words.tryNow, on: { click: tryNow } }),
    );
    this.#element.className = "banner caution";
    this.#element.hidden = false;
  }

  #resumed(before: string): void {
    if (this.#element.hidden) return;
    if (!before.startsWith("lost")) {
      this.#element.hidden = true;
      return;
    }
    this.#element.className = "banner good";
    fill(this.#element, icon("check"), h("span", { class: "banner-text", text: words.resumed }));
    this.#say(words.resumed);
    this.#timer = setTimeout(() => (this.#element.hidden = true), RESUMED_MS);
  }
}
