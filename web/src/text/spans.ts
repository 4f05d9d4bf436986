// Turns ranges of a document's canonical text into ranges of the text at hand: an Evidence (a concatenation of spans) or a
// Passage (one stretch). All input counts in UTF-8 bytes, all output in UTF-16 units.
import type { Evidence } from "@gen/ragmesh/evidence/v1/evidence_pb.js";
import type { TextRange } from "@gen/ragmesh/evidence/v1/text_pb.js";
import type { Passage } from "@gen/ragmesh/retriever/v1/retriever_service_pb.js";
import { ByteMap } from "./bytes.js";

/** A half-open range of UTF-16 units. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

type Bounds = Pick<TextRange, "start" | "end">;

/** Sorted, without overlaps and without empty ones. */
export function merged(spans: readonly Span[]): Span[] {
  const sorted = spans.filter((s) => s.end > s.start).sort((a, b) => a.start - b.start || a.end - b.end);
  const out: { start: number; end: number }[] = [];
  for (const span of sorted) {
    const last = out.at(-1);
    if (last && span.start <= last.end) last.end = Math.max(last.end, span.end);
    else out.push({ ...span });
  }
  return out;
}

/** Where quotes stand in `evidence.text`. A quote over a gap between spans yields one piece for each span. */
export function quotesInEvidence(evidence: Pick<Evidence, "text" | "spans">, quotes: readonly Bounds[]): Span[] {
  const map = new ByteMap(evidence.text);
  const out: Span[] = [];
  let base = 0;
  for (const span of evidence.spans) {
    for (const quote of quotes) {
      const start = Math.max(quote.start, span.start);
      const end = Math.min(quote.end, span.end);
      if (start < end) {
        out.push({ start: map.toUtf16(base + start - span.start), end: map.toUtf16(base + end - span.start) });
      }
    }
    base += span.end - span.start;
  }
  return merged(out);
}

/** Where quotes stand in `passage.text`; what lies outside the passage is left out. */
export function quotesInPassage(passage: Pick<Passage, "text" | "range">, quotes: readonly Bounds[]): Span[] {
  const map = new ByteMap(passage.text);
  const base = passage.range?.start ?? 0;
  const end = base + map.byteLength;
  return merged(
    quotes
      .filter((quote) => quote.start < end && quote.end > base)
      .map((quote) => ({ start: map.toUtf16(quote.start - base), end: map.toUtf16(quote.end - base) })),
  );
}
