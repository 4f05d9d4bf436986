"""Fits what the check of drafts decides by: from which probabilities of the verifier on a claim is so, and the confidence.

    supported     the middle of the probabilities at which VERIFIED tells faithful from corrupted answers best: balanced accuracy,
                  each source counting alike
    contradicted  the lowest at which the verifier holds back at most `MOST_HELD` of the faithful answers of each source; then most
                  corrupted ones are held back

One after the other, each over a grid, then the confidence at both. Sources are our own pairs, all kinds of them together, and each
of `CLAIMS`. Knows no method and no model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from cli.evaluation.output import InProcess, Judged, OutputRow, OutputRun, checker, fitted
from services.guard.output.thresholds import Thresholds

SUPPORTED = tuple(round(0.2 + 0.05 * step, 2) for step in range(15))
CONTRADICTED = tuple(round(0.5 + 0.03 * step, 2) for step in range(16))
_START = Thresholds(0.5, 0.8)
_NEVER = 1.01
MOST_HELD = 0.05
"""Share of right answers that the verifier may hold back, of those that it is asked about. A wrong one that it lets pass is still
marked UNVERIFIED."""
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

    sources = [row.kind if row.kind in CLAIMS else "" for row in pairs]
    each = [np.array([one == source for one in sources]) for source in sorted(set(sources))]
    each = [own for own in each if (own & faithful).any() and (own & ~faithful).any()]
    accuracy = []
    for value in SUPPORTED:
        verified = np.array([one.verified for one in judged(value, _START.contradicted)])
        told = [verified[own & faithful].mean() + (~verified[own & ~faithful]).mean() for own in each]
        accuracy.append(float(np.mean(told)) / 2)
    best = [value for value, reached in zip(SUPPORTED, accuracy, strict=True) if reached >= max(accuracy) - _SAME]
    supported = best[len(best) // 2]
    without = np.array([one.held_back for one in judged(supported, _NEVER)])
    contradicted = CONTRADICTED[-1]
    for value in reversed(CONTRADICTED):
        held = np.array([one.held_back for one in judged(supported, value)]) & ~without
        if any(held[own & faithful & ~without].mean() > MOST_HELD for own in each):
            break
        contradicted = value
    known = [(row, one) for row, one in zip(pairs, judged(supported, contradicted), strict=True) if row.kind not in CLAIMS]
    run = OutputRun([row for row, _ in known], [one for _, one in known], None, None)
    return {"supported": supported, "contradicted": contradicted, **fitted(run)}
