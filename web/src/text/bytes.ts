// Maps UTF-8 byte offsets, which the contract counts in, to UTF-16 indices, which a browser counts in, and back.
// Knows nothing of turns or passages.

/** Byte offsets of one text. Building it is linear, each look-up logarithmic. */
export class ByteMap {
  readonly text: string;
  /** Length of the text in UTF-8 bytes. */
  readonly byteLength: number;
  /** offsets[i] is the number of bytes before UTF-16 unit i; null where every unit is one byte. */
  readonly #offsets: Uint32Array | null;

  constructor(text: string) {
    this.text = text;
    let ascii = true;
    for (let i = 0; i < text.length && ascii; i++) ascii = text.charCodeAt(i) < 0x80;
    if (ascii) {
      this.#offsets = null;
      this.byteLength = text.length;
      return;
    }
    const offsets = new Uint32Array(text.length + 1);
    let bytes = 0;
    for (let i = 0; i < text.length; i++) {
      offsets[i] = bytes;
      const point = text.codePointAt(i) as number;
      if (point > 0xffff) {
        // Both halves of a surrogate pair stand for the same character: its first byte.
        offsets[++i] = bytes;
        bytes += 4;
      } else {
        bytes += point < 0x80 ? 1 : point < 0x800 ? 2 : 3;
      }
    }
    offsets[text.length] = bytes;
    this.#offsets = offsets;
    this.byteLength = bytes;
  }

  /** UTF-16 index of the character that holds byte `byte`; an offset inside a character is moved to its beginning. */
  toUtf16(byte: number): number {
    const offsets = this.#offsets;
    if (byte <= 0) return 0;
    if (byte >= this.byteLength) return this.text.length;
    if (offsets === null) return Math.floor(byte);
    let low = 0;
    let high = offsets.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((offsets[middle] as number) <= byte) low = middle;
      else high = middle - 1;
    }
    // `low` is the last unit that begins at or before the byte: of a pair, the second half. Step to the first.
    while (low > 0 && offsets[low - 1] === offsets[low]) low--;
    return low;
  }

  /** Number of bytes before UTF-16 index `index`. */
  toByte(index: number): number {
    const at = Math.max(0, Math.min(this.text.length, Math.floor(index)));
    return this.#offsets === null ? at : (this.#offsets[at] as number);
  }

  /** The text of the half-open byte range. */
  slice(start: number, end: number): string {
    return this.text.slice(this.toUtf16(start), this.toUtf16(Math.max(start, end)));
  }
}

/** Length of a text in UTF-8 bytes. */
export function utf8Length(text: string): number {
  return new ByteMap(text).byteLength;
}
