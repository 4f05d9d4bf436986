// One question with its answer: puts the parts of a turn together and tells them when its state has moved.
import type { Entry, TurnActions } from "../model.js";
import { looksRunning } from "../model.js";
import { Outcome } from "@gen/ragmesh/gateway/v1/turn_pb.js";
import { words } from "../words.js";
import { AnswerView } from "./answer.js";
import { fill, h, uniqueId } from "./dom.js";
import { FeedbackView } from "./feedback.js";
import { NoticeView } from "./notices.js";
import { StripView } from "./sources.js";
import { StagesView } from "./stages.js";

/** A question of more characters is set smaller. */
const LONG_QUESTION = 140;

/** The view of one turn. `update` may be called as often as one likes. */
export class TurnView {
  readonly element: HTMLElement;
  readonly answer: AnswerView;
  readonly #parts: readonly { update(entry: Entry): void }[];
  readonly #question: HTMLElement;
  readonly #suggestions = h("div", { class: "suggestions", hidden: true });
  readonly #actions: TurnActions;

  constructor(actions: TurnActions) {
    this.#actions = actions;
    this.answer = new AnswerView(actions);
    const strip = new StripView(actions);
    const stages = new StagesView();
    const notice = new NoticeView(actions);
    const feedback = new FeedbackView(actions);
    this.#parts = [strip, stages, this.answer, notice, feedback];
    const id = uniqueId("question");
    this.#question = h("h2", { class: "question", id, tabindex: -1 });
    this.element = h(
      "article",
      { class: "turn", "aria-labelledby": id },
      this.#question,
      stages.element,
      strip.element,
      this.answer.element,
      notice.element,
      feedback.element,
      this.#suggestions,
    );
  }

  /** Brings the view up to the entry. */
  update(entry: Entry): void {
    const question = entry.shown.question || words.notKept;
    if (this.#question.textContent !== question) {
      this.#question.textContent = question;
      this.#question.classList.toggle("long", question.length > LONG_QUESTION);
    }
    for (const part of this.#parts) part.update(entry);
    const outcome = entry.shown.finished?.outcome;
    this.element.dataset["outcome"] = outcome === undefined ? (looksRunning(entry) ? "running" : "failed") : Outcome[outcome].toLowerCase();
    this.element.setAttribute("aria-busy", String(looksRunning(entry)));
    this.#suggest(entry);
  }

  /** Puts the focus on the question. */
  focus(): void {
    this.#question.focus();
  }

  #suggest(entry: Entry): void {
    const suggestions = entry.shown.finished?.suggestions ?? [];
    if (this.#suggestions.childElementCount || !suggestions.length) return;
    this.#suggestions.hidden = false;
    fill(
      this.#suggestions,
      h("p", { class: "notice-label", text: words.suggestions }),
      ...suggestions.slice(0, 4).map((text) => h("button", { type: "button", class: "pill", text, on: { click: () => this.#actions.ask(text) } })),
    );
  }
}
