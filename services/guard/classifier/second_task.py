"""A second task behind an application's text: a naive injection, which has no word of an attack and only stands in the wrong place.

An application asks for something, gives the text to do it with, and somewhere in that text a task of its own follows. First each
sentence is told apart into task or text by what it says; then each sentence behind the first is judged by what stands around it:
how much of a task it is and what came before it, how much text lies between, what it repeats of it, and its own words ("now
translate it" belongs to the text, "name three animals" does not). With r the rows of a sentence's tokens and first words,

    task = a[r] + a0                            how much of a task a sentence is
    log odds = scale * (b[r] + w2 tanh(W1 x + b1)) + bias       x: NUMBERS numbers of the sentence in its text

Nothing is looked at that `features.read` has not read already. The recipe (training/injection_second.py) trains on exactly this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.guard.classifier.features import _RESERVED, HASHED, ROWS, TABLE_BITS, Read
from services.guard.classifier.linear import stretch_sums

LEAST_TOKENS, LEAST_SENTENCES = 10, 2
"""What is shorter has no application, no text and no second task."""
MOST_SENTENCES = 256
NUMBERS = 14
HIDDEN = 16
FIRST_WORDS, WORDS_BEFORE = 3, 4
UNPLACED = 11
"""Rows of a token that do not know where in the text it stands: the first ones."""
_FIRST_SALTS = np.array([0x15A3F, 0x2C96B, 0x38D15], dtype=np.int64)
_BEFORE_SALTS = np.array([0x0B6D3, 0x1E2A7, 0x27F59, 0x34C1D], dtype=np.int64)
BEGINS = 1.5
"""What a capitalised word must weigh as the first of a task so that a sentence begins with it, though none has ended."""
_CAPITALISED = 5
_LONG_WORD = 4
_NEWLINE = 10
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sentences:
    """s sentences of a text: half-open ranges of tokens."""

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    firsts: NDArray[np.int64]
    """(s, FIRST_WORDS) rows of the first words, by their place."""
    before: NDArray[np.int64]
    """(s, WORDS_BEFORE) rows of what stands before it, by its place; the first sentence has its own."""


def sentences_of(read: Read, task: NDArray[np.floating[Any]]) -> Sentences | None:
    """The sentences; None where there are too few for a second task.

    Args:
        task: (ROWS,) weights of tasks: a sentence also begins with a capitalised word that tasks begin with.
    """
    n = len(read)
    if n < LEAST_TOKENS:
        return None
    starts, _ = read.sentences()
    starts = starts[: (len(starts) + 1) // 2]
    shape = (read.rows[:, HASHED] >> 3) == _CAPITALISED
    likely = np.flatnonzero(shape)
    likely = likely[task.take(_placed(read.rows[likely, 0], _FIRST_SALTS[0])) > BEGINS]
    # Not with the first words of a sentence: those are its own.
    behind = likely - starts[np.searchsorted(starts, likely, side="right") - 1]
    starts = np.union1d(starts, likely[behind >= FIRST_WORDS])[-MOST_SENTENCES:]
    if len(starts) < LEAST_SENTENCES:
        return None
    return among(read, starts, np.append(starts[1:], n))


def among(read: Read, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> Sentences:
    """The stretches [start, end) of tokens as sentences."""
    # The end of a line that a sentence begins with is not its first word.
    words = starts + (read.first[starts] == _NEWLINE)
    at = np.minimum(words[:, None] + np.arange(FIRST_WORDS), ends[:, None] - 1)
    before = np.maximum(starts[:, None] - 1 - np.arange(WORDS_BEFORE), 0)
    return Sentences(starts, ends, _placed(read.rows[at, 0], _FIRST_SALTS), _placed(read.rows[before, 0], _BEFORE_SALTS))


def _placed(rows: NDArray[np.int32], salts: NDArray[np.int64] | np.int64) -> NDArray[np.int64]:
    """Rows of words at a place of their own."""
    found: NDArray[np.int64] = ((rows.astype(np.int64) - _RESERVED) ^ salts) % (1 << TABLE_BITS) + _RESERVED
    return found


def said(table: NDArray[np.floating[Any]], read: Read, found: Sentences) -> Floats:
    """(s,) what the words of each sentence weigh."""
    sums = stretch_sums(table.take(read.rows[:, :UNPLACED]).sum(1), found.starts, found.ends)
    total: Floats = sums + table.take(found.firsts).sum(1)
    return total


def numbers_of(read: Read, found: Sentences, task: Floats) -> NDArray[np.float64]:
    """(s - 1, NUMBERS) of each sentence but the first, in its text.

    Args:
        task: (s,) how much of a task each sentence is.
    """
    s = len(task)
    size = found.ends - found.starts
    out = np.empty((s - 1, NUMBERS))
    bounded = np.clip(task, -6, 6) / 3
    own = bounded[1:]
    out[:, 0] = own
    out[:, 1] = bounded[0]
    head = np.maximum.accumulate(bounded)[:-1]
    out[:, 2] = head
    # How much text there is before it: tokens by how little of a task their sentence is.
    text = np.cumsum(size / (1 + np.exp(np.clip(2 * task, -30, 30))))
    out[:, 3] = np.log2(1 + text[:-1]) / 6
    out[:, 4] = np.log2(1 + found.starts[1:]) / 6
    out[:, 5] = np.log2(1 + len(read) - found.ends[1:]) / 6
    out[:, 6] = np.minimum.accumulate(bounded)[:-1]
    out[:, 7] = bounded[:-1]
    after = np.append(np.maximum.accumulate(bounded[:0:-1])[::-1][1:], -2.0)
    out[:, 8] = after
    out[:, 9] = _repeated(read, found)[1:]
    out[:, 10] = read.first[np.maximum(found.starts[1:] - 1, 0)] == _NEWLINE
    out[:, 11] = np.log2(1 + size[1:]) / 5
    tasks = np.cumsum(task > 0)
    out[:, 12] = np.log2(1 + tasks[:-1]) / 3
    out[:, 13] = np.log2(s) / 5
    return out


def _repeated(read: Read, found: Sentences) -> Floats:
    """(s,) share of each sentence's longer words that stand before it."""
    words = read.rows[:, 0]
    longer = (read.ends - read.starts) >= _LONG_WORD
    _, first, same = np.unique(words, return_index=True, return_inverse=True)
    begin = np.repeat(found.starts, found.ends - found.starts)
    seen = np.zeros(len(read), dtype=np.int64)
    low, high = int(found.starts[0]), int(found.ends[-1])
    seen[low:high] = (first[same][low:high] < begin) & longer[low:high]
    said_before = np.concatenate([[0], np.cumsum(seen)])
    all_longer = np.concatenate([[0], np.cumsum(longer)])
    count = all_longer[found.ends] - all_longer[found.starts]
    share: Floats = (said_before[found.ends] - said_before[found.starts]) / np.maximum(count, 1)
    return share


class SecondTask:
    """The log odds that a sentence is a second task.

    Args:
        weights: `task_table` and `second_table` (ROWS,) int8 with `task_step`, `second_step`; `task_bias`; `second_in`
            (NUMBERS, HIDDEN), `second_hidden` (HIDDEN,), `second_out` (HIDDEN,), `second_scale`, `second_bias`.

    Raises:
        KeyError: one is missing.
    """

    def __init__(self, weights: Mapping[str, NDArray[Any]]) -> None:
        self._task = weights["task_table"].astype(np.float32) * np.float32(weights["task_step"])
        self._own = weights["second_table"].astype(np.float32) * np.float32(weights["second_step"])
        if self._task.shape != (ROWS,) or self._own.shape != (ROWS,):
            raise ValueError(f"tables of {self._task.shape} and {self._own.shape} are not of {ROWS} rows")
        self._task_bias = float(weights["task_bias"])
        self._in = weights["second_in"].astype(np.float64)
        self._hidden = weights["second_hidden"].astype(np.float64)
        self._out = weights["second_out"].astype(np.float64)
        self._scale, self._bias = float(weights["second_scale"]), float(weights["second_bias"])

    def most(self, read: Read) -> tuple[float, int, int] | None:
        """Calibrated log odds of the most suspicious sentence, and its first and last + 1 token; None where there are too few."""
        found = sentences_of(read, self._task)
        if found is None:
            return None
        task = said(self._task, read, found) + self._task_bias
        x = numbers_of(read, found, task)
        own = said(self._own, read, found) + self._own.take(found.before).sum(1)
        raw = own[1:] + np.tanh(x @ self._in + self._hidden) @ self._out
        best = int(raw.argmax())
        return float(raw[best]) * self._scale + self._bias, int(found.starts[best + 1]), int(found.ends[best + 1])
