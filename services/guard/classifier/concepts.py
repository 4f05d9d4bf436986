"""What words of different languages have in common: a token's concept, and its neighbours'.

"ignore", "ignoriere" and "görmezden" are one concept, so that a wording that is learnt in one language is known in the others, and
words that mean the same share what they weigh. A word is looked up whole and by its beginnings, the longest that is known counts.
Each token with a concept is LOOKUPS rows more: the concept, the pair and the skip pair with the concepts before it that stand near,
and all three together; what stands between them is passed over.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST = 128
"""Numbers of concepts; 0 is none."""
LENGTHS = (4, 5, 6, 7, 8)
"""Letters of the beginnings that are looked up."""
NEAR, NEARBY = 6, 10
"""Tokens back to which the concept before, and the second before, is looked for."""
LOOKUPS = 4
_TRIPLE_BITS = 15
_PAIRS, _SKIPPED, _TRIPLES = MOST, MOST + MOST**2, MOST + 2 * MOST**2
ROWS = _TRIPLES + (1 << _TRIPLE_BITS)
_P = 0x9E3779B97F4A7C15
_WHOLE = 0x51ED270B0A3F4C1D
_MIX = np.uint64(0xD6E8FEB86659FD93)


def beginning(letters: str) -> int:
    """The number of words that begin so."""
    return sum(ord(letter) * pow(_P, place, 1 << 64) for place, letter in enumerate(letters)) % (1 << 64)


def whole(word: str) -> int:
    """The number of a word."""
    return beginning(word) ^ _WHOLE


@dataclass(frozen=True)
class Concepts:
    """The forms that are known."""

    hashes: NDArray[np.uint64]
    """(k,) numbers of beginnings and whole words, in order."""
    numbers: NDArray[np.uint8]
    """(k,) of the concept of each."""

    def of(self, hashed: NDArray[np.uint64]) -> NDArray[np.int64]:
        """(n,) concept of each token, 0 for none.

        Args:
            hashed: (1 + LENGTHS, n) of the whole word, then of its beginnings; changed in place.
        """
        hashed[0] ^= np.uint64(_WHOLE)
        asked = hashed.reshape(-1)
        at = self.hashes.searchsorted(asked)
        hit = (self.hashes.take(at, mode="clip") == asked).nonzero()[0]
        n = hashed.shape[1]
        told = np.zeros(n, dtype=np.int64)
        if len(hit):
            numbers, place, longer = self.numbers.take(at.take(hit)), hit % n, int(hit.searchsorted(n))
            # Of one token the longest beginning is written last, and then the word itself.
            told[place[longer:]] = numbers[longer:]
            told[place[:longer]] = numbers[:longer]
        return told


def rows(told: NDArray[np.int64]) -> NDArray[np.int32]:
    """(LOOKUPS, n) rows of the concepts' own table; 0 where there is none."""
    found = np.zeros((LOOKUPS, len(told)), dtype=np.int32)
    at = told.nonzero()[0]
    if not len(at):
        return found
    own = told[at]
    found[0, at] = own
    if len(at) > 1:
        near = at[1:] - at[:-1] <= NEAR
        before = own[:-1]
        found[1, at[1:]] = np.where(near, _PAIRS + before * MOST + own[1:], 0)
        if len(at) > 2:
            nearby = at[2:] - at[:-2] <= NEARBY
            found[2, at[2:]] = np.where(nearby, _SKIPPED + own[:-2] * MOST + own[2:], 0)
            three = ((own[:-2] * MOST + own[1:-1]) * MOST + own[2:]).astype(np.uint64) * _MIX
            found[3, at[2:]] = np.where(nearby, _TRIPLES + (three >> np.uint64(64 - _TRIPLE_BITS)).astype(np.int64), 0)
    return found
