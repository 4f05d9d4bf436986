// What a reader can do with an answer: copy it with its citations, and say whether it was good.
import { Thumb } from "@gen/ragmesh/gateway/v1/turn_pb.js";
import type { Entry, TurnActions } from "../model.js";
import type { TurnState } from "../turn/fold.js";
import { runs } from "../turn/runs.js";
import { words } from "../words.js";
import { fill, h, iconButton, uniqueId } from "./dom.js";
import { numbersOf, sectionOf } from "./sources.js";
import { titleOf } from "./preview.js";

const COMMENT_LIMIT = 1000;
const NOTE_MS = 2500;

/** An answer as plain text with numbered citations and the list of its sources. */
export function withCitations(state: TurnState): string {
  const text = runs(state)
    .filter((run) => run.retracted === undefined)
    .map((run) => run.text + (run.citations.length ? ` ${run.citations.map((citation) => `[${citation.number}]`).join("")}` : ""))
    .join("")
    .trim();
  const sources = [...numbersOf(state)].map(([name, number]) => {
    const evidence = state.evidence.find((one) => one.name === name);
    if (!evidence) return "";
    return [`[${number}] ${titleOf(evidence)}`, sectionOf(evidence), evidence.sourceUri].filter(Boolean).join(", ");
  });
  return sources.length ? `${text}\n\n${words.sourcesHeading}\n${sources.join("\n")}\n` : `${text}\n`;
}

/** The row below an answer. */
export class FeedbackView {
  readonly element = h("div", { class: "feedback", hidden: true });
  readonly #actions: TurnActions;
  #entry: Entry | undefined;
  #note = h("span", { class: "note", role: "status" });
  #form: HTMLFormElement;
  #up = iconButton("up", words.thumbUp, { "aria-pressed": "false" });
  #down = iconButton("thumbdown", words.thumbDown, { "aria-pressed": "false" });
  #comment: HTMLTextAreaElement;

  constructor(actions: TurnActions) {
    this.#actions = actions;
    const id = uniqueId("why");
    this.#comment = h("textarea", { id, rows: 2, maxlength: COMMENT_LIMIT });
    this.#form = h(
      "form",
      { class: "why", hidden: true },
      h("label", { for: id, text: words.why }),
      this.#comment,
      h("button", { type: "submit", class: "pill", text: words.sendReason }),
    );
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#rate(Thumb.DOWN, this.#comment.value.trim()).then((kept) => {
        if (!kept) return;
        this.#form.hidden = true;
        this.#down.focus();
      });
    });
    const copy = iconButton("copy", words.copy);
    copy.addEventListener("click", () => void this.#copy());
    this.#up.addEventListener("click", () => void this.#toggle(Thumb.UP));
    this.#down.addEventListener("click", () => void this.#toggle(Thumb.DOWN));
    fill(this.element, h("div", { class: "feedback-row" }, copy, this.#up, this.#down, this.#note), this.#form);
  }

  update(entry: Entry): void {
    this.#entry = entry;
    this.element.hidden = !entry.shown.finished || !entry.shown.text.trim();
    this.#up.setAttribute("aria-pressed", String(entry.rating === Thumb.UP));
    this.#down.setAttribute("aria-pressed", String(entry.rating === Thumb.DOWN));
  }

  async #toggle(thumb: Thumb): Promise<void> {
    const next = this.#entry?.rating === thumb ? Thumb.UNSPECIFIED : thumb;
    if (!(await this.#rate(next, ""))) return;
    this.#form.hidden = next !== Thumb.DOWN;
    if (!this.#form.hidden) this.#comment.focus();
  }

  async #rate(thumb: Thumb, comment: string): Promise<boolean> {
    if (!this.#entry) return false;
    try {
      await this.#actions.rate(this.#entry, thumb, comment);
      this.#tell(thumb === Thumb.UNSPECIFIED ? "" : words.thanks);
      return true;
    } catch {
      this.#tell(words.ratingFailed);
      return false;
    }
  }

  async #copy(): Promise<void> {
    if (!this.#entry) return;
    await copyText(withCitations(this.#entry.shown));
    this.#tell(words.copied);
  }

  #tell(text: string): void {
    this.#note.textContent = text;
    if (text) setTimeout(() => this.#note.textContent === text && (this.#note.textContent = ""), NOTE_MS);
  }
}

async function copyText(text: string): Promise<void> {
  // The clipboard API exists on https and loopback only; a page on a plain address in the house copies by selection.
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = h("textarea", { class: "sr", "aria-hidden": "true" });
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}
