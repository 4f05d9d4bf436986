"""Compares two gradings of the same questions, pair by pair. This module does not know what was graded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 4_000
_CLUSTERS = 8  # documents; with fewer the draws are over questions


@dataclass(frozen=True)
class Difference:
    """What a change did to the mean of a measure."""

    before: float
    after: float
    low: float
    high: float
    """95 % interval of the difference, by paired bootstrap over documents (over questions where documents are few)."""
    better: float
    """Share of the draws in which it is above zero."""


def compare(before: NDArray[np.float64], after: NDArray[np.float64], documents: list[str]) -> Difference:
    """Paired bootstrap over whole documents, whose questions stand and fall together."""
    gain = after - before
    names = sorted(set(documents))
    if len(names) >= _CLUSTERS:
        groups = [np.flatnonzero(np.array(documents) == name) for name in names]
    else:
        groups = [np.array([n]) for n in range(len(gain))]
    sums = np.array([gain[group].sum() for group in groups])
    sizes = np.array([len(group) for group in groups])
    drawn = np.random.default_rng(7).integers(0, len(groups), (DRAWS, len(groups)))
    means = sums[drawn].sum(1) / sizes[drawn].sum(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return Difference(float(before.mean()), float(after.mean()), float(low), float(high), float((means > 0).mean()))
