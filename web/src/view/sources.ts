// Source cards: the strip above an answer where there is no third column, and the list in the panel.
import type { Evidence } from "@gen/ragmesh/evidence/v1/evidence_pb.js";
import type { Entry, TurnActions } from "../model.js";
import { looksRunning } from "../model.js";
import type { TurnState } from "../turn/fold.js";
import { citations, standing } from "../turn/runs.js";
import { words } from "../words.js";
import { fill, h, icon } from "./dom.js";
import { standingMark } from "./marks.js";
import { titleOf } from "./preview.js";

const WAITING = 3;

/** The headings that lead to a passage, without the title. */
export function sectionOf(evidence: Pick<Evidence, "titlePath">): string {
  return evidence.titlePath.slice(1).join(" › ");
}

/** Number under which each passage is cited, by name. */
export function numbersOf(state: TurnState): Map<string, number> {
  return new Map(citations(state).map((citation) => [citation.evidence, citation.number]));
}

/** Cited passages first, by number; then the others in the order of the search. */
export function inReadingOrder(state: TurnState): Evidence[] {
  const numbers = numbersOf(state);
  // The order moves only when the turn is over, so that no card jumps under a reader's pointer.
  if (!state.finished) return [...state.evidence];
  return [...state.evidence].sort((a, b) => (numbers.get(a.name) ?? 1e6) - (numbers.get(b.name) ?? 1e6));
}

/** The small cards above an answer. */
export class StripView {
  readonly element = h("div", { class: "strip", role: "group" });
  readonly #actions: TurnActions;
  #painted: readonly unknown[] = [];

  constructor(actions: TurnActions) {
    this.#actions = actions;
    this.element.setAttribute("aria-label", words.sources);
  }

  update(entry: Entry): void {
    const { shown: state } = entry;
    const seen = [state.evidence, state.claims, state.finished, entry.failure, isWaiting(entry)];
    if (this.#painted.length && seen.every((part, index) => part === this.#painted[index])) return;
    this.#painted = seen;
    const waiting = isWaiting(entry);
    this.element.hidden = !waiting && !state.evidence.length;
    // Height is kept while the search runs, so that nothing moves when the cards come.
    if (waiting) {
      fill(this.element, ...Array.from({ length: WAITING }, () => h("div", { class: "card waiting", "aria-hidden": "true" })));
      return;
    }
    const numbers = numbersOf(state);
    const scroll = this.element.scrollLeft;
    fill(this.element, ...inReadingOrder(state).map((evidence) => this.#card(entry, evidence, numbers.get(evidence.name))));
    this.element.scrollLeft = scroll;
  }

  #card(entry: Entry, evidence: Evidence, number: number | undefined): HTMLElement {
    const card = h(
      "button",
      { type: "button", class: number ? "card cited" : "card", data: { evidence: evidence.name } },
      h("span", { class: "card-number", text: number ? String(number) : "·", "aria-hidden": "true" }),
      h("span", { class: "card-words" }, h("span", { class: "card-title", text: titleOf(evidence) }), h("span", { class: "card-section", text: sectionOf(evidence) })),
      h("span", { class: "sr", text: number ? words.cited(number) : words.notCited }),
    );
    card.addEventListener("click", () => this.#actions.open(entry, evidence.name, card));
    return card;
  }
}

/** Whether passages may still come for an entry that has none. */
export function isWaiting(entry: Entry): boolean {
  return looksRunning(entry) && !entry.shown.evidence.length && !entry.shown.text;
}

/** The list of the panel. `choose` gets the passage and the card. */
export function sourceList(entry: Entry, choose: (evidence: Evidence, card: HTMLElement) => void): HTMLElement {
  const { shown: state } = entry;
  if (isWaiting(entry)) {
    return h("div", { class: "source-list" }, ...Array.from({ length: WAITING }, () => h("div", { class: "source waiting", "aria-hidden": "true" })));
  }
  if (!state.evidence.length) return h("p", { class: "panel-empty" }, icon("book"), h("span", { text: looksRunning(entry) ? words.sourcesEmpty : words.sourcesNone }));
  const numbers = numbersOf(state);
  const cards = inReadingOrder(state).map((evidence) => {
    const number = numbers.get(evidence.name);
    const kinds = state.claims.filter((claim) => claim.refs.some((ref) => ref.evidence === evidence.name)).map(standing);
    const worst = (["contradicted", "unverified", "partly", "verified"] as const).find((kind) => kinds.includes(kind));
    const card = h(
      "button",
      { type: "button", class: number ? "source cited" : "source", data: { evidence: evidence.name } },
      h(
        "span",
        { class: "source-head" },
        h("span", { class: "card-number", text: number ? String(number) : "·", "aria-hidden": "true" }),
        h("span", { class: "card-words" }, h("span", { class: "card-title", text: titleOf(evidence) }), sectionOf(evidence) && h("span", { class: "card-section", text: sectionOf(evidence) })),
      ),
      evidence.text && h("span", { class: "source-text", text: evidence.text.replace(/\s+/g, " ").slice(0, 400) }),
      h("span", { class: "source-foot" }, worst ? standingMark(worst) : h("span", { class: "muted", text: words.notCited })),
    );
    card.addEventListener("click", () => choose(evidence, card));
    return h("li", {}, card);
  });
  return h("ol", { class: "source-list", role: "list" }, ...cards);
}
