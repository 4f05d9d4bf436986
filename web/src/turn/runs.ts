// Cuts the released text of a turn into runs that are painted alike, with the citations behind each. Pure.
import type { Claim } from "@gen/ragmesh/evidence/v1/evidence_pb.js";
import { ClaimVerdict, Support } from "@gen/ragmesh/evidence/v1/evidence_pb.js";
import type { BlockReason } from "@gen/ragmesh/gateway/v1/turn_pb.js";
import { ByteMap } from "../text/bytes.js";
import type { TurnState } from "./fold.js";

/** How well a claim stands, in the four words that a reader sees. */
export type Standing = "verified" | "partly" | "unverified" | "contradicted";

/** One citation of the answer: a claim and one of the passages behind it. */
export interface Citation {
  /** Position among all citations of the answer, from 0: what `[` and `]` walk through. */
  readonly index: number;
  /** Number that the reader sees: passages are numbered by first use. */
  readonly number: number;
  /** `Evidence.name`. */
  readonly evidence: string;
  /** Position of the claim in `TurnState.claims`. */
  readonly claim: number;
}

/** A stretch of text that is painted alike. */
export interface Run {
  /** UTF-16 index of its beginning. */
  readonly start: number;
  readonly text: string;
  /** Position of the claim that covers it, or -1. */
  readonly claim: number;
  /** Whether it is the short answer inside its claim. */
  readonly highlight: boolean;
  /** Why it was taken back, or undefined. */
  readonly retracted: BlockReason | undefined;
  /** Citations to be shown behind it. */
  readonly citations: readonly Citation[];
}

/** How well a claim stands. */
export function standing(claim: Pick<Claim, "support" | "verdict">): Standing {
  if (claim.verdict === ClaimVerdict.CONTRADICTED) return "contradicted";
  if (claim.support === Support.PARTIAL) return "partly";
  if (claim.verdict === ClaimVerdict.VERIFIED && claim.support !== Support.NONE) return "verified";
  return "unverified";
}

/** All citations of a turn, in the order of the text. Refs to evidence that the turn does not hold are left out. */
export function citations(state: Pick<TurnState, "claims" | "evidence">): Citation[] {
  const known = new Set(state.evidence.map((evidence) => evidence.name));
  const numbers = new Map<string, number>();
  const order = state.claims
    .map((claim, index) => ({ claim, index }))
    .sort((a, b) => (a.claim.range?.end ?? 0) - (b.claim.range?.end ?? 0) || a.index - b.index);
  const out: Citation[] = [];
  for (const { claim, index } of order) {
    const seen = new Set<string>();
    for (const ref of claim.refs) {
      if (!known.has(ref.evidence) || seen.has(ref.evidence)) continue;
      seen.add(ref.evidence);
      const number = numbers.get(ref.evidence) ?? numbers.size + 1;
      numbers.set(ref.evidence, number);
      out.push({ index: out.length, number, evidence: ref.evidence, claim: index });
    }
  }
  return out;
}

interface Piece {
  start: number;
  end: number;
}

/** The runs of a turn's released text, in order and without gaps. */
export function runs(state: Pick<TurnState, "text" | "claims" | "evidence" | "retractions">): Run[] {
  const map = new ByteMap(state.text);
  const toPiece = (range: { start: number; end: number } | undefined): Piece => ({
    start: map.toUtf16(range?.start ?? 0),
    end: map.toUtf16(range?.end ?? 0),
  });
  // White space at the ends of a claim is no part of what is marked: the number stands behind the last word.
  const claims = state.claims.map((claim) => trimmed(state.text, toPiece(claim.range)));
  const highlights = state.claims.map((claim) => (claim.highlight ? toPiece(claim.highlight) : undefined));
  const retractions = state.retractions.map((retracted) => ({ ...toPiece(retracted.range), reason: retracted.reason }));
  const cuts = new Set([0, state.text.length]);
  for (const piece of [...claims, ...highlights, ...retractions]) {
    if (!piece) continue;
    cuts.add(piece.start);
    cuts.add(piece.end);
  }
  const points = [...cuts].filter((cut) => cut <= state.text.length).sort((a, b) => a - b);
  const behind = citations(state);
  const out: Run[] = [];
  for (let i = 0; i + 1 < points.length; i++) {
    const start = points[i] as number;
    const end = points[i + 1] as number;
    const within = (piece: Piece | undefined) => piece !== undefined && piece.start <= start && end <= piece.end;
    const retraction = retractions.find(within);
    out.push({
      start,
      text: state.text.slice(start, end),
      claim: retraction ? -1 : claims.findIndex(within),
      highlight: !retraction && highlights.some(within),
      retracted: retraction?.reason,
      citations: retraction ? [] : behind.filter((citation) => claims[citation.claim]?.end === end),
    });
  }
  return out;
}

function trimmed(text: string, piece: Piece): Piece {
  let { start, end } = piece;
  while (end > start && /\s/.test(text[end - 1] as string)) end--;
  while (start < end && /\s/.test(text[start] as string)) start++;
  return { start, end };
}
