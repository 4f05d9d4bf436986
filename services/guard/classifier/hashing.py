"""Rows of tokens: the word, its beginnings and ends, what stands before it, its place, hashed into one table.

All by one cumulative sum: with c the code points and P odd, s[i] = sum of c[j] P^j for j < i (mod 2^64), so that the hash of [a, b)
is (s[b] - s[a]) P^-a, whatever stands around it. Knows code points, no text.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

TABLE_BITS = 18
LOOKUPS = 12
"""Rows of a token."""
RESERVED = 256
"""Rows that are not hashed to: shapes and places."""
ROWS = RESERVED + (1 << TABLE_BITS)
MAX_CODES = 131_072
"""Code points of a text at most."""
_P = 0x9E3779B97F4A7C15
_P_INVERSE = pow(_P, -1, 1 << 64)
_MIX = np.uint64(0xD6E8FEB86659FD93)
_SALTS = np.array([0x1F83D9ABFB41BD6B, 0x5BE0CD19137E2179, 0x6A09E667F3BCC909, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B,
                   0xA54FF53A5F1D36F1, 0x510E527FADE682D1, 0x8F1BBCDCCA62C1D7, 0x2B3C5E97D1A6F483,
                   0x7137449123EF65CD, 0xB5C0FBCFEC4D3B2F, 0x3956C25BF348B539], dtype=np.uint64)[:, None]  # fmt: skip
_BEFORE, _SECOND = 0x2545F4914F6CDD1D, 0x9FB21C651E98DF25
# What tokens come to with those before them: of the words and of their beginnings of 4 letters, each of the second before, of the
# one before, and of the token itself.
_TOGETHER = np.array([[0, _BEFORE, 3, 0, 0, 0],
                      [_SECOND, _BEFORE, 3, 0, 0, 0],
                      [_BEFORE, 0, 5, 0, 0, 0],
                      [0, 0, 0, 0, _BEFORE, 7],
                      [0, 0, 0, _SECOND, 0, 11],
                      [0, 0, 0, 0, 0, 1]], dtype=np.uint64)  # fmt: skip
_BEGINNINGS = np.array([[1 << 40], [3], [4], [5], [6], [7], [8]])
_LOOKED_UP = np.array([0, 2, 3, 4, 5, 6])
_ENDS = np.array([[3], [4]])
_HALF, _KEPT, _FIRST_HASHED = np.uint64(32), np.uint64(64 - TABLE_BITS), np.uint64(RESERVED)


@cache
def _powers() -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """P^i and P^-i for every place of a text."""
    n = MAX_CODES + 1
    up, down = np.empty(n, dtype=np.uint64), np.empty(n, dtype=np.uint64)
    a = b = 1
    for i in range(n):
        up[i], down[i] = a, b
        a, b = a * _P % (1 << 64), b * _P_INVERSE % (1 << 64)
    return up, down


@cache
def places() -> NDArray[np.int32]:
    """Rows of the distance from the beginning, in powers of two."""
    return np.minimum(np.log2(np.arange(1, MAX_CODES + 1, dtype=np.float32)).astype(np.int32), 9)


@cache
def _hashed_places() -> NDArray[np.uint64]:
    """What the place of a word, in powers of four, adds to its hash."""
    return (places().astype(np.uint64) >> np.uint64(1)) * np.uint64(_SECOND)


def write(
    codes: NDArray[np.uint32], starts: NDArray[np.int64], ends: NDArray[np.int64], placed: bool, rows: NDArray[np.int32]
) -> NDArray[np.uint64]:
    """Writes (LOOKUPS, n) `rows` of the words, their beginnings and ends, what stands before them, their places.

    Returns (1 + concepts.LENGTHS, n) hashes of the words and of their beginnings, as concepts are looked up by.
    """
    up, down = _powers()
    sums = np.zeros(len(codes) + 1, dtype=np.uint64)
    (codes * up[: len(codes)]).cumsum(out=sums[1:])
    n = len(starts)
    first, last = np.empty((2, 9, n), dtype=np.int64)
    first[:7], last[7:] = starts, ends
    np.minimum(starts + _BEGINNINGS, ends, out=last[:7])
    np.maximum(ends - _ENDS, starts, out=first[7:])
    found = np.empty((LOOKUPS, n), dtype=np.uint64)
    every = sums.take(last)
    every -= sums.take(first)
    every *= down.take(first)
    found[:4], found[4:6] = every[:4], every[7:]
    # Each token with the two before it: three views of words and of their beginnings, moved on by one.
    before = np.zeros((2, n + 2), dtype=np.uint64)
    before[:, 2:] = found[0:4:2]
    moved: NDArray[np.uint64] = np.ndarray((2, 3, n), np.uint64, before, strides=(before.strides[0], 8, 8))
    np.matmul(_TOGETHER, moved.reshape(6, n), out=found[6:])
    if placed:
        found[11] += _hashed_places()[:n]
    found ^= _SALTS
    found *= _MIX
    found ^= found >> _HALF
    found *= _MIX
    found >>= _KEPT
    found += _FIRST_HASHED
    rows[:] = found
    looked_up: NDArray[np.uint64] = every.take(_LOOKED_UP, 0)
    return looked_up
