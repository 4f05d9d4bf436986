// Both languages hold the same words, and every value of the contract has some.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { BlockReason, Stage } from "@gen/ragmesh/gateway/v1/turn_pb.js";
import type { Language, Words } from "../src/words.js";

const all: Partial<Record<Language, Words>> = {};

before(async () => {
  Object.assign(globalThis, { document: { documentElement: { lang: "" } }, localStorage: { setItem: () => undefined } });
  const module = await import("../src/words.js");
  for (const language of Object.keys(module.LANGUAGES) as Language[]) {
    module.setLanguage(language, false);
    all[language] = module.words;
  }
});

test("no text is empty and none is the same by oversight", () => {
  const { en, de } = all as Record<Language, Words>;
  assert.deepEqual(Object.keys(de), Object.keys(en));
  const alike = Object.keys(en).filter((key) => typeof en[key as keyof Words] === "string" && en[key as keyof Words] === de[key as keyof Words]);
  assert.deepEqual(alike, ["themeSystem", "trace", "tokens", "turnId"]);
  for (const text of [...Object.values(en), ...Object.values(de)]) if (typeof text === "string") assert.ok(text.trim());
});

test("every stage and every reason has words, an unknown one too", () => {
  for (const words of Object.values(all) as Words[]) {
    for (const stage of [0, 1, 2, 3, 4, 99] as Stage[]) {
      for (const done of [true, false]) assert.ok(words.stage(stage, 3, done) && words.stage(stage, undefined, done));
      assert.ok(words.stageName(stage));
    }
    const reasons = Object.values(BlockReason).filter((value) => typeof value === "number") as BlockReason[];
    for (const reason of [...reasons, 99 as BlockReason]) assert.ok(words.blockReason(reason) && words.retractedWhy(reason));
    assert.equal(new Set(reasons.map(words.blockReason)).size, reasons.length, "each reason has words of its own");
    assert.equal(words.blockReason(99 as BlockReason), words.blockReason(BlockReason.UNSPECIFIED));
    assert.ok(words.failure("NEVER_HEARD_OF"));
    assert.ok(words.intro(undefined) && words.intro(1) && words.intro(63));
  }
});

test("one is one, and numbers are written as the language does", () => {
  const { en, de } = all as Record<Language, Words>;
  assert.equal(en.summary(412, 1), "0.4 s, 1 passage");
  assert.equal(de.summary(412, 5), "0,4 s, 5 Textstellen");
  assert.equal(en.summary(12_345, 0), "12 s");
  assert.match(en.intro(1_200), /1,200 documents/);
  assert.match(de.intro(1_200), /1\.200 Dokumenten/);
});
