// The scrolling log of turns. Follows new text only while the reader is near its end; otherwise a pill leads there.
import type { Entry, TurnActions } from "../model.js";
import { words } from "../words.js";
import { h, icon } from "./dom.js";
import { TurnView } from "./turn.js";

const NEAR_PX = 96;
/** Rounding of scroll positions. */
const SLACK_PX = 2;

/** The log. */
export class Transcript {
  /** What scrolls. */
  readonly element: HTMLElement;
  readonly jump: HTMLButtonElement;
  readonly #actions: TurnActions;
  readonly #log: HTMLElement;
  readonly #views = new Map<string, TurnView>();
  #order: string[] = [];

  constructor(actions: TurnActions, hero: HTMLElement) {
    this.#actions = actions;
    // The polite status of the page speaks stages and whole sentences; a live log would read them a second time.
    this.#log = h("div", { class: "log", role: "log", "aria-live": "off", "aria-label": words.transcript });
    this.element = h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": words.transcript }, hero, this.#log);
    this.jump = h("button", { type: "button", class: "jump", hidden: true }, icon("down"), h("span", { text: words.jump }));
    this.jump.addEventListener("click", () => this.toEnd(true));
    this.element.addEventListener("scroll", () => this.#showJump(), { passive: true });
    new ResizeObserver(() => this.#showJump()).observe(this.#log);
  }

  /** Shows these entries and no others. */
  show(entries: readonly Entry[]): void {
    const order = entries.map((entry) => entry.id);
    for (const [id, view] of this.#views) {
      if (order.includes(id)) continue;
      view.element.remove();
      this.#views.delete(id);
    }
    for (const entry of entries) this.update(entry);
    this.#order = order;
  }

  /** Brings one entry up to date; a new one is appended. */
  update(entry: Entry): void {
    const near = this.#isNear();
    const top = this.element.scrollTop;
    let view = this.#views.get(entry.id);
    if (!view) {
      view = new TurnView(this.#actions);
      this.#views.set(entry.id, view);
      this.#order.push(entry.id);
      this.#log.append(view.element);
    }
    view.update(entry);
    if (near) this.#follow(view.element, top);
    else this.#showJump();
  }

  /** Keeps the end in view, but the question too, unless the reader has scrolled past it. */
  #follow(turn: HTMLElement, top: number): void {
    const question = turn.offsetTop - this.#log.offsetTop;
    const end = this.element.scrollHeight - this.element.clientHeight;
    this.element.scrollTop = turn === this.#log.lastElementChild && top <= question + SLACK_PX ? Math.min(end, question) : end;
    this.#showJump();
  }

  view(entry: Entry): TurnView | undefined {
    return this.#views.get(entry.id);
  }

  /** Scrolls to the end, where following begins again. */
  toEnd(smooth: boolean): void {
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.element.scrollTo({ top: this.element.scrollHeight, behavior: smooth && !still ? "smooth" : "instant" });
    this.#showJump();
  }

  /** Puts the focus on the question before or after the one that is in view. */
  step(by: -1 | 1): void {
    const views = this.#order.map((id) => this.#views.get(id)).filter((view) => view !== undefined);
    const top = this.element.getBoundingClientRect().top;
    const tops = views.map((view) => view.element.getBoundingClientRect().top - top);
    const focused = views.findIndex((view) => view.element.contains(document.activeElement));
    const visible = tops.findIndex((one) => one > -40);
    const from = focused >= 0 ? focused : by > 0 ? (visible < 0 ? views.length - 1 : visible - 1) : visible < 0 ? views.length : visible;
    const view = views[Math.max(0, Math.min(views.length - 1, from + by))];
    view?.focus();
    view?.element.scrollIntoView({ block: "start" });
  }

  #isNear(): boolean {
    const { scrollHeight, scrollTop, clientHeight } = this.element;
    return scrollHeight - scrollTop - clientHeight < NEAR_PX;
  }

  #showJump(): void {
    this.jump.hidden = this.#isNear();
  }
}
