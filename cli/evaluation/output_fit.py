"""Fits what the check of drafts decides by: from which probabilities of the verifier on a claim is so, and the confidence.

    supported     the middle of the probabilities at which VERIFIED tells faithful from corrupted answers best (balanced accuracy)
    contradicted  where most corrupted answers are held back, a faithful one that is counting for nine

One after the other, each over a grid, then the confidence at both. Knows no method and no model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from cli.evaluation.output import InProcess, Judged, OutputRow, OutputRun, checker, fitted
from services.guard.output.thresholds import Thresholds

SUPPORTED = tuple(round(0.2 + 0.05 * step, 2) for step in range(15))
CONTRADICTED = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
_START = Thresholds(0.5, 0.8)
_PRICE = 9.0
"""Most composed sentences are right: nine of ten are taken to be. A wrong one that is not held back is still marked UNVERIFIED."""
CLAIMS = frozenset({"fever", "foolmetwice"})
"""Kinds of training/output_claims.py: they say where the verifier errs, but the confidence is about answers, not about claims."""
_SAME = 1e-3


def fit(rows: Sequence[OutputRow], var: Path) -> dict[str, float]:
    """supported, contradicted; slope and intercept of the confidence at these; how many rows the curve rests on.

    Raises:
        ValueError: there are not both faithful and corrupted rows.
    """
    pairs = [row for row in rows if row.label in ("faithful", "corrupted")]
    faithful = np.array([row.label == "faithful" for row in pairs])
    if faithful.all() or not faithful.any():
        raise ValueError("faithful and corrupted rows are needed")
    client = InProcess()

    def judged(supported: float, contradicted: float) -> list[Judged]:
        one: Callable[[OutputRow], Judged] = checker(var, client, Thresholds(supported, contradicted))
        return [one(row) for row in pairs]

    accuracy = []
    for value in SUPPORTED:
        verified = np.array([one.verified for one in judged(value, _START.contradicted)])
        accuracy.append(float(verified[faithful].mean() + (~verified[~faithful]).mean()) / 2)
    best = [value for value, reached in zip(SUPPORTED, accuracy, strict=True) if reached >= max(accuracy) - _SAME]
    supported = best[len(best) // 2]
    gained = []
    for value in CONTRADICTED:
        held = np.array([one.held_back for one in judged(supported, value)])
        gained.append(float(held[~faithful].mean() - _PRICE * held[faithful].mean()))
    contradicted = CONTRADICTED[int(np.argmax(gained))]
    known = [(row, one) for row, one in zip(pairs, judged(supported, contradicted), strict=True) if row.kind not in CLAIMS]
    run = OutputRun([row for row, _ in known], [one for _, one in known], None, None)
    return {"supported": supported, "contradicted": contradicted, **fitted(run)}
