"""The classifier's sums: weights of a token's rows, added up over stretches, and what a stretch's numbers add.

With w the weights of a kind, r the rows of the n tokens of a stretch and b the steps of its numbers, the log odds are
scale * (sum of w[r] / sqrt(n) + sum of v[b]) + bias. Sums over tokens are differences of one cumulative sum, so that any number of
stretches costs one look at each token. Knows no text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

KINDS = ("question", "document")
Floats = NDArray[np.float32]


class Linear:
    """The log odds of stretches.

    Args:
        weights: for each kind of KINDS `{kind}_table` (ROWS,) int8 with `{kind}_step`, a number that it is multiplied by;
            `{kind}_steps` (STEPS,); `{kind}_scale`, `{kind}_bias`, numbers.

    Raises:
        KeyError: one is missing.
    """

    def __init__(self, weights: Mapping[str, NDArray[Any]]) -> None:
        self._tables = {kind: weights[f"{kind}_table"].astype(np.float32) * np.float32(weights[f"{kind}_step"]) for kind in KINDS}
        self._steps = {kind: weights[f"{kind}_steps"].astype(np.float32) for kind in KINDS}
        self._lines = {kind: (float(weights[f"{kind}_scale"]), float(weights[f"{kind}_bias"])) for kind in KINDS}

    def logits(
        self, rows: NDArray[np.int32], starts: NDArray[np.int64], ends: NDArray[np.int64], steps: NDArray[np.int64], kind: str
    ) -> Floats:
        """(m,) of the stretches [start, end), none of them empty: calibrated log odds of an attack.

        Args:
            rows: (n, LOOKUPS) of the tokens.
            steps: (m, TOLD) of the stretches.
        """
        scale, bias = self._lines[kind]
        raw = stretch_sums(self._tables[kind].take(rows).sum(1), starts, ends) + self._steps[kind].take(steps).sum(1)
        found: Floats = (raw * scale + bias).astype(np.float32)
        return found


def stretch_sums(tokens: NDArray[np.floating[Any]], starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.float64]:
    """(m,) sums of what the tokens of each stretch weigh, by the root of how many there are."""
    sums = np.zeros(len(tokens) + 1)
    tokens.cumsum(dtype=np.float64, out=sums[1:])
    found: NDArray[np.float64] = (sums.take(ends) - sums.take(starts)) / np.sqrt(ends - starts)
    return found
