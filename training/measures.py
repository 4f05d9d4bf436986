"""Measures that several recipes report."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def auroc(yes: ArrayLike, no: ArrayLike) -> float:
    """Chance that a positive lies above a negative, ties counting half; NaN where one of them is missing."""
    above, below = np.asarray(yes, dtype=np.float64), np.sort(np.asarray(no, dtype=np.float64))
    if not len(above) or not len(below):
        return float("nan")
    low, high = np.searchsorted(below, above, "left"), np.searchsorted(below, above, "right")
    return float((low + high).mean() / (2 * len(below)))
