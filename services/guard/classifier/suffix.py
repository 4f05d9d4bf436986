"""Finds optimised suffixes: what ends a text and follows on itself as in no language, however harmless each token of it is.

A search over tokens puts what it finds behind the request. The last tokens of a text are looked at in tails of TAILS different
lengths, to its end and to BEHIND tokens before it, so that neither a long request in front of a suffix, nor a word of thanks behind
it, nor code and tables inside a text matter. Each token is LOOKUPS rows of a small table:
its shape, the signs and the white space beside it, how surprising its letters are, whether honest text has it, and has it behind
what stands before it; never which word it is. What they weigh is added up over a tail, divided by the root of its length, and with
what the length of the tail and of the text say it is the score; the most suspicious tail counts.

The recipe (training/injection_suffix.py) trains on exactly this.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.guard.classifier import features
from services.guard.classifier.features import Read

TAILS = (8, 11, 15, 20, 27, 36, 48, 64)
"""Tokens; a text of at most as many is a tail as a whole too."""
BEHIND = 8
"""Tokens that may stand behind a suffix."""
MOST = TAILS[-1] + BEHIND
LEAST = 8
"""Tokens of a text in which a suffix is looked for."""
LOOKUPS = 5
_FORMS, _LENGTHS, _BITS, _SIGNS = 8, 8, 16, 96
_FIRST = np.cumsum([0, _FORMS * _LENGTHS * 4, _FORMS * _FORMS * 8, _BITS * _FORMS * 2, _SIGNS * 8, 64 * _FORMS])
ROWS = int(_FIRST[-1])
_BITS_STEP = 1.5
_TAIL_STEPS, _TEXT_STEPS = 16, 24
PRIORS = _TAIL_STEPS * _TEXT_STEPS
"""Steps of the lengths of a tail and of a text, together."""
_SIGN = np.array([0 if code < 32 or code > 126 or chr(code).isalnum() or chr(code) == "_" else code - 31 for code in range(128)])
"""(128,) numbers of the signs of ASCII; 0 for all others."""
# What a row is put together of, after its first: shape, form, whether honest text has the token, and has it there; form and both of
# the token before it, both of the second before it; white space before and behind it; surprise, sign, whether a word or number
# stands before it.
_TOGETHER = np.array([[_FIRST[0], 4, 0, 2, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0],
                      [_FIRST[1], 0, 8, 1, 2, 64, 0, 0, 0, 0, 4, 0, 0, 0, 0],
                      [_FIRST[2], 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0],
                      [_FIRST[3], 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 2, 0, 8, 1],
                      [_FIRST[4], 0, 1, 256, 128, 0, 64, 32, 16, 8, 0, 0, 0, 0, 0]], dtype=np.int64)  # fmt: skip


class Suffix:
    """The log odds of what ends a text.

    Args:
        weights: `suffix_table` (ROWS,), `suffix_priors` (PRIORS,); `suffix_scale`, `suffix_bias`, numbers.

    Raises:
        KeyError: one is missing.
    """

    def __init__(self, weights: Mapping[str, NDArray[Any]]) -> None:
        self._table = weights["suffix_table"].astype(np.float32)
        self._priors = weights["suffix_priors"].astype(np.float32)
        self._scale, self._bias = float(weights["suffix_scale"]), float(weights["suffix_bias"])

    def most(self, read: Read) -> tuple[float, int, int] | None:
        """Calibrated log odds of the most suspicious tail, and its tokens [start, end); None for a text that is too short."""
        n = len(read)
        if n < LEAST:
            return None
        tail = tails(n)
        # What the last 0, 1, 2 ... tokens come to.
        sums = np.zeros(min(n, MOST) + 1, dtype=np.float32)
        self._table.take(rows(read)).sum(0)[::-1].cumsum(out=sums[1:])
        raw = (sums.take(tail.far) - sums.take(tail.near)) / tail.roots + self._priors.take(tail.priors)
        best = int(raw.argmax())
        return float(raw[best]) * self._scale + self._bias, n - int(tail.far[best]), n - int(tail.near[best])


@dataclass(frozen=True, slots=True)
class Tails:
    """The tails of a text."""

    far: NDArray[np.int64]
    """Tokens from the beginning of each to the end of the text."""
    near: NDArray[np.int64]
    """Tokens behind each."""
    roots: NDArray[np.float32]
    """Of how many tokens each has."""
    priors: NDArray[np.int64]
    """Steps of the lengths of each and of the text."""


@cache
def _tails(count: int, step: int) -> Tails:
    sizes, behind = [], []
    for near in (0, BEHIND):
        held = [*(size for size in TAILS if size < count - near), *([count - near] if LEAST <= count - near <= TAILS[-1] else [])]
        sizes += held
        behind += [near] * len(held)
    size, near_end = np.array(sizes, dtype=np.int64), np.array(behind, dtype=np.int64)
    priors = np.minimum(2 * np.log2(size), _TAIL_STEPS - 1).astype(np.int64) * _TEXT_STEPS + step
    return Tails(size + near_end, near_end, np.sqrt(size).astype(np.float32), priors)


def tails(n: int) -> Tails:
    """Of a text of `n` tokens, at least LEAST."""
    return _tails(min(n, MOST + 1), min(int(2 * math.log2(n)), _TEXT_STEPS - 1))


def rows(read: Read) -> NDArray[np.int64]:
    """(LOOKUPS, m) rows of the last m tokens, as many as the longest tail has with what may stand behind it."""
    first = max(len(read) - MOST - 2, 0)
    starts, ends = read.starts[first:], read.ends[first:]
    n = len(starts)
    told = np.zeros((len(_TOGETHER[0]), n), dtype=np.int64)
    told[0] = 1
    told[1] = read.rows[first:, features.HASHED]
    np.right_shift(told[1], 3, out=told[2])
    held = read.known[first:]
    held = held[1:] - held[:-1]
    np.bitwise_and(held, 1, out=told[3])
    np.right_shift(held, features.KNOWN_BITS, out=told[4])
    told[5:8, 1:] = told[2:5, :-1]
    told[8:10, 2:] = told[3:5, :-2]
    # White space before each token, and behind it; there is some around a text.
    told[10:12] = 1
    spaced = starts[1:] > ends[:-1]
    told[10, 1:] = spaced
    told[11, :-1] = spaced
    bits = read.surprise.take(ends) - read.surprise.take(starts)
    bits = bits / (ends - starts)
    bits *= _BITS_STEP
    told[12] = np.minimum(bits, _BITS - 1, out=bits)
    told[13] = _SIGN.take(read.first[first:], mode="clip")
    told[14] = told[5] > 0
    found: NDArray[np.int64] = _TOGETHER @ told
    return found[:, max(n - MOST, 0) :]
