"""Examples as bags of stretches, the form that the injection classifier is fitted on. Knows features, no weights.

A bag attacks if one of its stretches does, which is how the classifier reads a text: its score is that of the most suspicious
stretch. A question is one bag. A document is up to two: the sentences in which an instruction hides, and all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.guard.classifier import features
from services.guard.classifier.concepts import Concepts
from services.guard.classifier.features import Kind
from training.injection_data import Example

MOST_TOKENS = 400
"""Of an example; a longer one is cut, around what attacks."""
MOST_STRETCHES = 64


@dataclass(frozen=True)
class Honest:
    """What honest text is made of, as `features.read` takes it."""

    surprise: NDArray[np.float32]
    known: NDArray[np.bool_]
    concepts: Concepts


@dataclass(frozen=True)
class Bags:
    """b bags with m stretches over t tokens, of one kind."""

    rows: NDArray[np.int32]
    """(t, LOOKUPS)."""
    starts: NDArray[np.int64]
    """(m,) tokens of the stretches [start, end)."""
    ends: NDArray[np.int64]
    steps: NDArray[np.int16]
    """(m, TOLD)."""
    first: NDArray[np.int64]
    """(b + 1,) the first stretch of each bag."""
    tokens: NDArray[np.int64]
    """(b + 1,) a token before which everything of the bags before it stands; bags of one text share theirs."""
    attack: NDArray[np.bool_]
    """(b,)."""
    example: NDArray[np.int64]
    """(b,) number of the example."""

    def __len__(self) -> int:
        return len(self.attack)


def bags_of(examples: Sequence[Example], kind: Kind, honest: Honest, *, whole: bool = False) -> Bags:
    """The bags of the examples of a kind, in order.

    Args:
        whole: long texts are not cut.
    """
    rows, starts, ends, steps, sizes, begins, attack, numbers = [], [], [], [], [], [], [], []
    at = 0
    for number, example in enumerate(examples):
        if example.kind != kind:
            continue
        read = features.read(example.text, honest.surprise, honest.known, honest.concepts, placed=kind == "question")
        if not len(read):
            continue
        first, last = read.stretches(kind)
        low, high = (0, len(read)) if whole else _kept(example, read)
        inside = np.flatnonzero((first >= low) & (last <= high))
        if not len(inside):
            continue
        first, last = first[inside], last[inside]
        hostile = np.full(len(first), example.attack)
        told = features.steps(read.numbers(first, last)).astype(np.int16)
        for label in (True, False):
            fitting = hostile == label if kind == "question" else _sides(example, read, first, last, label)
            chosen = np.flatnonzero(fitting)
            if not len(chosen):
                continue
            chosen = chosen if whole else chosen[:MOST_STRETCHES]
            starts.append(first[chosen] - low + at)
            ends.append(last[chosen] - low + at)
            steps.append(told[chosen])
            sizes.append(len(chosen))
            begins.append(at)
            attack.append(label)
            numbers.append(number)
        rows.append(read.rows[low:high])
        at += high - low
    if not rows:
        none, first = np.zeros(0, dtype=np.int64), np.zeros(1, dtype=np.int64)
        empty, untold = np.zeros((0, features.LOOKUPS), dtype=np.int32), np.zeros((0, features.TOLD), dtype=np.int16)
        return Bags(empty, none, none, untold, first, first, none > 0, none)
    return Bags(
        np.concatenate(rows),
        np.concatenate(starts),
        np.concatenate(ends),
        np.concatenate(steps),
        np.concatenate([[0], np.cumsum(sizes)]),
        np.array([*begins, at]),
        np.array(attack),
        np.array(numbers),
    )


def _kept(example: Example, read: features.Read) -> tuple[int, int]:
    """The tokens of a long example that are looked at: those around what attacks; of a question both ends see its place."""
    n = len(read)
    if n <= MOST_TOKENS or (example.kind == "question" and not example.attack and n <= 4 * MOST_TOKENS):
        return 0, n
    if example.payload is None:
        return 0, n if example.kind == "question" else MOST_TOKENS
    middle = int(np.searchsorted(read.starts, example.payload[0]))
    low = max(0, min(middle - MOST_TOKENS // 2, n - MOST_TOKENS))
    return low, low + MOST_TOKENS


def _inside(
    example: Example, read: features.Read, first: NDArray[np.int64], last: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Characters of each stretch that lie in the payload, and of each stretch."""
    if example.payload is None:
        return np.zeros(len(first), dtype=np.int64), read.ends[last - 1] - read.starts[first]
    low, high = read.starts[first], read.ends[last - 1]
    inside = np.minimum(high, example.payload[1]) - np.maximum(low, example.payload[0])
    return np.maximum(inside, 0), high - low


def _sides(
    example: Example, read: features.Read, first: NDArray[np.int64], last: NDArray[np.int64], label: bool
) -> NDArray[np.bool_]:
    """Stretches that are mostly the instruction; or those without any of it."""
    inside, length = _inside(example, read, first, last)
    found: NDArray[np.bool_] = inside >= 0.5 * length if label else inside == 0
    return found
