// Which state is painted in which frame, against a screen that the test owns.
import assert from "node:assert/strict";
import { test } from "node:test";
import { LOGS } from "../fixtures/logs.js";
import type { Entry } from "../src/model.js";
import type { TurnState } from "../src/turn/fold.js";
import { asked, fold } from "../src/turn/fold.js";
import { Painter } from "../src/view/painter.js";

function setUp() {
  const frames: (() => void)[] = [];
  const painted: TurnState[] = [];
  let hidden = false;
  const entry = { id: "e", state: asked("?"), shown: asked("?"), link: "live", failure: undefined, rating: 0, fresh: true } as Entry;
  const painter = new Painter({ frame: (act) => void frames.push(act), hidden: () => hidden }, (one) => void painted.push(one.shown));
  const push = (count: number) => {
    for (const event of (LOGS["answered"] ?? []).slice(entry.state.seq, entry.state.seq + count)) {
      entry.state = fold(entry.state, event);
      painter.push(entry);
    }
  };
  const draw = () => frames.splice(0).forEach((act) => act());
  return { entry, painter, painted, frames, push, draw, hide: () => (hidden = true) };
}

test("events that come one by one are painted one by one, each in the next frame", () => {
  const { entry, painted, push, draw } = setUp();
  for (let at = 1; at <= (LOGS["answered"]?.length ?? 0); at++) {
    push(1);
    draw();
    assert.equal(painted.at(-1)?.seq, at);
  }
  assert.ok(entry.shown.finished);
});

test("a log that comes at once is at its end after a few frames, with its last sentences in frames of their own", () => {
  const { entry, painted, frames, push, draw } = setUp();
  push(99);
  while (frames.length) draw();
  assert.equal(painted.length, 5);
  assert.deepEqual(painted.map((state) => state.deltas.length), [0, 1, 2, 3, 3]);
  assert.deepEqual(painted.map((state) => state.claims.length), [0, 1, 2, 3, 3], "a claim comes with its sentence");
  assert.equal(entry.shown, entry.state);
});

test("nothing is painted twice, and no frame is asked for in vain", () => {
  const { painted, frames, push, draw } = setUp();
  push(3);
  assert.equal(frames.length, 1);
  while (frames.length) draw();
  assert.equal(new Set(painted).size, painted.length);
  draw();
  assert.equal(frames.length, 0);
});

test("a page that nobody sees, and a turn that failed, wait for no frame", () => {
  for (const how of ["hidden", "failed"]) {
    const { entry, frames, push, hide } = setUp();
    push(5);
    if (how === "hidden") hide();
    else entry.failure = { reason: "INTERNAL", metadata: {}, retryAfterMs: undefined, code: 13 };
    push(1);
    assert.equal(entry.shown, entry.state);
    frames.splice(0).forEach((act) => act());
    assert.equal(entry.shown, entry.state);
  }
});
