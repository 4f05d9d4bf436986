// The small card that shows the cited words while a citation is hovered or focused. One for the whole page.
import type { Evidence } from "@gen/ragmesh/evidence/v1/evidence_pb.js";
import type { TurnState } from "../turn/fold.js";
import type { Citation } from "../turn/runs.js";
import { standing } from "../turn/runs.js";
import { quotesInEvidence } from "../text/spans.js";
import { fill, h } from "./dom.js";
import { standingMark } from "./marks.js";

const QUOTE_LIMIT = 280;

/** The title of a passage's document. */
export function titleOf(evidence: Pick<Evidence, "titlePath" | "document">): string {
  return evidence.titlePath[0] ?? evidence.document.split("/").at(-1) ?? "";
}

/** The words of a citation, as they stand in its passage. Empty where the passage's text is not at hand. */
export function quoteOf(state: TurnState, citation: Citation): string {
  const evidence = state.evidence.find((one) => one.name === citation.evidence);
  const ref = state.claims[citation.claim]?.refs.find((one) => one.evidence === citation.evidence);
  if (!evidence || !ref) return "";
  return quotesInEvidence(evidence, ref.quotes)
    .map((span) => evidence.text.slice(span.start, span.end).replace(/\s+/g, " ").trim())
    .join(" … ");
}

const card = h("div", { class: "preview", role: "tooltip", id: "preview", hidden: true });
let shownFor: HTMLElement | undefined;
let timer: ReturnType<typeof setTimeout> | undefined;

/** Shows the card beside `button`, at once on focus, after a moment under the pointer. */
export function showPreview(button: HTMLElement, state: TurnState, citation: Citation, delayMs: number): void {
  clearTimeout(timer);
  timer = setTimeout(() => {
    if (!button.isConnected) return;
    const evidence = state.evidence.find((one) => one.name === citation.evidence);
    const claim = state.claims[citation.claim];
    if (!evidence || !claim) return;
    const quote = quoteOf(state, citation);
    fill(
      card,
      h("p", { class: "preview-title", text: titleOf(evidence) }),
      quote && h("p", { class: "quote", text: quote.length > QUOTE_LIMIT ? `${quote.slice(0, QUOTE_LIMIT).trimEnd()}…` : quote }),
      standingMark(standing(claim)),
    );
    if (!card.isConnected) {
      card.addEventListener("pointerenter", () => clearTimeout(timer));
      card.addEventListener("pointerleave", () => hidePreview());
      // Inside the landmark that its citations are in.
      button.closest("main")?.append(card);
    }
    card.hidden = false;
    shownFor?.removeAttribute("aria-describedby");
    shownFor = button;
    button.setAttribute("aria-describedby", "preview");
    place(button);
  }, delayMs);
}

function place(button: HTMLElement): void {
  const anchor = button.getBoundingClientRect();
  const { width, height } = card.getBoundingClientRect();
  const left = Math.max(8, Math.min(anchor.left + anchor.width / 2 - width / 2, innerWidth - width - 8));
  const above = anchor.top - height - 6;
  card.style.left = `${Math.round(left)}px`;
  card.style.top = `${Math.round(above > 8 ? above : anchor.bottom + 6)}px`;
}

/** Hides the card. True where one was shown. */
export function hidePreview(delayMs = 0): boolean {
  clearTimeout(timer);
  const shown = !card.hidden;
  const hide = () => {
    card.hidden = true;
    shownFor?.removeAttribute("aria-describedby");
    shownFor = undefined;
  };
  // A moment of grace lets the pointer travel onto the card.
  if (delayMs) timer = setTimeout(hide, delayMs);
  else hide();
  return shown;
}
