// The session: one token for many calls, a new one when it ends, one call for many who need it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { CreateSessionResponseSchema } from "@gen/ragmesh/gateway/v1/gateway_service_pb.js";
import { Session } from "../src/wire/session.js";

function setUp(stored?: string, lifeMs = 3_600_000) {
  const kept = new Map(stored ? [["ragmesh.session", stored]] : []);
  const storage = { getItem: (key: string) => kept.get(key) ?? null, setItem: (key: string, value: string) => void kept.set(key, value) };
  let made = 0;
  const make = async () => {
    made += 1;
    await Promise.resolve();
    return create(CreateSessionResponseSchema, { token: `token-${made}`, expireTime: timestampFromMs(Date.now() + lifeMs) });
  };
  return { session: new Session(make, storage), storage, kept, made: () => made, make };
}

test("calls at the same time share one session, and it is kept", async () => {
  const { session, made, storage, make } = setUp();
  assert.deepEqual(await Promise.all([session.token(), session.token(), session.token()]), ["token-1", "token-1", "token-1"]);
  assert.equal(made(), 1);
  assert.equal(await new Session(make, storage).token(), "token-1");
  assert.equal(made(), 1);
});

test("a session that is about to end, or is no session, is made anew", async () => {
  for (const stored of [JSON.stringify({ token: "old", expires: Date.now() + 5_000 }), "{", "7", '{"token":3}']) {
    const { session } = setUp(stored);
    assert.equal(await session.token(), "token-1", stored);
  }
});

test("a refused token is replaced once for all who had it", async () => {
  const { session, made } = setUp();
  const token = await session.token();
  assert.deepEqual(await Promise.all([session.renew(token), session.renew(token)]), ["token-2", "token-2"]);
  assert.equal(await session.renew(token), "token-2");
  assert.equal(made(), 2);
});
