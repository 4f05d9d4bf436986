"""The classifier's network in NumPy: a table of rows, two convolutions over tokens, pooling over stretches, one head for each kind.

Shapes: n tokens, m stretches, D = 32 columns of the table, C = 64 channels. Knows no text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
DILATION = 2
HEADS = ("question", "document")
_AT_ONCE = 1_024
"""Tokens that are looked up at once: the rows of more would not stay in the cache."""


class Network:
    """The forward pass.

    Args:
        weights: `table` (ROWS, D) int8 and `table_scale` (ROWS,) float16; `near`, `far` (3 * D, C) and (3 * C, C) with biases;
            for each kind of HEADS `{kind}_hidden` (3 * C + numbers, H), `{kind}_out` (H,), biases; `temperature` (2,).

    Raises:
        KeyError: one is missing.
    """

    def __init__(self, weights: Mapping[str, NDArray[Any]]) -> None:
        self._table: Floats = weights["table"].astype(np.float32) * weights["table_scale"].astype(np.float32)[:, None]
        self._floats = {
            name: np.ascontiguousarray(value, dtype=np.float32)
            for name, value in weights.items()
            if name not in ("table", "table_scale")
        }

    def channels(self, rows: NDArray[np.int32]) -> Floats:
        """(n, LOOKUPS) rows to (n, C) channels, each of which sees seven tokens."""
        weights = self._floats
        summed = np.empty((len(rows), self._table.shape[1]), dtype=np.float32)
        for at in range(0, len(rows), _AT_ONCE):
            np.add.reduce(self._table.take(rows[at : at + _AT_ONCE], axis=0), axis=1, out=summed[at : at + _AT_ONCE])
        near = _convolved(summed, weights["near"], weights["near_bias"], 1)
        return near + _convolved(near, weights["far"], weights["far_bias"], DILATION)

    def logits(self, channels: Floats, starts: NDArray[np.int64], ends: NDArray[np.int64], numbers: Floats, kind: str) -> Floats:
        """(m,) of the stretches [start, end), none of them empty: calibrated log odds of an attack."""
        if len(starts) == 1 and ends[0] - starts[0] == len(channels):
            mean = np.add.reduce(channels, axis=0) / np.float32(len(channels))
            joined = np.concatenate([np.maximum.reduce(channels, axis=0), mean, mean, numbers[0]])[None]
            return self._head(joined, kind)
        # reduceat over the edges start, end, start, end ...: every second stretch is wanted.
        edges = np.stack([starts, ends], axis=1).reshape(-1)
        padded = np.vstack([channels, channels[-1:]])
        most = np.maximum.reduceat(padded, edges, axis=0)[::2]
        sums = np.zeros((len(channels) + 1, channels.shape[1]), dtype=np.float32)
        np.cumsum(channels, axis=0, out=sums[1:])
        mean = (sums[ends] - sums[starts]) / (ends - starts)[:, None]
        around = np.broadcast_to(sums[-1] / len(channels), mean.shape)
        joined = np.concatenate([most, mean, around, numbers], axis=1, dtype=np.float32)
        return self._head(joined, kind)

    def _head(self, joined: Floats, kind: str) -> Floats:
        weights = self._floats
        hidden = np.maximum(joined @ weights[f"{kind}_hidden"] + weights[f"{kind}_hidden_bias"], 0)
        found: Floats = (hidden @ weights[f"{kind}_out"] + weights[f"{kind}_out_bias"]) / weights["temperature"][HEADS.index(kind)]
        return found


def _convolved(values: Floats, weight: Floats, bias: Floats, dilation: int) -> Floats:
    """Three taps, zeros beyond the ends, rectified."""
    n, width = values.shape
    wide = np.zeros((n, 3 * width), dtype=np.float32)
    wide[dilation:, :width] = values[: max(n - dilation, 0)]
    wide[:, width : 2 * width] = values
    wide[: max(n - dilation, 0), 2 * width :] = values[dilation:]
    found: Floats = np.maximum(wide @ weight + bias, 0)
    return found
