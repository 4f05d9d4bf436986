// The fold over fixture logs: order, repetition, gaps, events from the future, and that a resumed fold is the whole one.
import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { ClaimVerdict, Support } from "@gen/ragmesh/evidence/v1/evidence_pb.js";
import { BlockReason, Outcome, Stage, TurnEventSchema, TurnSchema } from "@gen/ragmesh/gateway/v1/turn_pb.js";
import { LOGS, LogWriter } from "../fixtures/logs.js";
import { asked, fold, fromTurn, isLive, LogGap, type TurnState } from "../src/turn/fold.js";
import { citations, runs, standing } from "../src/turn/runs.js";

const log = (name: string) => LOGS[name] ?? assert.fail(`no log ${name}`);
const folded = (name: string, from: TurnState = asked("?")) => log(name).reduce(fold, from);

test("every log folds to its end", () => {
  for (const [name, events] of Object.entries(LOGS)) {
    const state = folded(name);
    assert.equal(state.seq, events.length, name);
    assert.equal(isLive(state), events.at(-1)?.event.case !== "finished", name);
    assert.equal(runs(state).map((run) => run.text).join(""), state.text, `${name}: runs have no gap`);
  }
});

test("the fold changes nothing in place", () => {
  let state = asked("?");
  for (const event of log("answered")) {
    const before = Object.freeze({ ...state });
    state = fold(before, event);
    assert.notEqual(state, before);
  }
});

test("an event that was seen changes nothing, so that a resumed stream repeats no text", () => {
  const events = log("answered");
  const state = folded("answered");
  for (const event of events) assert.equal(fold(state, event), state);
  const half = events.slice(0, 8).reduce(fold, asked("?"));
  assert.deepEqual(events.reduce(fold, half), state);
});

test("a missing event is a gap, also when only a heartbeat tells", () => {
  const events = log("answered");
  const state = events.slice(0, 3).reduce(fold, asked("?"));
  assert.throws(() => fold(state, events[4] as never), LogGap);
  const beat = (seq: number) => create(TurnEventSchema, { turn: state.name, seq, event: { case: "heartbeat", value: {} } });
  assert.equal(fold(state, beat(3)), state);
  assert.throws(() => fold(state, beat(4)), LogGap);
});

test("text that does not continue what was released is a gap", () => {
  const state = folded("streaming");
  const delta = create(TurnEventSchema, { turn: state.name, seq: state.seq + 1, event: { case: "delta", value: { start: state.bytes + 1, text: "x" } } });
  assert.throws(() => fold(state, delta), LogGap);
});

test("an event of a kind from the future only moves seq", () => {
  const state = folded("streaming");
  // Field 99, length-delimited: what a newer server's event looks like to this client.
  const known = toBinary(TurnEventSchema, create(TurnEventSchema, { turn: state.name, seq: state.seq + 1 }));
  const event = fromBinary(TurnEventSchema, new Uint8Array([...known, 0x9a, 0x06, 0x03, 1, 2, 3]));
  assert.equal(event.event.case, undefined);
  const after = fold(state, event);
  assert.equal(after.seq, state.seq + 1);
  assert.deepEqual({ ...after, seq: 0 }, { ...state, seq: 0 });
});

test("a value of an enum from the future is shown as the least", () => {
  const writer = new LogWriter("?").stage(17 as Stage).search([]);
  writer.text("x");
  const state = writer.finish(42 as Outcome).reduce(fold, asked("?"));
  assert.equal(state.finished?.outcome, 42);
  assert.equal(standing({ support: 9 as Support, verdict: 9 as ClaimVerdict }), "unverified");
});

test("nothing comes after finished", () => {
  const state = folded("answered");
  const late = create(TurnEventSchema, { turn: state.name, seq: state.seq + 1, event: { case: "delta", value: { start: state.bytes, text: "late" } } });
  assert.equal(fold(state, late), state);
});

test("evidence that comes twice is kept once", () => {
  const writer = new LogWriter("?").search([]);
  const evidence = folded("reading").evidence;
  writer.push({ case: "evidence", value: { evidence: [...evidence], documentsSearched: 63 } });
  writer.push({ case: "evidence", value: { evidence: evidence.slice(0, 2), documentsSearched: 40 } });
  const state = writer.events.reduce(fold, asked("?"));
  assert.equal(state.evidence.length, 5);
  assert.equal(state.searched, 63);
});

test("a stored turn continues where it is resumed", () => {
  const events = log("answered");
  for (let at = 1; at < events.length; at++) {
    const before = events.slice(0, at).reduce(fold, asked("?"));
    const stored = create(TurnSchema, {
      name: before.name,
      question: before.question,
      text: before.text,
      claims: [...before.claims],
      evidence: [...before.evidence],
      lastSeq: before.seq,
    });
    const end = events.reduce(fold, fromTurn(stored));
    const whole = folded("answered");
    assert.equal(end.text, whole.text);
    assert.deepEqual(end.claims, whole.claims);
    assert.equal(end.bytes, whole.bytes);
    assert.equal(end.finished?.outcome, Outcome.ANSWERED);
  }
});

test("passages are numbered by first use, one number each", () => {
  const all = citations(folded("mixed"));
  assert.deepEqual(all.map((citation) => citation.number), [1, 1, 2, 3, 4, 5]);
  assert.deepEqual(all.map((citation) => citation.index), [0, 1, 2, 3, 4, 5]);
});

test("a citation of evidence that the turn does not hold is not shown", () => {
  const state = folded("answered");
  assert.deepEqual(citations({ ...state, evidence: state.evidence.slice(1) }).map((citation) => citation.number), [1]);
});

test("what was taken back is marked, keeps its place and is cited no more", () => {
  const state = folded("retracted");
  const taken = runs(state).filter((run) => run.retracted !== undefined);
  assert.deepEqual(taken.map((run) => [run.text, run.retracted, run.citations.length]), [["Cannabidiol makes aspirin twice as strong. ", BlockReason.UNSUPPORTED, 0]]);
});

test("the number stands behind the last word of its claim, and the short answer is inside it", () => {
  const parts = runs(folded("answered"));
  assert.deepEqual(parts.filter((run) => run.highlight).map((run) => run.text), ["inhibiting the liver enzyme CYP2C9"]);
  for (const run of parts) if (run.citations.length) assert.match(run.text, /\.$/);
});

test("how well a claim stands", () => {
  assert.equal(standing({ support: 1, verdict: 1 }), "verified");
  assert.equal(standing({ support: 2, verdict: 1 }), "partly");
  assert.equal(standing({ support: 0, verdict: 2 }), "unverified");
  assert.equal(standing({ support: 3, verdict: 1 }), "unverified");
  assert.equal(standing({ support: 1, verdict: 3 }), "contradicted");
});

test("a later judgement on the same words takes the place of the earlier one", () => {
  const events = log("answered");
  const end = events.reduce(fold, asked("?"));
  const last = end.claims.at(-1) ?? assert.fail("no claim");
  const at = events.findIndex((event) => event.event.case === "finished");
  const before = events.slice(0, at).reduce(fold, asked("?"));
  const judged = create(TurnEventSchema, { seq: at + 1, event: { case: "claim", value: { claim: { ...last, verdict: ClaimVerdict.UNVERIFIED } } } });
  const after = fold(before, judged);
  assert.equal(after.claims.length, end.claims.length);
  assert.equal(after.claims.at(-1)?.verdict, ClaimVerdict.UNVERIFIED);
});
