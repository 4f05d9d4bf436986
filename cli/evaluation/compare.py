"""`ragmesh eval compare`: the paired bootstrap between two runs over the same items.

Items are drawn with replacement, 10,000 times, the same ones for both runs; the difference of each figure over the draws has the
interval from its 2.5th to its 97.5th percentile. A difference is significant where that interval leaves 0 out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cli.errors import EXIT_USAGE, CliError
from cli.evaluation.figures import AT_THRESHOLD, KINDS, Column, Figure, column, mean, share
from cli.evaluation.run import StoredRun

RESAMPLES = 10_000
SEED = 20261121
_AT_ONCE = 200
_TIMES = ("p50_ms", "p95_ms", "ttft_p50_ms", "ttft_p95_ms")
"""Figures of the machine as much as of the models: compared, and never a drop."""


@dataclass(frozen=True)
class Difference:
    """One figure of one row: B less A."""

    row: str
    figure: str
    a: float
    b: float
    low: float
    high: float
    higher_is_better: bool

    @property
    def is_drop(self) -> bool:
        """B is worse, and not by chance."""
        if self.figure in _TIMES:
            return False
        return self.high < 0 if self.higher_is_better else self.low > 0


def differences(a: StoredRun, b: StoredRun, resamples: int = RESAMPLES) -> list[Difference]:
    """Every figure that both runs have.

    Raises:
        CliError: the runs are of two kinds, or share no items.
    """
    if a.kind != b.kind:
        raise CliError(f"One run is of `{a.kind}`, the other of `{b.kind}`.", "Compare two runs of one kind.", exit_code=EXIT_USAGE)
    found: list[Difference] = []
    for row in (name for name in a.rows if name in b.rows):
        ids = [name for name in a.marks[row] if name in b.marks[row]]
        if not ids:
            raise CliError("The two runs have no items in common.", "Compare runs over the same file.", exit_code=EXIT_USAGE)
        ours, theirs = ([run.marks[row][name] for name in ids] for run in (a, b))
        for figure in KINDS[a.kind]:
            if figure.name != "n" and (difference := _difference(row, figure, ours, theirs, resamples)) is not None:
                found.append(difference)
        for figure in AT_THRESHOLD.get(a.kind, ()):
            if (difference := _difference(row, figure, ours, theirs, resamples)) is not None:
                found.append(replace(difference, figure=f"at_threshold.{figure.name}"))
    return found


def unpaired(a: StoredRun, b: StoredRun) -> int:
    """Items that only one of the runs has."""
    first, second = (set(next(iter(run.marks.values()), {})) for run in (a, b))
    return len(first ^ second)


def _difference(
    row: str, figure: Figure, a: Sequence[dict[str, Any]], b: Sequence[dict[str, Any]], resamples: int
) -> Difference | None:
    ours, theirs = ([column(marks, name) for name in figure.columns] for marks in (a, b))
    before, after = figure.compute(*ours), figure.compute(*theirs)
    if before is None or after is None:
        return None
    drawn = _bootstrap(figure, ours, theirs, resamples)
    known = drawn[~np.isnan(drawn)]
    low, high = np.percentile(known, [2.5, 97.5]) if len(known) else (math.nan, math.nan)
    return Difference(row, figure.name, before, after, float(low), float(high), figure.higher_is_better)


def _bootstrap(figure: Figure, ours: list[Column], theirs: list[Column], resamples: int) -> NDArray[np.float64]:
    """(resamples,) differences of the figure over items drawn with replacement."""
    generator = np.random.default_rng(SEED)
    count = len(ours[0])
    if all(np.array_equal(x, y, equal_nan=True) for x, y in zip(ours, theirs, strict=True)):
        return np.zeros(resamples)
    if figure.compute in (share, mean):
        scale = 100.0 if figure.compute is share else 1.0
        parts = []
        for at in range(0, resamples, _AT_ONCE):
            weights = generator.multinomial(count, np.full(count, 1 / count), size=min(_AT_ONCE, resamples - at)).astype(np.float64)
            parts.append(scale * (_weighted(theirs[0], weights) - _weighted(ours[0], weights)))
        return np.concatenate(parts)
    found = np.full(resamples, math.nan)
    for n in range(resamples):
        chosen = generator.integers(0, count, count)
        before = figure.compute(*(values[chosen] for values in ours))
        after = figure.compute(*(values[chosen] for values in theirs))
        if before is not None and after is not None:
            found[n] = after - before
    return found


def _weighted(values: Column, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """(draws,) means of those that count; NaN where a draw has none."""
    known = (~np.isnan(values)).astype(np.float64)
    totals = weights @ known
    return np.divide(weights @ np.nan_to_num(values), totals, out=np.full(len(weights), math.nan), where=totals > 0)
