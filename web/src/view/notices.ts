// What stands below an answer that did not end as an answer: what happened, what is kept, and one thing to do.
import { BlockReason, Outcome, Stage } from "@gen/ragmesh/gateway/v1/turn_pb.js";
import type { Entry, TurnActions } from "../model.js";
import type { CallFailure } from "../wire/errors.js";
import { words } from "../words.js";
import type { Icon } from "./dom.js";
import { fill, h, icon } from "./dom.js";

/** The notice of one turn. */
export class NoticeView {
  readonly element = h("div", { class: "notice-slot" });
  readonly #actions: TurnActions;
  #painted: readonly unknown[] = [];
  #countdown: ReturnType<typeof setInterval> | undefined;

  constructor(actions: TurnActions) {
    this.#actions = actions;
  }

  update(entry: Entry): void {
    const seen = [entry.shown.finished, entry.failure];
    if (seen.every((part, index) => part === this.#painted[index])) return;
    this.#painted = seen;
    clearInterval(this.#countdown);
    fill(this.element, this.#notice(entry));
  }

  #notice(entry: Entry): HTMLElement | undefined {
    const { finished } = entry.shown;
    if (entry.failure) return this.#notAsked(entry, entry.failure);
    switch (finished?.outcome) {
      case undefined:
      case Outcome.ANSWERED:
      case Outcome.UNSPECIFIED:
        return undefined;
      case Outcome.PARTIAL:
        // A sentence that was taken back says so in its own place.
        return entry.shown.retractions.length ? undefined : notice("partly", "neutral", words.partial, [], words.partialText);
      case Outcome.ABSTAINED:
        return this.#abstained(entry);
      case Outcome.CLARIFICATION:
        return entry.shown.text.trim() ? undefined : notice("question", "neutral", words.clarification);
      case Outcome.BLOCKED:
        return this.#blocked(entry, finished.blockReason);
      case Outcome.STOPPED:
        return notice("pause", "neutral", entry.shown.text.trim() ? words.stopped : words.stoppedEmpty, [
          this.#again(words.continue, entry.shown.question),
        ]);
      case Outcome.FAILED:
        return this.#failed(entry);
      default:
        return undefined;
    }
  }

  #abstained(entry: Entry): HTMLElement {
    const { shown: state } = entry;
    const nearest = state.finished?.abstention?.nearest ?? [];
    const searched = state.finished?.abstention?.documentsSearched || state.searched;
    // Where the assistant has said it in its own words, the notice only says what was searched.
    const said = Boolean(state.text.trim());
    const body = notice("search", "neutral", said ? words.abstainedSearched(searched) : words.abstained, [
      h("button", { type: "button", class: "pill", on: { click: () => this.#actions.edit(state.question) } }, icon("edit"), h("span", { text: words.rephrase })),
    ]);
    const text = said ? [] : [h("p", { text: words.abstainedText(searched) })];
    if (nearest.length) {
      const items = nearest.slice(0, 3).map((document) => {
        const known = state.evidence.some((evidence) => evidence.name === document.evidence);
        if (!known) return h("li", { text: document.title });
        const link = h("button", { type: "button", class: "link", text: document.title });
        link.addEventListener("click", () => this.#actions.open(entry, document.evidence, link));
        return h("li", {}, link);
      });
      text.push(h("p", { class: "notice-label", text: words.nearest }), h("ul", { class: "nearest" }, ...items) as unknown as HTMLParagraphElement);
    }
    body.querySelector(".notice-title")?.after(...text);
    return body;
  }

  #blocked(entry: Entry, reason: BlockReason): HTMLElement {
    const { question, stages } = entry.shown;
    // A question that was searched for was taken: what is refused then is the answer.
    const ofAnswer = reason === BlockReason.UNSUPPORTED || (stages.at(-1)?.stage ?? 0) > Stage.CHECKING;
    const body = notice("shield", "caution", ofAnswer ? words.blockedAnswer : words.blocked, [
      h("button", { type: "button", class: "pill", on: { click: () => this.#actions.edit(question) } }, icon("edit"), h("span", { text: words.editQuestion })),
    ]);
    body.querySelector(".notice-title")?.after(h("p", { text: words.blockReason(reason) }));
    return body;
  }

  #failed(entry: Entry): HTMLElement {
    const { shown: state } = entry;
    const failure = state.finished?.failure;
    const action = failure?.retryable
      ? this.#again(words.askAgain, state.question)
      : h("button", { type: "button", class: "pill", on: { click: () => this.#actions.edit(state.question) } }, icon("edit"), h("span", { text: words.editQuestion }));
    const body = notice("alert", "failure", words.failed, [action]);
    const kept = words.failedKept(Boolean(state.text.trim()), state.evidence.length);
    body.querySelector(".notice-title")?.after(h("p", { text: `${words.failure(failure?.reason ?? "")} ${kept}` }));
    body.lastElementChild?.append(...turnId(state.name));
    return body;
  }

  /** The mesh said no before the turn began, or the connection did not come back. */
  #notAsked(entry: Entry, failure: CallFailure): HTMLElement {
    const { shown: state } = entry;
    const reason = failure.reason || "LOST";
    let action: HTMLElement;
    if (state.name || (reason === "TURN_IN_PROGRESS" && failure.metadata["turn"])) {
      const label = reason === "TURN_IN_PROGRESS" ? words.showRunning : words.tryAgain;
      action = h("button", { type: "button", class: "pill", on: { click: () => this.#actions.follow(entry) } }, icon("retry"), h("span", { text: label }));
    } else if (reason === "CONVERSATION_FULL" || reason === "CONVERSATION_NOT_FOUND") {
      action = this.#again(words.askInNew, state.question, true);
    } else {
      action = this.#again(words.askAgain, state.question, false, failure.retryAfterMs);
    }
    const body = notice("alert", "failure", state.name ? words.failed : words.notTaken, [action]);
    const kept = words.failedKept(Boolean(state.text.trim()), state.evidence.length);
    body.querySelector(".notice-title")?.after(h("p", { text: `${words.failure(reason)} ${kept}` }));
    body.lastElementChild?.append(...turnId(state.name || failure.metadata["turn"] || ""));
    return body;
  }

  #again(label: string, question: string, fresh = false, waitMs = 0): HTMLElement {
    const text = h("span", { text: label });
    const button = h("button", { type: "button", class: "pill", on: { click: () => this.#actions.ask(question, fresh) } }, icon("retry"), text);
    let left = Math.ceil(waitMs / 1000);
    if (left > 0) {
      const tick = () => {
        button.disabled = left > 0;
        text.textContent = left > 0 ? words.askAgainIn(left) : label;
        if (left-- <= 0) clearInterval(this.#countdown);
      };
      tick();
      this.#countdown = setInterval(tick, 1000);
    }
    return button;
  }
}

function turnId(turn: string): HTMLElement[] {
  return turn ? [h("p", { class: "turn-id" }, `${words.turnId} `, h("code", { text: turn.split("/").at(-1) ?? "" }))] : [];
}

function notice(symbol: Icon, tone: "neutral" | "caution" | "failure", title: string, actions: HTMLElement[] = [], text = ""): HTMLElement {
  return h(
    "div",
    { class: `notice ${tone}` },
    icon(symbol),
    h("div", { class: "notice-body" }, h("p", { class: "notice-title", text: title }), text && h("p", { text }), actions.length ? h("div", { class: "notice-actions" }, ...actions) : undefined),
  );
}
