// Following a turn through lost connections, against a scripted gateway and a clock that the test owns.
import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema, RetryInfoSchema } from "@gen/google/rpc/error_details_pb.js";
import type { Turn, TurnEvent } from "@gen/ragmesh/gateway/v1/turn_pb.js";
import { Outcome, TurnSchema } from "@gen/ragmesh/gateway/v1/turn_pb.js";
import { LOGS } from "../fixtures/logs.js";
import { asked, fold, type TurnState } from "../src/turn/fold.js";
import type { Ask, Link, Source, World } from "../src/turn/follow.js";
import { backoff, follow, FollowFailure, LIMITS } from "../src/turn/follow.js";
import { callFailure } from "../src/wire/errors.js";

const LOG = LOGS["answered"] as TurnEvent[];
const ASK: Ask = { question: "Does CBD interact with blood thinners?", conversation: "", requestId: "00000000-0000-4000-8000-000000000001" };
const WHOLE = LOG.reduce(fold, asked(ASK.question));

type Step = TurnEvent[] | Error | "hang" | "end" | ((seq: number) => TurnEvent[]);

/** A gateway that plays one script per stream, and remembers how it was called. */
class Script implements Source {
  readonly calls: string[] = [];
  stored: Turn | Error = new Error("not stored");
  readonly #streams: Step[][];
  constructor(...streams: Step[][]) {
    this.#streams = streams;
  }
  ask(ask: Ask, signal: AbortSignal) {
    this.calls.push(`ask ${ask.requestId.slice(-1)}`);
    return this.#play(0, signal);
  }
  resume(_turn: string, afterSeq: number, signal: AbortSignal) {
    this.calls.push(`resume ${afterSeq}`);
    return this.#play(afterSeq, signal);
  }
  get() {
    this.calls.push("get");
    return this.stored instanceof Error ? Promise.reject(this.stored) : Promise.resolve(this.stored);
  }
  async *#play(seq: number, signal: AbortSignal): AsyncGenerator<TurnEvent> {
    for (const step of this.#streams.shift() ?? [new ConnectError("nothing more", Code.PermissionDenied)]) {
      if (step instanceof Error) throw step;
      if (step === "end") return;
      if (step === "hang") {
        await new Promise((_, reject) => signal.addEventListener("abort", () => reject(new ConnectError("aborted", Code.Canceled))));
      } else {
        yield* typeof step === "function" ? step(seq) : step;
      }
    }
  }
}

class Clock implements World {
  readonly pauses: number[] = [];
  silence: (() => void) | undefined;
  network: (() => void) | undefined;
  onNetwork(act: () => void) {
    this.network = act;
    return () => {
      if (this.network === act) this.network = undefined;
    };
  }
  pause(ms: number) {
    this.pauses.push(ms);
    return Promise.resolve();
  }
  after(_ms: number, act: () => void) {
    this.silence = act;
    return () => {
      if (this.silence === act) this.silence = undefined;
    };
  }
}

async function run(source: Source, start: Ask | TurnState = ASK, clock = new Clock(), signal = new AbortController().signal) {
  const links: Link[] = [];
  const states: TurnState[] = [];
  const listener = {
    state: (state: TurnState) => void states.push(state),
    link: (link: Link) => void (links.at(-1) !== link && links.push(link)),
  };
  const result = await follow(start, source, listener, clock, signal).catch((error: unknown) => error);
  return { result, links, states, clock };
}

const lost = () => new ConnectError("network error", Code.Unavailable);
const typed = (code: Code, reason: string, retry?: number) => {
  const info = { desc: ErrorInfoSchema, value: { reason, domain: "ragmesh" } };
  const again = { desc: RetryInfoSchema, value: { retryDelay: { seconds: BigInt(retry ?? 0) } } };
  return new ConnectError("no", code, undefined, retry === undefined ? [info] : [info, again]);
};

test("a turn without trouble is asked once", async () => {
  const source = new Script([LOG]);
  const { result, links, states } = await run(source);
  assert.deepEqual(result, WHOLE);
  assert.deepEqual(source.calls, ["ask 1"]);
  assert.deepEqual(links, ["live", "over"]);
  assert.equal(states.length, LOG.length);
});

test("a connection that breaks anywhere is resumed after the last event, without text twice", async () => {
  for (let at = 1; at < LOG.length; at++) {
    const source = new Script([LOG.slice(0, at), lost()], [(seq) => LOG.slice(seq)]);
    const { result, links } = await run(source);
    assert.deepEqual(result, WHOLE, `broken after ${at}`);
    assert.deepEqual(source.calls, ["ask 1", `resume ${at}`]);
    assert.deepEqual(links, ["live", "lost", "live", "over"]);
  }
});

test("a server that repeats events after a resume adds nothing twice", async () => {
  const source = new Script([LOG.slice(0, 9), lost()], [LOG.slice(4)]);
  const { result } = await run(source);
  assert.deepEqual(result, WHOLE);
});

test("before the turn has a name the question is sent again with the same request id", async () => {
  const source = new Script([lost()], [lost()], [LOG]);
  const { result, clock } = await run(source);
  assert.deepEqual(result, WHOLE);
  assert.deepEqual(source.calls, ["ask 1", "ask 1", "ask 1"]);
  assert.equal(clock.pauses.length, 2);
});

test("a stream that falls silent is cut and resumed", async () => {
  const clock = new Clock();
  const source = new Script([LOG.slice(0, 5), "hang"], [LOG.slice(5)]);
  const running = run(source, ASK, clock);
  while (source.calls.length < 2) {
    await new Promise((resolve) => setImmediate(resolve));
    clock.silence?.();
  }
  assert.deepEqual((await running).result, WHOLE);
});

test("a stream whose network goes is cut at once and resumed", async () => {
  const clock = new Clock();
  const source = new Script([LOG.slice(0, 5), "hang"], [LOG.slice(5)]);
  const running = run(source, ASK, clock);
  await new Promise((resolve) => setImmediate(resolve));
  clock.network?.();
  const { result, links } = await running;
  assert.deepEqual(result, WHOLE);
  assert.deepEqual(links, ["live", "lost", "live", "over"]);
  assert.equal(clock.network, undefined);
});

test("a stream that ends before the turn is read from its fold and resumed", async () => {
  const source = new Script([LOG.slice(0, 6), "end"], [(seq) => LOG.slice(seq)]);
  source.stored = create(TurnSchema, { name: WHOLE.name, question: WHOLE.question, evidence: [...WHOLE.evidence], lastSeq: 6 });
  const { result } = await run(source);
  assert.deepEqual(source.calls, ["ask 1", "get", "resume 6"]);
  assert.equal((result as TurnState).text, WHOLE.text);
});

test("after the resume window the fold takes the place of the log", async () => {
  const source = new Script([LOG.slice(0, 6), lost()], [typed(Code.FailedPrecondition, "RESUME_WINDOW_PASSED")]);
  source.stored = create(TurnSchema, {
    name: WHOLE.name,
    question: WHOLE.question,
    text: WHOLE.text,
    claims: [...WHOLE.claims],
    lastSeq: WHOLE.seq,
    finished: { outcome: Outcome.ANSWERED },
  });
  const { result } = await run(source);
  assert.equal((result as TurnState).text, WHOLE.text);
  assert.equal((result as TurnState).finished?.outcome, Outcome.ANSWERED);
});

test("a refusal before the turn is the reader's to decide", async () => {
  const source = new Script([typed(Code.ResourceExhausted, "RATE_LIMITED", 12)]);
  const { result } = await run(source);
  assert.ok(result instanceof FollowFailure);
  assert.equal(result.failure.reason, "RATE_LIMITED");
  assert.equal(result.failure.retryAfterMs, 12_000);
  assert.deepEqual(source.calls, ["ask 1"]);
});

test("a running turn waits for a mesh that drains, for as long as it asks", async () => {
  const source = new Script([LOG.slice(0, 4), typed(Code.Unavailable, "DRAINING", 2)], [LOG.slice(4)]);
  const { result, clock } = await run(source);
  assert.deepEqual(result, WHOLE);
  assert.deepEqual(clock.pauses, [2000]);
});

test("a session that is refused once is tried once more, and no more", async () => {
  const no = () => new ConnectError("expired", Code.Unauthenticated);
  const good = new Script([no()], [LOG]);
  assert.deepEqual((await run(good)).result, WHOLE);
  const bad = new Script([no()], [no()], [LOG]);
  assert.ok((await run(bad)).result instanceof FollowFailure);
});

test("a mesh that never comes back is given up in the end", async () => {
  const source = new Script(...Array.from({ length: LIMITS.attempts + 5 }, () => [lost()]));
  const { result, clock, links } = await run(source);
  assert.ok(result instanceof FollowFailure);
  assert.equal(source.calls.length, LIMITS.attempts + 1);
  assert.ok(Math.max(...clock.pauses) <= LIMITS.longestPauseMs * 1.25);
  assert.equal(links.at(-1), "over");
});

test("a reader who leaves ends it", async () => {
  const abort = new AbortController();
  const source = new Script([LOG.slice(0, 3), "hang"]);
  const running = run(source, ASK, new Clock(), abort.signal);
  await new Promise((resolve) => setImmediate(resolve));
  abort.abort();
  const { result } = await running;
  assert.ok(!(result instanceof FollowFailure) && result instanceof Error);
});

test("pauses double, spread, and are bounded", () => {
  assert.deepEqual([1, 2, 3, 4].map((failures) => backoff(failures, () => 0.5)), [250, 500, 1000, 2000]);
  assert.equal(backoff(1, () => 0), 187.5);
  assert.equal(backoff(50, () => 1), LIMITS.longestPauseMs * 1.25);
});

test("an error without our ErrorInfo is nobody's word", () => {
  const foreign = new ConnectError("x", Code.Internal, undefined, [{ desc: ErrorInfoSchema, value: { reason: "X", domain: "elsewhere" } }]);
  assert.equal(callFailure(foreign).reason, "");
  assert.equal(callFailure(new TypeError("Failed to fetch")).reason, "");
});
