"""Fits what tells optimised suffixes: logistic regression over the tails of texts, of which only the most suspicious learns.

The same sums as services/guard/classifier/suffix.py. Takes texts, gives weights; knows no files.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.guard.classifier import features, suffix
from training.injection_bags import Honest
from training.injection_data import Example

HONEST = 20_000
"""Honest questions that suffixes are told from, at most."""
EPOCHS, RATE, DECAY = 120, 0.05, 1e-6
SMOOTHING = 0.02
WORTH = 0.3
"""How much a suffix counts beside an honest text: hardly one of those may be disturbed."""
_SIZE = suffix.ROWS + suffix.PRIORS
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Tails:
    """t texts with m tails over their last tokens."""

    rows: NDArray[np.int64]
    """(tokens, suffix.LOOKUPS)."""
    starts: NDArray[np.int64]
    """(m,) tokens of the tails [start, end)."""
    ends: NDArray[np.int64]
    priors: NDArray[np.int64]
    """(m,) steps of their lengths."""
    first: NDArray[np.int64]
    """(t,) the first tail of each text."""
    numbers: NDArray[np.int64]
    """(t,) which of the texts that were given: short ones are left out."""

    def most(self, weights: Floats) -> tuple[Floats, NDArray[np.int64]]:
        """(t,) of the most suspicious tail of each text: what it comes to, and its number."""
        sums = np.concatenate([[0.0], np.cumsum(weights[: suffix.ROWS].take(self.rows).sum(1))])
        raw = (sums.take(self.ends) - sums.take(self.starts)) / np.sqrt(self.ends - self.starts)
        raw += weights[suffix.ROWS :].take(self.priors)
        most = np.maximum.reduceat(raw, self.first)
        sizes = np.diff(np.append(self.first, len(raw)))
        hit = np.flatnonzero(raw >= np.repeat(most, sizes))
        _, kept = np.unique(np.searchsorted(self.first, hit, side="right"), return_index=True)
        return most, hit[kept]


def tails_of(texts: Sequence[str], honest: Honest) -> Tails:
    """The tails of the texts that are long enough to have one."""
    rows, starts, ends, priors, first, numbers = [], [], [], [], [], []
    at = tails = 0
    for number, text in enumerate(texts):
        read = features.read(text, honest.surprise, honest.known, honest.concepts, placed=True)
        if len(read) < suffix.LEAST:
            continue
        own = suffix.rows(read).T
        held = suffix.tails(len(read))
        at += len(own)
        rows.append(own)
        starts.append(at - held.far)
        ends.append(at - held.near)
        priors.append(held.priors)
        first.append(tails)
        numbers.append(number)
        tails += len(held.far)
    tokens, low, high, steps = (np.concatenate(parts) for parts in (rows, starts, ends, priors))
    return Tails(tokens, low, high, steps, np.array(first), np.array(numbers))


@dataclass(frozen=True)
class SuffixModel:
    """What was fitted."""

    weights: Floats
    """(ROWS + PRIORS,)."""
    bias: float

    def logits(self, texts: Sequence[str], honest: Honest) -> Floats:
        """(n,) log odds of each text; -20 for one that is too short."""
        tails = tails_of(texts, honest)
        found = np.full(len(texts), -20.0)
        found[tails.numbers] = tails.most(self.weights)[0] + self.bias
        return found

    def arrays(self, scale: float, bias: float) -> dict[str, NDArray[Any]]:
        """As services/guard/classifier/suffix.py reads them; the bias of the model goes into `bias`."""
        return {
            "suffix_table": self.weights[: suffix.ROWS].astype(np.float16),
            "suffix_priors": self.weights[suffix.ROWS :].astype(np.float16),
            "suffix_scale": np.array(scale, dtype=np.float32),
            "suffix_bias": np.array(bias + scale * self.bias, dtype=np.float32),
        }


def chosen(examples: Sequence[Example], seed: int) -> tuple[list[str], NDArray[np.float64]]:
    """Texts, and whether each ends in a suffix: the drawn suffixes, and honest questions by chance."""
    honest = [one.text for one in examples if one.kind == "question" and not one.attack]
    random.Random(seed).shuffle(honest)
    suffixed = [one.text for one in examples if one.source == "suffix"]
    return suffixed + honest[:HONEST], np.repeat([1.0, 0.0], [len(suffixed), len(honest[:HONEST])])


def fit(examples: Sequence[Example], honest: Honest, seed: int) -> SuffixModel:
    """By Adam, all tails in each step."""
    texts, labels = chosen(examples, seed)
    tails = tails_of(texts, honest)
    labels = labels[tails.numbers]
    taught, worth = labels * (1 - SMOOTHING), np.where(labels > 0, WORTH, 1.0)
    values, mean, square = np.zeros(_SIZE + 1), np.zeros(_SIZE + 1), np.zeros(_SIZE + 1)
    for step in range(1, EPOCHS + 1):
        most, at = tails.most(values[:-1])
        slope = worth * (1 / (1 + np.exp(-np.clip(most + values[-1], -30, 30))) - taught) / len(labels)
        gradient = _gradient(tails, at, slope) + DECAY * values
        mean += 0.1 * (gradient - mean)
        square += 0.01 * (gradient * gradient - square)
        rate = RATE * 0.5 * (1 + np.cos(np.pi * step / EPOCHS)) * np.sqrt(1 - 0.99**step) / (1 - 0.9**step)
        values -= rate * mean / (np.sqrt(square) + 1e-6)
    return SuffixModel(values[:-1], float(values[-1]))


def _gradient(tails: Tails, at: NDArray[np.int64], slope: Floats) -> Floats:
    """(_SIZE + 1,) of the tails `at`."""
    starts, sizes = tails.starts[at], tails.ends[at] - tails.starts[at]
    offsets = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    tokens = np.arange(int(sizes.sum())) - np.repeat(offsets - starts, sizes)
    each = np.repeat(slope / np.sqrt(sizes), sizes)
    table = np.bincount(tails.rows[tokens].reshape(-1), np.repeat(each, suffix.LOOKUPS), suffix.ROWS)
    priors = np.bincount(tails.priors[at], slope, suffix.PRIORS)
    return np.concatenate([table, priors, [slope.sum()]])
