"""What the classifier reads of a text: tokens as rows of one table, and a few numbers of any stretch of tokens.

A token is a run of letters and digits, one other sign, or the end of a line. Each is LOOKUPS rows of the table: the word, its
beginnings of 3, 4 and 5 letters, its ends of 3 and 4; the word with the one, the two and only the second before it; the beginnings
of 4 letters of it and the token before, and of it and the second before; the word with its place; its shape, how far it stands from
the beginning and from the end; and, in rows of their own behind the table, its concept and that beside its neighbours' (see
`concepts`). What is hashed is so as `hashing` says.

The recipe (training/injection_recipe.py) trains on exactly this.
"""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from services.guard.classifier import concepts, hashing
from services.guard.classifier.concepts import Concepts

HASHED = hashing.LOOKUPS
TOLD_CONCEPTS = HASHED + 3
LOOKUPS = TOLD_CONCEPTS + concepts.LOOKUPS
MAX_CHARACTERS = hashing.MAX_CODES // 4
"""What is longer is read to there; who judges longer texts cuts them."""
ROWS = hashing.ROWS
ALL_ROWS = ROWS + concepts.ROWS
_NO_PLACE = 255
NUMBERS = 15
BINS = 12
"""Steps that each number is told in."""
CROSSED = ((6, 1), (6, 10), (6, 12), (1, 2), (13, 14), (14, 1))
"""Pairs of numbers that are told together too: improbable letters alone are a name, among many signs an optimised suffix;
known words in pairs that nobody writes are one as well."""
TOLD = NUMBERS + len(CROSSED)
"""Steps of a stretch."""
STEPS = NUMBERS * BINS + len(CROSSED) * BINS**2

Kind = Literal["question", "document"]
LONG_WORD = 12
KNOWN_BITS = _BITS = 21
_MASK = (1 << _BITS) - 1
# Of white space, sign, letter, digit: what each adds to the cumulative counts.
_PACKED = np.array([0, 0, 1 << 2 * _BITS, 1 << _BITS], dtype=np.int64)
_NEWLINE = 10
_STOPS = np.array([ord(sign) for sign in ".!?;:…。！？"], dtype=np.uint32)
QUESTION_WINDOWS = (24, 64)
"""Tokens of the stretches of a question; a shorter question is one stretch."""
RARE_BITS = 10.0
"""Surprise from which a pair of signs is rare."""
PAIR = 6
"""Place among a token's rows of the row of it and the token before it."""
MAX_SENTENCE = 48
MIN_SENTENCE = 4
"""Tokens."""
_SIGNS = 96  # printable ASCII and one for everything else


@cache
def _classes() -> NDArray[np.uint8]:
    """(65537,) of each code point of the basic plane: 0 white space, 1 sign, 2 letter, 3 digit; the last row is of all others."""
    found = np.ones(65_537, dtype=np.uint8)
    for code in range(65_536):
        letter = chr(code)
        if letter.isspace() or (code < 32 and code != _NEWLINE):
            found[code] = 0
        elif letter.isdigit():
            found[code] = 3
        elif letter.isalnum() or letter == "_":
            found[code] = 2
    found[_NEWLINE] = 1
    return found


# Letters that NFKD leaves as they are, though people type them without their stroke.
_STROKES = str.maketrans({"ł": "l", "Ł": "L", "ø": "o", "Ø": "O", "đ": "d", "Đ": "D", "ı": "i", "ß": "s", "’": "'", "‘": "'",
                          "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "–": "-", "—": "-"})  # fmt: skip


def _forms() -> NDArray[np.int64]:
    """(64,) of the bits that `_shapes` puts together: word, with digits, digits only, capitals (0, 1, 2 or more), capitals only."""
    found = np.zeros(64, dtype=np.int64)
    for bits in range(64):
        word, digit, number, capitals, upper = bits & 1, bits & 2, bits & 4, bits >> 3 & 3, bits & 32
        if word:
            found[bits] = 8 * (
                1 if number else 2 if digit else 3 if not capitals else 4 if upper and capitals > 1 else 5 if capitals == 1 else 6
            )
    return found


_FORMS = _forms()
_LENGTHS = np.arange(16) >> 1
_FIRST = np.concatenate([np.arange(NUMBERS) * BINS, NUMBERS * BINS + np.arange(len(CROSSED)) * BINS**2])
"""(TOLD,) of each number and pair: its first step."""
_ONE, _OTHER = np.array(CROSSED).T


@cache
def _signs() -> NDArray[np.int64]:
    """(128,) numbers of signs: printable ASCII, digits as one, and one for everything else."""
    found = np.full(128, _SIGNS - 1, dtype=np.int64)
    found[32:127] = np.arange(95)
    found[ord("0") : ord("9") + 1] = ord("0") - 32
    return found


def plain(text: str) -> str:
    """`text` without diacritics and compatibility forms; its case stays."""
    if text.isascii():
        return text
    apart = unicodedata.normalize("NFKD", text.translate(_STROKES))
    return apart if apart.isascii() else "".join([letter for letter in apart if not unicodedata.combining(letter)])


@dataclass(frozen=True, slots=True)
class Read:
    """A text as the classifier sees it; n tokens."""

    rows: NDArray[np.int32]
    """(n, LOOKUPS) rows of the table."""
    starts: NDArray[np.int64]
    """(n,) first character of each token, in `plain(text)`."""
    ends: NDArray[np.int64]
    first: NDArray[np.uint32]
    """(n,) code point that each token begins with."""
    letters: NDArray[np.int64]
    """(characters + 1,) cumulative: capitals, digits and letters, 21 bits each."""
    surprise: NDArray[np.float32]
    """(characters + 1,) cumulative, in bits."""
    words: NDArray[np.int64]
    """(n + 1,) cumulative: words, long words and signs that follow a sign, 21 bits each."""
    rare: NDArray[np.int32]
    """(characters + 1,) cumulative: pairs of signs that honest text hardly has."""
    known: NDArray[np.int64]
    """(n + 1,) cumulative: tokens that honest text has, and those that it has after the token before them, 21 bits each."""

    def __len__(self) -> int:
        return len(self.rows)

    def sentences(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First and last + 1 token of each sentence and of each two neighbouring sentences, long ones in pieces."""
        n = len(self)
        stop = np.isin(self.first, _STOPS)
        # A full stop inside an address is none: white space follows that of a sentence.
        stop[:-1] &= self.starts[1:] > self.ends[:-1]
        stop |= self.first == _NEWLINE
        edges = np.unique(np.concatenate([[0], np.flatnonzero(stop) + 1, [n]]))
        # What is shorter than a few tokens belongs to the sentence before it.
        edges = edges[np.concatenate([[True], np.diff(edges) >= MIN_SENTENCE])] if len(edges) > 2 else edges
        edges = np.append(edges[:-1] if len(edges) > 1 else edges, n)
        # A long one in even pieces, counted from its own beginning: where in a text it stands must not matter.
        pieces = -(-np.diff(edges) // MAX_SENTENCE)
        number = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        starts = np.repeat(edges[:-1], pieces) + np.repeat(np.diff(edges), pieces) * number // np.repeat(pieces, pieces)
        ends = np.append(starts[1:], n)
        return np.concatenate([starts, starts[:-1]]), np.concatenate([ends, ends[1:]])

    def stretches(self, kind: Kind) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """What is scored: the sentences of a document; a question as a whole, and windows of a long one."""
        if kind == "document":
            return self.sentences()
        n = len(self)
        if n <= QUESTION_WINDOWS[0]:
            return np.zeros(1, dtype=np.int64), np.array([n], dtype=np.int64)
        windows = [self.windows(size) for size in QUESTION_WINDOWS if n > size]
        starts = np.concatenate([np.zeros(1, dtype=np.int64), *(one for one, _ in windows)])
        return starts, np.concatenate([np.array([n], dtype=np.int64), *(one for _, one in windows)])

    def windows(self, size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Stretches of `size` tokens, each half a stretch after the one before it; the last ends with the text."""
        n = len(self)
        starts = np.arange(0, max(n - size // 2, 1), size // 2, dtype=np.int64)
        return starts, np.minimum(starts + size, n)

    def numbers(self, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.float32]:
        """(m, NUMBERS) of the stretches [start, end) of tokens, none of them empty; each about between 0 and 1."""
        if len(starts) == 1:
            return self._numbers_of_one(int(starts[0]), int(ends[0]))
        first, last = self.starts[starts], self.ends[ends - 1]
        held = self.letters[last] - self.letters[first]
        capitals, digits, letters = held & _MASK, held >> _BITS & _MASK, np.maximum(held >> 2 * _BITS, 1)
        held = self.words[ends] - self.words[starts]
        words, long, runs = held & _MASK, held >> _BITS & _MASK, held >> 2 * _BITS
        size, characters = ends - starts, last - first
        n, some = len(self), np.maximum(words, 1)
        found = np.empty((len(starts), NUMBERS), dtype=np.float32)
        found[:, 0] = np.log2(size + 1) / 10
        found[:, 1] = (size - words) / size
        found[:, 2] = capitals / letters
        found[:, 3] = digits / characters
        found[:, 4] = letters / some / 12
        found[:, 5] = long / some
        found[:, 6] = (self.surprise[last] - self.surprise[first]) / characters / 8
        found[:, 7] = math.log2(n + 1) / 10
        found[:, 8] = size / n
        found[:, 9] = words / size
        found[:, 10] = np.sqrt((self.rare[last] - self.rare[first]) / characters)
        found[:, 11] = runs / size
        found[:, 12] = (self.surprise[-1] - self.surprise[last]) / np.maximum(len(self.surprise) - 1 - last, 1) / 8
        held = self.known[ends] - self.known[starts]
        found[:, 13] = (held & _MASK) / size
        found[:, 14] = (held >> _BITS) / size
        return found

    def _numbers_of_one(self, start: int, end: int) -> NDArray[np.float32]:
        """The same of one stretch, as most questions are: a third of the time without arrays of one."""
        first, last = int(self.starts[start]), int(self.ends[end - 1])
        held = int(self.letters[last]) - int(self.letters[first])
        capitals, digits, letters = held & _MASK, held >> _BITS & _MASK, max(held >> 2 * _BITS, 1)
        held = int(self.words[end]) - int(self.words[start])
        words, long, runs = held & _MASK, held >> _BITS & _MASK, held >> 2 * _BITS
        size, characters, n, some = end - start, last - first, len(self), max(words, 1)
        seen, surprise = int(self.known[end]) - int(self.known[start]), self.surprise
        found = (
            math.log2(size + 1) / 10,
            (size - words) / size,
            capitals / letters,
            digits / characters,
            letters / some / 12,
            long / some,
            float(surprise[last] - surprise[first]) / characters / 8,
            math.log2(n + 1) / 10,
            size / n,
            words / size,
            math.sqrt((int(self.rare[last]) - int(self.rare[first])) / characters),
            runs / size,
            float(surprise[-1] - surprise[last]) / max(len(surprise) - 1 - last, 1) / 8,
            (seen & _MASK) / size,
            (seen >> _BITS) / size,
        )
        return np.array([found], dtype=np.float32)


def steps(numbers: NDArray[np.float32]) -> NDArray[np.int64]:
    """(m, TOLD) of `numbers`, each, then each pair of CROSSED, as one of STEPS: what is above 1 counts as 1."""
    told = numbers * np.float32(BINS)
    each = np.minimum(np.maximum(told, 0, out=told), BINS - 1, out=told).astype(np.int64)
    found = np.empty((len(each), TOLD), dtype=np.int64)
    found[:, :NUMBERS] = each
    crossed = each.take(_ONE, 1)
    crossed *= BINS
    np.add(crossed, each.take(_OTHER, 1), out=found[:, NUMBERS:])
    found += _FIRST
    return found


def read(text: str, surprise: NDArray[np.float32], known: NDArray[np.bool_], concept_forms: Concepts, *, placed: bool) -> Read:
    """Reads `text`.

    Args:
        surprise: (96 * 96,) bits of each pair of signs, as `pairs` numbers them.
        known: (ROWS,) rows of the words, and of their pairs, that honest text has.
        concept_forms: tells the concepts of words.
        placed: whether it matters where in the text a token stands; in a document it does not.
    """
    text = plain(text[:MAX_CHARACTERS])[: 4 * MAX_CHARACTERS]
    lower = text.lower()
    codes = _codes(lower)
    kind = _classes().take(codes, mode="clip")
    word = kind >= 2
    # A token ends where a word meets something else, and on both sides of every sign.
    edge = np.ones(len(codes) + 1, dtype=bool)
    if len(codes) > 1:
        np.logical_not(word[1:] & word[:-1], out=edge[1:-1])
    edges = edge.nonzero()[0]
    kept = kind.take(edges[:-1]).nonzero()[0] if len(codes) else edges[:0]
    starts, ends = edges.take(kept), edges.take(kept + 1)
    n = len(starts)
    held = _PACKED.take(kind)
    if len(lower) == len(text) and text != lower:
        held += _codes(text) != codes
    letters = np.zeros(len(codes) + 1, dtype=np.int64)
    held.cumsum(out=letters[1:])
    bits = np.zeros(len(codes) + 1, dtype=np.float32)
    rare = np.zeros(len(codes) + 1, dtype=np.int32)
    if len(codes) > 1:
        told = surprise.take(pairs(codes))
        told.cumsum(out=bits[2:])
        (told > RARE_BITS).cumsum(out=rare[2:])
    length = ends - starts
    is_word = word.take(starts)
    words = np.zeros(n + 1, dtype=np.int64)
    counted = (length > LONG_WORD) * (1 << _BITS)
    counted += is_word
    counted[1:] += ~(is_word[1:] | is_word[:-1]) * (1 << 2 * _BITS)
    counted.cumsum(out=words[1:])
    rows = np.empty((LOOKUPS, n), dtype=np.int32)
    told_as = concept_forms.of(hashing.write(codes, starts, ends, placed, rows[:HASHED]))
    rows[TOLD_CONCEPTS:] = concepts.rows(told_as)
    rows[TOLD_CONCEPTS:] += ROWS
    rows[HASHED] = _shapes(is_word, letters.take(ends) - letters.take(starts), length)
    if placed:
        places = hashing.places()[:n]
        np.add(places, 200, out=rows[HASHED + 1])
        np.add(places[::-1], 220, out=rows[HASHED + 2])
    else:
        rows[HASHED + 1 : TOLD_CONCEPTS] = _NO_PLACE
    seen = np.zeros(n + 1, dtype=np.int64)
    both = known.take(rows[PAIR]) * (1 << _BITS)
    both += known.take(rows[0])
    both.cumsum(out=seen[1:])
    return Read(rows.T, starts, ends, codes.take(starts), letters, bits, words, rare, seen)


def _codes(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def pairs(codes: NDArray[np.uint32]) -> NDArray[np.int64]:
    """(n - 1,) numbers of neighbouring signs, digits taken for one."""
    signs = _signs().take(codes, mode="clip")
    found: NDArray[np.int64] = signs[:-1] * _SIGNS
    found += signs[1:]
    return found


def _shapes(is_word: NDArray[np.bool_], held: NDArray[np.int64], length: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) rows 0 to 63: sign, number, mixed with digits, small, CAPITALS, Capitalised or mixed; by length."""
    capitals, digits = held & _MASK, held >> _BITS & _MASK
    bits = np.minimum(capitals, 2)
    bits *= 8
    bits += is_word
    bits += (digits > 0) * 2
    bits += (digits == length) * 4
    bits += (capitals == length) * 32
    found: NDArray[np.int64] = _FORMS.take(bits)
    found += _LENGTHS.take(length, mode="clip")
    return found
