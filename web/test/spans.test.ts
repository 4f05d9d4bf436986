// Quotes in coordinates of a canonical text, found in an Evidence with gaps and in a Passage that begins later.
import assert from "node:assert/strict";
import { test } from "node:test";
import { evidenceOf, LOGS, SOURCES } from "../fixtures/logs.js";
import { ByteMap, utf8Length } from "../src/text/bytes.js";
import { merged, quotesInEvidence, quotesInPassage } from "../src/text/spans.js";
import { asked, fold } from "../src/turn/fold.js";

const CANONICAL = "Überschrift\n\nErster Satz 🩸. Zweiter Satz.\n\nDritter Satz – Ende.";
const map = new ByteMap(CANONICAL);
const range = (words: string) => {
  const start = map.toByte(CANONICAL.indexOf(words));
  return { start, end: start + utf8Length(words) };
};
const words = (text: string, spans: readonly { start: number; end: number }[]) => spans.map((span) => text.slice(span.start, span.end));

test("spans are sorted, joined where they touch, and never empty", () => {
  const spans = [{ start: 5, end: 9 }, { start: 1, end: 3 }, { start: 3, end: 4 }, { start: 6, end: 7 }, { start: 20, end: 20 }];
  assert.deepEqual(merged(spans), [{ start: 1, end: 4 }, { start: 5, end: 9 }]);
});

test("a quote is found in evidence that is made of several spans", () => {
  const first = range("Erster Satz 🩸.");
  const third = range("Dritter Satz – Ende.");
  const evidence = { text: "Erster Satz 🩸.Dritter Satz – Ende.", spans: [first, third] } as never;
  assert.deepEqual(words("Erster Satz 🩸.Dritter Satz – Ende.", quotesInEvidence(evidence, [range("Satz – Ende")])), ["Satz – Ende"]);
  assert.deepEqual(words("Erster Satz 🩸.Dritter Satz – Ende.", quotesInEvidence(evidence, [range("🩸. Zweiter Satz.\n\nDritter")])), ["🩸.Dritter"]);
  assert.deepEqual(quotesInEvidence(evidence, [range("Zweiter Satz.")]), []);
});

test("a quote is found in a passage that begins inside the document", () => {
  const start = range("Erster").start;
  const text = CANONICAL.slice(CANONICAL.indexOf("Erster"));
  const passage = { text, range: { start, end: start + utf8Length(text) } } as never;
  assert.deepEqual(words(text, quotesInPassage(passage, [range("Zweiter Satz."), range("Überschrift")])), ["Zweiter Satz."]);
});

test("in every fixture the cited words of a copied claim are the claim's text", () => {
  let checked = 0;
  for (const log of Object.values(LOGS)) {
    const state = log.reduce(fold, asked(""));
    const text = new ByteMap(state.text);
    for (const claim of state.claims) {
      const ref = claim.refs[0];
      const evidence = state.evidence.find((one) => one.name === ref?.evidence);
      if (!ref || !evidence || claim.origin !== 1) continue;
      const quoted = words(evidence.text, quotesInEvidence(evidence, ref.quotes)).join("");
      assert.equal(quoted, text.slice(claim.range?.start ?? 0, claim.range?.end ?? 0));
      checked += 1;
    }
  }
  assert.ok(checked > 20);
  assert.equal(evidenceOf(SOURCES.thinners, 0).text, SOURCES.thinners.text);
});
