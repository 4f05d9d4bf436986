// Paints the released text of a turn: runs are appended, and only what changed behind the common beginning is painted anew.
import { ClaimVerdict } from "@gen/ragmesh/evidence/v1/evidence_pb.js";
import type { Entry, TurnActions } from "../model.js";
import type { TurnState } from "../turn/fold.js";
import type { Citation, Run } from "../turn/runs.js";
import { runs, standing } from "../turn/runs.js";
import { words } from "../words.js";
import { h } from "./dom.js";
import { hidePreview, showPreview, titleOf } from "./preview.js";

const HOVER_MS = 250;
const LEAVE_MS = 200;

/** The answer of one turn. */
export class AnswerView {
  readonly element = h("div", { class: "answer" });
  readonly #actions: TurnActions;
  #keys: string[] = [];
  #painted: TurnState | undefined;

  constructor(actions: TurnActions) {
    this.#actions = actions;
  }

  update(entry: Entry): void {
    const { shown: state } = entry;
    const last = this.#painted;
    const same =
      last && last.text === state.text && last.claims === state.claims && last.retractions === state.retractions && last.evidence === state.evidence;
    this.#painted = state;
    if (same) return;
    const language = state.understood?.language;
    if (language && language !== "und") this.element.lang = language;
    const next = runs(state);
    const keys = next.map((run) => key(run, state));
    let common = 0;
    while (common < keys.length && keys[common] === this.#keys[common]) common++;
    const focused = this.element.contains(document.activeElement) ? (document.activeElement as HTMLElement).dataset["cite"] : undefined;
    while (this.element.childNodes.length > common) this.element.lastChild?.remove();
    this.element.append(...next.slice(common).map((run) => this.#paint(run, entry)));
    this.#keys = keys;
    if (focused && !this.element.contains(document.activeElement)) {
      this.element.querySelector<HTMLElement>(`[data-cite="${focused}"]`)?.focus({ preventScroll: true });
    }
  }

  /** Lights the claims that rest on a passage, or one claim; undefined puts the light out. */
  light(evidence: string | undefined, claim?: number): void {
    const state = this.#painted;
    for (const element of this.element.querySelectorAll<HTMLElement>("[data-claim]")) {
      const index = Number(element.dataset["claim"]);
      const rests = state?.claims[index]?.refs.some((ref) => ref.evidence === evidence) ?? false;
      element.classList.toggle("lit", evidence !== undefined && rests && (claim === undefined || claim === index));
    }
    for (const button of this.element.querySelectorAll<HTMLElement>(".cite")) {
      const on = evidence !== undefined && button.dataset["evidence"] === evidence && (claim === undefined || button.dataset["of"] === String(claim));
      button.classList.toggle("on", on);
    }
  }

  #paint(run: Run, entry: Entry): Node {
    const piece = h("span", { class: "run" });
    if (run.retracted !== undefined) {
      if (run.text.trim()) piece.append(h("span", { class: "retracted", text: words.retractedWhy(run.retracted) }), " ");
      return piece;
    }
    const text = run.highlight ? h("strong", { text: run.text }) : run.text;
    if (run.claim >= 0) {
      const claim = entry.shown.claims[run.claim];
      const kind = claim ? standing(claim) : "unverified";
      piece.append(h("span", { class: `claim ${kind}`, data: { claim: String(run.claim) } }, text));
    } else {
      piece.append(text);
    }
    piece.append(...run.citations.map((citation) => this.#button(citation, entry)));
    return piece;
  }

  #button(citation: Citation, entry: Entry): HTMLElement {
    const claim = entry.shown.claims[citation.claim];
    const evidence = entry.shown.evidence.find((one) => one.name === citation.evidence);
    const kind = claim ? standing(claim) : "unverified";
    const button = h("button", {
      type: "button",
      class: `cite ${kind}`,
      "aria-label": words.sourceLabel(citation.number, evidence ? titleOf(evidence) : "", words.standing(kind)),
      data: { cite: String(citation.index), evidence: citation.evidence, of: String(citation.claim) },
    });
    button.append(h("span", { text: String(citation.number) }));
    const preview = (delay: number) => showPreview(button, this.#painted ?? entry.shown, citation, delay);
    button.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && preview(HOVER_MS));
    button.addEventListener("pointerleave", () => hidePreview(LEAVE_MS));
    button.addEventListener("focus", () => button.matches(":focus-visible") && preview(0));
    button.addEventListener("blur", () => hidePreview());
    button.addEventListener("click", () => {
      hidePreview();
      this.#actions.cite(entry, citation.index, button);
    });
    return button;
  }
}

/** What a run looks like: two runs with the same key need no new paint. */
function key(run: Run, state: TurnState): string {
  const claim = state.claims[run.claim];
  const cited = run.citations.map((citation) => `${citation.index}.${citation.number}.${citation.claim}.${citation.evidence}`).join(",");
  return [
    run.start,
    run.text,
    run.claim,
    claim?.verdict ?? ClaimVerdict.UNSPECIFIED,
    claim?.support ?? 0,
    run.highlight,
    run.retracted ?? "",
    cited,
  ].join("|");
}
