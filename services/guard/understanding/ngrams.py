"""A text as a unit vector: its words in runs of up to three, its letters in runs of three to five, weighted by how rare they are.

The hash is CRC-32, so that what one process learnt another can read. Knows no label.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

BUCKETS = 1 << 17
MAX_CHARACTERS = 512
"""What is behind is not read."""
_LEAST_TEXTS = 2
"""Texts that must hold an n-gram, where there are many texts: what occurs once tells nothing of others."""
_MANY = 1_000
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_LETTERS = 1
"""Where the hash of a run of letters begins, so that it is not that of a word."""
_HALF = 0.5
"""Weight of a run of letters or of three words: they overlap."""


def words_of(text: str) -> list[str]:
    """The words, in lower case."""
    return _WORD.findall(text[:MAX_CHARACTERS].lower())


def _counts(words: list[str]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The buckets of a text, each once, and how often each occurs."""
    framed = ["^", *words, "$"]
    whole = [crc32(word.encode()) for word in words]
    whole += [crc32(f"{a} {b}".encode()) for a, b in pairwise(framed)]
    parts = [crc32(f"{a} {b} {c}".encode()) for a, b, c in zip(framed, framed[1:], framed[2:], strict=False)]
    # Four bytes a letter, so that runs of letters are slices.
    spaced = f" {' '.join(words)} ".encode("utf-32-le")
    for width in (12, 16, 20):
        parts += [crc32(spaced[at : at + width], _LETTERS) for at in range(0, len(spaced) - width + 1, 4)]
    often: dict[int, float] = {}
    for hashes, weight in ((whole, 1.0), (parts, _HALF)):
        for value in hashes:
            bucket = value % BUCKETS
            often[bucket] = often.get(bucket, 0.0) + weight
    return np.fromiter(often, np.int64, len(often)), np.fromiter(often.values(), np.float64, len(often))


@dataclass(frozen=True)
class Ngrams:
    """Which n-grams are known, and what each weighs."""

    buckets: NDArray[np.int32]
    """(f,) rising."""
    weights: NDArray[np.float32]
    """(f,) inverse document frequencies."""

    @classmethod
    def of(cls, texts: Sequence[str]) -> Ngrams:
        """Those of `texts`."""
        seen = np.zeros(BUCKETS, dtype=np.int32)
        for text in texts:
            seen[_counts(words_of(text))[0]] += 1
        buckets = np.flatnonzero(seen >= (_LEAST_TEXTS if len(texts) >= _MANY else 1)).astype(np.int32)
        weights = np.log((1 + len(texts)) / (1 + seen[buckets])) + 1
        return cls(buckets, weights.astype(np.float32))

    def rows(self, text: str) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """(n,) rows of the known n-grams of `text` and (n,) values of length 1 together; both empty where none is known."""
        found, often = _counts(words_of(text))
        values = np.log1p(often).astype(np.float32)
        # Of one type, or all of the buckets would be copied into the other one first.
        places = np.searchsorted(self.buckets, found.astype(self.buckets.dtype))
        places[places == len(self.buckets)] = 0
        known = self.buckets[places] == found if len(self.buckets) else np.zeros(len(found), dtype=bool)
        places, values = places[known], values[known] * self.weights[places[known]]
        length = float(np.linalg.norm(values))
        return places, values / np.float32(length) if length else values
