// The evidence panel: a third column where there is room, a drawer or bottom sheet where there is not. Shows the list of a
// turn's passages, or one passage with its neighbours and the cited words marked and centred.
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Evidence } from "@gen/ragmesh/evidence/v1/evidence_pb.js";
import type { Passage } from "@gen/ragmesh/retriever/v1/retriever_service_pb.js";
import type { Entry } from "../model.js";
import type { Span } from "../text/spans.js";
import { quotesInEvidence, quotesInPassage } from "../text/spans.js";
import type { Citation } from "../turn/runs.js";
import { citations, standing } from "../turn/runs.js";
import { callFailure } from "../wire/errors.js";
import { dateWords, words } from "../words.js";
import { fill, h, icon, iconButton } from "./dom.js";
import { standingMark } from "./marks.js";
import { titleOf } from "./preview.js";
import { sectionOf, sourceList } from "./sources.js";

const FIRST_NEIGHBOURS = 1;
const MORE_NEIGHBOURS = 3;
const MOST_NEIGHBOURS = 7;

/** What the panel asks of the page. */
export interface PanelHost {
  passage(turn: string, evidence: string, neighbours: number): Promise<Passage>;
  /** The passage that is shown, so that its claims can be lit; undefined: none. */
  lit(entry: Entry, evidence: string | undefined, claim: number | undefined): void;
  close(): void;
  say(text: string): void;
}

interface Shown {
  evidence: string;
  citation: Citation | undefined;
}

/** The panel. */
export class Panel {
  readonly element: HTMLElement;
  readonly #host: PanelHost;
  readonly #head = h("div", { class: "panel-head" });
  readonly #body = h("div", { class: "panel-body", tabindex: -1 });
  #entry: Entry | undefined;
  #shown: Shown | undefined;
  #painted: readonly unknown[] = [];

  constructor(host: PanelHost) {
    this.#host = host;
    this.element = h("div", { class: "panel", id: "sources", role: "complementary", "aria-label": words.sources }, this.#head, this.#body);
  }

  /** The entry whose passages are shown. */
  get entry(): Entry | undefined {
    return this.#entry;
  }

  /** The citation that is shown, if one is. */
  get citation(): number | undefined {
    return this.#shown?.citation?.index;
  }

  /** Shows the list of an entry; does nothing while a passage of the same entry is open. */
  list(entry: Entry | undefined): void {
    if (entry === this.#entry && this.#shown) return;
    const seen = [entry?.id, entry?.shown.evidence, entry?.shown.claims, entry?.shown.finished, entry?.failure, entry?.shown.text === ""];
    if (this.#painted.length && seen.every((part, index) => part === this.#painted[index])) return;
    this.#painted = seen;
    this.#leave();
    this.#entry = entry;
    fill(this.#head, h("h2", { text: words.sources }), this.#closeButton());
    if (!entry) {
      fill(this.#body, h("p", { class: "panel-empty" }, icon("book"), h("span", { text: words.sourcesEmpty })));
      return;
    }
    const scroll = this.#body.scrollTop;
    fill(this.#body, sourceList(entry, (evidence) => this.show(entry, evidence.name)));
    this.#body.scrollTop = scroll;
  }

  /** Shows one passage; with `index` the citation that led to it. */
  show(entry: Entry, name: string, index?: number): void {
    const all = citations(entry.shown);
    const citation = index === undefined ? all.find((one) => one.evidence === name) : all[index];
    const evidence = entry.shown.evidence.find((one) => one.name === name);
    if (!evidence) return;
    if (this.#entry && this.#entry !== entry) this.#host.lit(this.#entry, undefined, undefined);
    this.#entry = entry;
    this.#shown = { evidence: name, citation };
    this.#painted = [];
    this.#host.lit(entry, name, index === undefined ? undefined : citation?.claim);
    this.#paintHead(entry, all, citation);
    void this.#paintPassage(entry, evidence, citation);
    this.#body.focus({ preventScroll: true });
  }

  /** Back to the list. True where a passage was open. */
  back(): boolean {
    if (!this.#shown || !this.#entry) return false;
    const entry = this.#entry;
    const name = this.#shown.evidence;
    this.#leave();
    this.#painted = [];
    this.list(entry);
    this.#body.querySelector<HTMLElement>(`[data-evidence="${CSS.escape(name)}"]`)?.focus();
    return true;
  }

  /** Forgets what is shown, as when the panel closes. */
  reset(): void {
    this.#leave();
    this.#painted = [];
  }

  #leave(): void {
    if (this.#entry && this.#shown) this.#host.lit(this.#entry, undefined, undefined);
    this.#shown = undefined;
  }

  #closeButton(): HTMLElement {
    return iconButton("close", words.close, { class: "panel-close", on: { click: () => this.#host.close() } });
  }

  #paintHead(entry: Entry, all: Citation[], citation: Citation | undefined): void {
    const back = h("button", { type: "button", class: "link back", on: { click: () => this.back() } }, icon("left"), h("span", { text: words.allSources }));
    const step = (by: number) => {
      const next = citation && all[citation.index + by];
      if (next) this.show(entry, next.evidence, next.index);
    };
    const nav = citation && all.length > 1 && h(
      "div",
      { class: "panel-nav" },
      iconButton("left", words.previousCitation, { disabled: citation.index === 0, on: { click: () => step(-1) } }),
      h("span", { class: "muted", text: `${citation.index + 1} / ${all.length}`, "aria-label": words.citationOf(citation.index + 1, all.length), role: "img" }),
      iconButton("right", words.nextCitation, { disabled: citation.index === all.length - 1, on: { click: () => step(1) } }),
    );
    fill(this.#head, back, nav || undefined, this.#closeButton());
  }

  async #paintPassage(entry: Entry, evidence: Evidence, citation: Citation | undefined): Promise<void> {
    const text = h("div", { class: "passage", tabindex: 0, role: "group", "aria-label": words.passageOf(titleOf(evidence)) });
    const note = h("p", { class: "passage-note muted", role: "status" });
    const more = h("button", { type: "button", class: "link", hidden: true, text: words.moreContext });
    const claim = citation ? entry.shown.claims[citation.claim] : undefined;
    const quotes = claim?.refs.filter((ref) => ref.evidence === evidence.name).flatMap((ref) => ref.quotes) ?? [];
    const kind = claim ? standing(claim) : undefined;
    fill(
      this.#body,
      h(
        "div",
        { class: "passage-head" },
        citation && h("span", { class: "card-number cited", text: String(citation.number), "aria-hidden": "true" }),
        h("div", {}, h("h3", { text: titleOf(evidence) }), sectionOf(evidence) && h("p", { class: "card-section", text: sectionOf(evidence) })),
      ),
      kind ? h("p", { class: "verdict" }, standingMark(kind), h("span", { class: "muted", text: words.standingText(kind) })) : h("p", { class: "verdict muted", text: words.notCited }),
      text,
      note,
      more,
      origin(evidence.sourceUri, evidence.versionTime),
      why(evidence),
    );
    if (evidence.text) paint(text, evidence.text, quotesInEvidence(evidence, quotes), { start: 0, end: evidence.text.length });
    else note.textContent = words.loading;
    centre(text);
    const current = this.#shown;
    const load = async (neighbours: number) => {
      more.disabled = true;
      try {
        const passage = await this.#host.passage(entry.shown.name, evidence.name, neighbours);
        if (this.#shown !== current) return;
        const [chunk] = quotesInPassage(passage, passage.chunkRange ? [passage.chunkRange] : []);
        paint(text, passage.text, quotesInPassage(passage, quotes), chunk ?? { start: 0, end: passage.text.length });
        note.textContent = "";
        more.hidden = neighbours >= MOST_NEIGHBOURS || (!passage.previousChunk && !passage.nextChunk);
        more.onclick = () => void load(neighbours < MORE_NEIGHBOURS ? MORE_NEIGHBOURS : MOST_NEIGHBOURS);
        centre(text);
      } catch (error) {
        if (this.#shown !== current) return;
        const gone = callFailure(error).reason === "PASSAGE_GONE";
        note.textContent = gone ? (evidence.text ? words.passageGone : words.passageGoneEmpty) : words.passageFailed;
      } finally {
        more.disabled = false;
      }
    };
    if (entry.shown.name) await load(FIRST_NEIGHBOURS);
  }
}

/** Text with marked words; what lies outside the chunk is quieter. */
function paint(target: HTMLElement, text: string, marks: readonly Span[], chunk: Span): void {
  const cuts = [...new Set([0, text.length, chunk.start, chunk.end, ...marks.flatMap((mark) => [mark.start, mark.end])])].sort((a, b) => a - b);
  const pieces: Node[] = [];
  for (let i = 0; i + 1 < cuts.length; i++) {
    const start = cuts[i] as number;
    const end = cuts[i + 1] as number;
    const piece = text.slice(start, end);
    if (marks.some((mark) => mark.start <= start && end <= mark.end)) pieces.push(h("mark", { text: piece }));
    else if (start >= chunk.start && end <= chunk.end) pieces.push(document.createTextNode(piece));
    else pieces.push(h("span", { class: "around", text: piece }));
  }
  fill(target, ...pieces);
}

function centre(text: HTMLElement): void {
  const mark = text.querySelector("mark") ?? text.querySelector(".around + :not(.around)");
  if (!(mark instanceof HTMLElement)) return;
  const frame = text.getBoundingClientRect();
  const rect = mark.getBoundingClientRect();
  text.scrollTop += rect.top - frame.top - (text.clientHeight - Math.min(rect.height, text.clientHeight)) / 2;
}

function origin(uri: string, version: Timestamp | undefined): HTMLElement {
  const parts: (Node | false)[] = [];
  if (/^https?:\/\//i.test(uri)) {
    parts.push(h("a", { href: uri, target: "_blank", rel: "noopener noreferrer" }, h("span", { text: words.openSource }), icon("external")));
  } else if (uri) {
    parts.push(h("span", { class: "uri", text: uri, title: words.source }));
  }
  if (version) parts.push(h("span", { text: words.versionOf(dateWords(timestampMs(version))) }));
  return h("p", { class: "origin muted" }, ...parts);
}

function why(evidence: Evidence): HTMLElement {
  const { scores } = evidence;
  const rows = (
    [
      [words.scoreDense, scores?.dense],
      [words.scoreSparse, scores?.sparse],
      [words.scoreFused, scores?.fused],
      [words.scoreRerank, scores?.rerank],
    ] as [string, number | undefined][]
  ).flatMap(([name, value]) => (value === undefined ? [] : [[name, value.toFixed(3)] as const]));
  const found = evidence.models.map((model) => model.name).join(", ");
  const list = [...rows, ...(found ? [[words.foundBy, found] as const] : [])];
  if (!list.length) return h("span", { hidden: true });
  return h(
    "details",
    { class: "why-source" },
    h("summary", { text: words.whySource }),
    h("dl", {}, ...list.map(([term, value]) => h("div", {}, h("dt", { text: term }), h("dd", { text: value })))),
  );
}
