// Follows a turn to its end through lost connections: asks, tails the log, resumes after the last event that arrived.
// Knows the gateway's calls and the fold, nothing of the page. Time and network state are handed in, so that tests own them.
import { Code } from "@connectrpc/connect";
import type { Turn, TurnEvent } from "@gen/ragmesh/gateway/v1/turn_pb.js";
import type { CallFailure } from "../wire/errors.js";
import { callFailure, isBusy, isLost } from "../wire/errors.js";
import { asked, fold, fromTurn, LogGap, type TurnState } from "./fold.js";

/** What a question is asked with. */
export interface Ask {
  readonly question: string;
  /** Empty: a new conversation. */
  readonly conversation: string;
  /** Makes asking safe to repeat: the same id attaches to the same turn. */
  readonly requestId: string;
}

/** The calls that following needs. */
export interface Source {
  ask(ask: Ask, signal: AbortSignal): AsyncIterable<TurnEvent>;
  resume(turn: string, afterSeq: number, signal: AbortSignal): AsyncIterable<TurnEvent>;
  get(turn: string, signal: AbortSignal): Promise<Turn>;
}

/** How the connection to a turn stands. */
export type Link = "live" | "lost" | "over";

/** Whom following tells. */
export interface Listener {
  state(state: TurnState): void;
  link(link: Link): void;
}

/** What following takes from the world. */
export interface World {
  /** Resolves after `ms`, or sooner when a network has come back; rejects when `signal` aborts. */
  pause(ms: number, signal: AbortSignal): Promise<void>;
  /** Calls `act` after `ms` unless the returned function was called before. */
  after(ms: number, act: () => void): () => void;
  /** Calls `act` when the network goes or comes, until the returned function is called. */
  onNetwork(act: () => void): () => void;
}

/** The turn could not be followed: the mesh said no, or was not to be reached for too long. */
export class FollowFailure extends Error {
  override name = "FollowFailure";
  readonly failure: CallFailure;
  constructor(failure: CallFailure) {
    super(failure.reason || "connection lost");
    this.failure = failure;
  }
}

export const LIMITS = {
  /** A stream without any event, heartbeats counted, is taken for dead after this. */
  silenceMs: 20_000,
  firstPauseMs: 250,
  longestPauseMs: 8_000,
  /** Attempts in a row without any event. With the pauses above some eight minutes, less than the resume window. */
  attempts: 60,
} as const;

/** Asks a question, or goes on with a turn that is known, and follows it to its end. Resolves with the last state. */
export async function follow(
  start: Ask | TurnState,
  source: Source,
  listener: Listener,
  world: World,
  signal: AbortSignal,
): Promise<TurnState> {
  try {
    return await followed(start, source, listener, world, signal);
  } finally {
    if (!signal.aborted) listener.link("over");
  }
}

async function followed(
  start: Ask | TurnState,
  source: Source,
  listener: Listener,
  world: World,
  signal: AbortSignal,
): Promise<TurnState> {
  const ask = "requestId" in start ? start : undefined;
  let state = "requestId" in start ? asked(start.question) : start;
  let failures = 0;
  let refusals = 0;
  while (!state.finished) {
    try {
      for await (const event of guarded(open(source, ask, state, signal), world, signal)) {
        state = fold(state, event);
        failures = refusals = 0;
        listener.link("live");
        listener.state(state);
        if (state.finished) break;
      }
      if (!state.finished) throw new LogGap("the stream ended before the turn");
    } catch (error) {
      if (signal.aborted) throw error;
      failures += 1;
      const failure = callFailure(error);
      const refused = failure.code === Code.Unauthenticated && refusals++ === 0;
      if (state.name && (error instanceof LogGap || failure.reason === "RESUME_WINDOW_PASSED")) {
        state = await reread(source, state, signal);
        listener.state(state);
      } else if (!refused && !retryable(error, failure, state)) {
        throw new FollowFailure(failure);
      }
      if (failures > LIMITS.attempts) throw new FollowFailure(failure);
      if (state.finished) break;
      if (!refused) {
        listener.link("lost");
        await world.pause(failure.retryAfterMs ?? backoff(failures), signal);
      }
    }
  }
  return state;
}

function open(source: Source, ask: Ask | undefined, state: TurnState, signal: AbortSignal) {
  return (inner: AbortSignal): AsyncIterable<TurnEvent> => {
    const both = AbortSignal.any([signal, inner]);
    // Before `started` nothing is known but the request id, which attaches to the turn if it was made after all.
    if (!state.name && ask) return source.ask(ask, both);
    return source.resume(state.name, state.seq, both);
  };
}

function retryable(error: unknown, failure: CallFailure, state: TurnState): boolean {
  if (error instanceof LogGap || isLost(failure)) return true;
  // A mesh that is short of something said so to the asker before the turn began: he decides. A running turn is resumed.
  return state.name !== "" && (isBusy(failure) || failure.retryAfterMs !== undefined);
}

async function reread(source: Source, state: TurnState, signal: AbortSignal): Promise<TurnState> {
  try {
    return fromTurn(await source.get(state.name, signal));
  } catch (error) {
    const failure = callFailure(error);
    if (isLost(failure) || isBusy(failure)) return state;
    throw new FollowFailure(failure);
  }
}

/** Doubling pauses with a spread of a quarter, so that many pages do not come back at once. */
export function backoff(failures: number, random: () => number = Math.random): number {
  const pause = Math.min(LIMITS.longestPauseMs, LIMITS.firstPauseMs * 2 ** Math.min(16, failures - 1));
  return pause * (0.75 + random() / 2);
}

/** The events of a stream; one that falls silent, or whose network changes, is cut. */
async function* guarded(
  open: (signal: AbortSignal) => AsyncIterable<TurnEvent>,
  world: World,
  signal: AbortSignal,
): AsyncGenerator<TurnEvent> {
  const cut = new AbortController();
  // A connection from before the network went carries nothing any more, but takes minutes to say so.
  const deaf = world.onNetwork(() => cut.abort());
  let cancel = () => {};
  const arm = () => {
    cancel();
    cancel = world.after(LIMITS.silenceMs, () => cut.abort());
  };
  try {
    arm();
    for await (const event of open(cut.signal)) {
      arm();
      yield event;
    }
    if (signal.aborted) signal.throwIfAborted();
  } finally {
    cancel();
    deaf();
    cut.abort();
  }
}
