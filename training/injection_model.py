"""Fits the injection classifier's weights: logistic regression over bags of stretches, by Adam. Knows neither texts nor files.

The same sums as services/guard/classifier/linear.py. A bag's log odds are those of its most suspicious stretch, and only that one
learns: of an honest text the worst stretch, which is hard negative mining in every step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.guard.classifier.features import ALL_ROWS, LOOKUPS, STEPS, TOLD
from services.guard.classifier.linear import stretch_sums
from training.injection_bags import Bags

DECAY = 3e-6
DROPPED = 0.3
"""Share of the tokens' rows that a step does not see."""
BATCH = 1_024
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Learning:
    """How long, how fast, and how sure of its attacks a kind is taught."""

    epochs: int
    rate: float = 0.02
    smoothing: float = 0.0
    """What is taken from the probability that an attack is taught to have: what is drawn is soon known by heart, and would
    go on to count for more than what is seldom."""
    runs: int = 1
    """Models, each of its own order of the bags, whose mean is the model."""


@dataclass
class LinearModel:
    """Weights of one kind."""

    table: NDArray[np.float32]
    steps: NDArray[np.float32]
    bias: float = 0.0

    @classmethod
    def empty(cls) -> LinearModel:
        return cls(np.zeros(ALL_ROWS, dtype=np.float32), np.zeros(STEPS, dtype=np.float32))

    @classmethod
    def mean(cls, models: Sequence[LinearModel]) -> LinearModel:
        """The mean of some: what one learnt by chance is less of it."""
        table, steps = (np.mean([getattr(one, name) for one in models], axis=0) for name in ("table", "steps"))
        return cls(table, steps, float(np.mean([one.bias for one in models])))

    def bag_logits(self, bags: Bags, first: int = 0, last: int | None = None) -> tuple[Floats, NDArray[np.int64]]:
        """(b,) of the bags [first, last): log odds, and the stretch that they are of."""
        last = len(bags) if last is None else last
        low, high = bags.first[first], bags.first[last]
        begin = bags.tokens[first]
        end = int(bags.ends[low:high].max())
        starts, ends = bags.starts[low:high] - begin, bags.ends[low:high] - begin
        raw = stretch_sums(self.table.take(bags.rows[begin:end]).sum(1), starts, ends)
        raw = raw + self.steps.take(bags.steps[low:high]).sum(1) + self.bias
        edges = bags.first[first:last] - low
        most = np.maximum.reduceat(raw, edges)
        sizes = np.diff(np.append(edges, high - low))
        hit = np.flatnonzero(raw >= np.repeat(most, sizes))
        owner = np.searchsorted(edges, hit, side="right") - 1
        _, kept = np.unique(owner, return_index=True)
        return most, hit[kept] + low

    def arrays(self, kind: str, scale: float, bias: float) -> dict[str, NDArray[Any]]:
        """As services/guard/classifier/linear.py reads them; the bias of the model goes into `bias`."""
        step = max(float(np.abs(self.table).max()) / 127, 1e-9)
        return {
            f"{kind}_table": np.round(self.table / step).astype(np.int8),
            f"{kind}_step": np.array(step, dtype=np.float32),
            f"{kind}_steps": self.steps.astype(np.float32),
            f"{kind}_scale": np.array(scale, dtype=np.float32),
            f"{kind}_bias": np.array(bias + scale * self.bias, dtype=np.float32),
        }


def fit(bags: Bags, weights: Floats, learning: Learning, seed: int, say: Callable[[int, float], None]) -> LinearModel:
    """
    Args:
        weights: (b,) how much each bag counts.
        say: told the epoch and its mean loss.
    """
    return LinearModel.mean([_fit(bags, weights, learning, seed + run, say) for run in range(learning.runs)])


def _fit(bags: Bags, weights: Floats, learning: Learning, seed: int, say: Callable[[int, float], None]) -> LinearModel:
    rng = np.random.default_rng(seed)
    model = LinearModel.empty()
    size = ALL_ROWS + STEPS + 1
    values, mean, square = np.zeros(size, dtype=np.float32), np.zeros(size, dtype=np.float32), np.zeros(size, dtype=np.float32)
    model.table, model.steps = values[:ALL_ROWS], values[ALL_ROWS : ALL_ROWS + STEPS]
    edges = np.arange(0, len(bags), BATCH)
    total, step = learning.epochs * len(edges), 0
    for epoch in range(learning.epochs):
        losses = []
        for first in rng.permutation(edges).tolist():
            last = min(first + BATCH, len(bags))
            logits, chosen = model.bag_logits(bags, first, last)
            label = bags.attack[first:last]
            taught, worth = label * (1 - learning.smoothing), weights[first:last]
            probability = 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
            losses.append(float((worth * np.logaddexp(0, np.where(label, -logits, logits))).sum() / worth.sum()))
            gradient = _gradient(bags, chosen, (worth * (probability - taught)) / len(label), rng)
            gradient += DECAY * values
            step += 1
            mean += 0.1 * (gradient - mean)
            square += 0.01 * (gradient * gradient - square)
            rate = learning.rate * 0.5 * (1 + np.cos(np.pi * step / total)) * np.sqrt(1 - 0.99**step) / (1 - 0.9**step)
            values -= (rate * mean / (np.sqrt(square) + 1e-7)).astype(np.float32)
            model.bias = float(values[-1])
        say(epoch, float(np.mean(losses)))
    return model


def _gradient(bags: Bags, chosen: NDArray[np.int64], slope: Floats, rng: np.random.Generator) -> NDArray[np.float32]:
    """(ALL_ROWS + STEPS + 1,) of the stretches chosen."""
    starts, sizes = bags.starts[chosen], bags.ends[chosen] - bags.starts[chosen]
    offsets = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    tokens = np.arange(int(sizes.sum())) - np.repeat(offsets - starts, sizes)
    each = np.repeat(slope / np.sqrt(sizes), sizes)
    seen = rng.random((len(tokens), LOOKUPS), dtype=np.float32) >= DROPPED
    told = (each[:, None] * seen).reshape(-1)
    table = np.bincount(bags.rows[tokens].reshape(-1), weights=told, minlength=ALL_ROWS)
    steps = np.bincount(bags.steps[chosen].reshape(-1), weights=np.repeat(slope, TOLD), minlength=STEPS)
    return np.concatenate([table, steps, [slope.sum()]]).astype(np.float32)
