// The state of a turn as a pure fold of its events. Knows the contract's order, nothing of the network or the page.
import { create } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Claim, Evidence } from "@gen/ragmesh/evidence/v1/evidence_pb.js";
import type {
  Degraded,
  Retracted,
  StageEntered,
  Turn,
  TurnEvent,
  TurnFinished,
  Understood,
} from "@gen/ragmesh/gateway/v1/turn_pb.js";
import { Stage, StageEnteredSchema } from "@gen/ragmesh/gateway/v1/turn_pb.js";
import { utf8Length } from "../text/bytes.js";

/** What is known of a turn after some of its events. Never changed in place. */
export interface TurnState {
  /** `conversations/{c}/turns/{t}`; empty before `started`. */
  readonly name: string;
  /** `conversations/{c}`; empty before `started`. */
  readonly conversation: string;
  readonly question: string;
  /** The last `seq` that was seen. */
  readonly seq: number;
  /** Milliseconds since 1970; 0 where not known. */
  readonly createdAt: number;
  readonly stages: readonly StageEntered[];
  readonly understood: Understood | undefined;
  readonly evidence: readonly Evidence[];
  readonly searched: number;
  /** Released text. It only grows. */
  readonly text: string;
  /** Its length in UTF-8 bytes. */
  readonly bytes: number;
  /** Where each piece of it began, in UTF-8 bytes, and when, so that a page can speak and paint whole sentences. */
  readonly deltas: readonly { readonly start: number; readonly text: string }[];
  readonly claims: readonly Claim[];
  readonly retractions: readonly Retracted[];
  readonly degradations: readonly Degraded[];
  readonly finished: TurnFinished | undefined;
}

/** The log does not continue what the reader has: it must be read again from its fold. */
export class LogGap extends Error {
  override name = "LogGap";
}

/** A turn that was asked and has no event yet. */
export function asked(question: string): TurnState {
  return {
    name: "",
    conversation: "",
    question,
    seq: 0,
    createdAt: 0,
    stages: [],
    understood: undefined,
    evidence: [],
    searched: 0,
    text: "",
    bytes: 0,
    deltas: [],
    claims: [],
    retractions: [],
    degradations: [],
    finished: undefined,
  };
}

/** The state of a stored turn, to be shown or to be resumed after `last_seq`. */
export function fromTurn(turn: Turn): TurnState {
  const searching = turn.stage?.stage === Stage.SEARCHING ? turn.stage.count : undefined;
  return {
    name: turn.name,
    conversation: turn.name.split("/turns/")[0] ?? "",
    question: turn.question,
    seq: turn.lastSeq,
    createdAt: turn.createTime ? timestampMs(turn.createTime) : 0,
    // A fold keeps the last stage only: those before it were passed.
    stages: turn.stage ? passedStages(turn.stage) : [],
    understood: turn.understood,
    evidence: turn.evidence,
    searched: turn.finished?.abstention?.documentsSearched ?? searching ?? 0,
    text: turn.text,
    bytes: utf8Length(turn.text),
    deltas: turn.text ? [{ start: 0, text: turn.text }] : [],
    claims: turn.claims,
    retractions: turn.retractions,
    degradations: turn.degradations,
    finished: turn.finished,
  };
}

function passedStages(last: StageEntered): StageEntered[] {
  const before = [Stage.CHECKING, Stage.SEARCHING, Stage.READING, Stage.WRITING].filter((stage) => stage < last.stage);
  return [...before.map((stage) => create(StageEnteredSchema, { stage })), last];
}

/**
 * The state after one more event. An event that was seen before changes nothing; one of an unknown kind only moves `seq`.
 * Throws LogGap where events are missing before it.
 */
export function fold(state: TurnState, event: TurnEvent): TurnState {
  if (event.event.case === "heartbeat") {
    if (event.seq > state.seq) throw new LogGap(`heartbeat at ${event.seq} after ${state.seq}`);
    return state;
  }
  if (event.seq <= state.seq || state.finished) return state;
  if (event.seq > state.seq + 1) throw new LogGap(`event ${event.seq} after ${state.seq}`);
  const next = { ...state, seq: event.seq, name: event.turn || state.name };
  return { ...next, ...change(state, event) };
}

function change(state: TurnState, event: TurnEvent): Partial<TurnState> {
  const { event: body } = event;
  switch (body.case) {
    case "started":
      return {
        conversation: body.value.conversation,
        question: body.value.question || state.question,
        createdAt: event.createTime ? timestampMs(event.createTime) : 0,
      };
    case "understood":
      return { understood: body.value };
    case "stage": {
      const searched = body.value.stage === Stage.SEARCHING ? (body.value.count ?? 0) : 0;
      return { stages: [...state.stages, body.value], searched: Math.max(state.searched, searched) };
    }
    case "evidence":
      return {
        evidence: [...state.evidence, ...unseen(state.evidence, body.value.evidence)],
        searched: Math.max(state.searched, body.value.documentsSearched),
      };
    case "delta": {
      const { start, text } = body.value;
      if (start !== state.bytes) throw new LogGap(`text at ${start} after ${state.bytes} bytes`);
      return {
        text: state.text + text,
        bytes: state.bytes + utf8Length(text),
        deltas: [...state.deltas, { start, text }],
      };
    }
    case "claim":
      return body.value.claim ? { claims: withClaim(state.claims, body.value.claim) } : {};
    case "retracted":
      return { retractions: [...state.retractions, body.value] };
    case "degraded":
      return { degradations: [...state.degradations, body.value] };
    case "finished":
      return { finished: body.value };
    default:
      // An event that this client does not know, from a newer server.
      return {};
  }
}

function unseen(known: readonly Evidence[], found: readonly Evidence[]): Evidence[] {
  const names = new Set(known.map((evidence) => evidence.name));
  return found.filter((evidence) => !names.has(evidence.name));
}

/** Whether the turn still runs. */
export function isLive(state: TurnState): boolean {
  return state.finished === undefined;
}

/** The claims with one more, or with a later judgement in the place of an earlier one on the same words. */
function withClaim(claims: readonly Claim[], claim: Claim): readonly Claim[] {
  const at = claims.findIndex(({ range }) => range?.start === claim.range?.start && range?.end === claim.range?.end);
  return at < 0 ? [...claims, claim] : claims.with(at, claim);
}
