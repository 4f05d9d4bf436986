// Byte offsets against what TextEncoder says, for texts of every width of character.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ByteMap, utf8Length } from "../src/text/bytes.js";

const TEXTS = ["", "plain ASCII", "Grüße aus Köln", "a🩸b", "👩‍⚕️ and 👋🏽", "Ω≈ç√", "mixed: ä€𝄞z", "日本語テキスト", "é".normalize("NFD"), "\u{10ffff}end", "🩸🩸🩸"];
const encoder = new TextEncoder();

test("the length is the encoder's", () => {
  for (const text of TEXTS) assert.equal(utf8Length(text), encoder.encode(text).length, JSON.stringify(text));
});

test("every boundary of a character maps both ways", () => {
  for (const text of TEXTS) {
    const map = new ByteMap(text);
    let index = 0;
    for (const character of text) {
      const bytes = encoder.encode(text.slice(0, index)).length;
      assert.equal(map.toUtf16(bytes), index, `${JSON.stringify(text)} byte ${bytes}`);
      assert.equal(map.toByte(index), bytes, `${JSON.stringify(text)} index ${index}`);
      index += character.length;
    }
    assert.equal(map.toUtf16(map.byteLength), text.length);
    assert.equal(map.toByte(text.length), map.byteLength);
  }
});

test("an offset inside a character is moved to its beginning, one outside the text to its end", () => {
  const map = new ByteMap("a🩸ü");
  assert.deepEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 99, -3].map((byte) => map.toUtf16(byte)), [0, 1, 1, 1, 1, 3, 3, 4, 4, 4, 0]);
  // The second half of a pair stands for the same character.
  assert.equal(map.toByte(2), 1);
});

test("a slice is what the bytes say", () => {
  const text = "Grüße 👋 – wie wirkt CBD?";
  const bytes = encoder.encode(text);
  const map = new ByteMap(text);
  const start = encoder.encode("Grüße ").length;
  const end = encoder.encode("Grüße 👋 –").length;
  assert.equal(map.slice(start, end), new TextDecoder().decode(bytes.slice(start, end)));
  assert.equal(map.slice(end, start), "");
});

test("sixty-four kibibytes map in no time", () => {
  const text = "ä🩸b".repeat(10_000);
  const map = new ByteMap(text);
  for (let byte = 0; byte < map.byteLength; byte += 7) assert.equal(map.toByte(map.toUtf16(byte)), byte);
});
