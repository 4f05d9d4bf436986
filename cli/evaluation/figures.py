"""Figures from marks: each is a pure function of one or more columns with a value for each item, NaN where an item does not count.

Shares are in percent, as the official SQuAD script gives them; AUROC, MRR, nDCG and calibration error are 0 to 1; times in
milliseconds. A figure over nothing is None.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.float64]
"""(items,)"""
WANTED_PRECISION = 0.95


Compute: TypeAlias = Callable[..., float | None]
"""Columns in, figure out."""


@dataclass(frozen=True)
class Figure:
    """One figure of an evaluation."""

    name: str
    columns: tuple[str, ...]
    compute: Compute
    higher_is_better: bool = True


def share(marks: Column) -> float | None:
    """Mean of 0-or-1 marks, in percent."""
    found = mean(marks)
    return None if found is None else 100 * found


def mean(values: Column) -> float | None:
    """Mean of those that count."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def count(values: Column) -> float | None:
    """How many count."""
    return float((~np.isnan(values)).sum())


def ratio(parts: Column, wholes: Column) -> float | None:
    """Sum over sum, in percent."""
    total = float(np.nansum(wholes))
    return 100 * float(np.nansum(parts)) / total if total else None


def percentile(rank: float) -> Compute:
    """Nearest-rank percentile."""

    def compute(*columns: Column) -> float | None:
        known = np.sort(columns[0][~np.isnan(columns[0])])
        return float(known[max(0, math.ceil(rank / 100 * len(known)) - 1)]) if len(known) else None

    return compute


def auroc(scores: Column, positive: Column) -> float | None:
    """Probability that a positive item scores higher than a negative one, ties counting half (Mann-Whitney U)."""
    known = ~np.isnan(scores) & ~np.isnan(positive)
    values, labels = scores[known], positive[known] > 0.5
    positives, negatives = int(labels.sum()), int((~labels).sum())
    if not positives or not negatives:
        return None
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = (ends - (counts - 1) / 2)[inverse]  # the mean rank of each group of equals
    return float((ranks[labels].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def risk_coverage(confidence: Column, right: Column) -> tuple[Column, Column]:
    """Shares of items answered, most confident first, and of wrong ones among them. Equals in confidence come together."""
    known = ~np.isnan(confidence) & ~np.isnan(right)
    order = np.argsort(-confidence[known], kind="stable")
    values, marks = confidence[known][order], right[known][order]
    if not len(values):
        return np.zeros(0), np.zeros(0)
    ends = np.nonzero(np.append(values[1:] != values[:-1], True))[0]
    answered = (ends + 1).astype(np.float64)
    return answered / len(values), 1 - np.cumsum(marks)[ends] / answered


def coverage_at_95(confidence: Column, right: Column) -> float | None:
    """The largest share of all items, in percent, that can be answered with at least 95 % right."""
    covered, risk = risk_coverage(confidence, right)
    if not len(covered):
        return None
    good = covered[risk <= 1 - WANTED_PRECISION + 1e-12]
    return 100 * float(good.max()) if len(good) else 0.0


def calibration_error(confidence: Column, right: Column, bins: int = 10) -> float | None:
    """Expected calibration error over bins of equal width (Guo et al. 2017)."""
    known = ~np.isnan(confidence) & ~np.isnan(right)
    values, marks = confidence[known], right[known]
    if not len(values):
        return None
    places = np.minimum((values * bins).astype(np.int64), bins - 1)
    sizes = np.bincount(places, minlength=bins)
    said = np.bincount(places, weights=values, minlength=bins)
    true = np.bincount(places, weights=marks, minlength=bins)
    return float(np.abs(said - true).sum() / sizes.sum())


def balanced_accuracy(right: Column, label: Column) -> float | None:
    """Mean over the labels of the share that is right, in percent."""
    shares = [share(right[label == value]) for value in np.unique(label[~np.isnan(label)])]
    known = [found for found in shares if found is not None]
    return sum(known) / len(known) if known else None


def reciprocal_rank(ranks: Sequence[int], depth: int) -> float:
    """1 over the rank (from 1) of the first relevant result, 0 below `depth`."""
    best = min(ranks, default=depth + 1)
    return 1 / best if best <= depth else 0.0


def ndcg(ranks: Sequence[int], relevant: int, depth: int) -> float:
    """Normalised discounted cumulative gain of binary relevance: ranks (from 1) of the relevant results, and how many there are."""
    gained = sum(1 / math.log2(rank + 1) for rank in ranks if rank <= depth)
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(relevant, depth) + 1))
    return gained / ideal if ideal else 0.0


def _means(*names: str) -> tuple[Figure, ...]:
    return tuple(Figure(name, (name,), share) for name in names)


_TIMES = (("p50_ms", 50.0), ("p95_ms", 95.0))

READER = (
    *_means("em", "f1"),
    *_means("has_ans_f1", "no_ans_f1"),
    Figure("abstain_auroc", ("answerability", "answerable"), auroc),
    *_means("shown_sentence", "shown_sentence_strict", "shown_2"),
    Figure("n", ("em",), count),
)
RETRIEVAL = (
    *_means("r1", "r5", "r20", "r50"),
    Figure("mrr10", ("mrr10",), mean),
    Figure("ndcg10", ("ndcg10",), mean),
    *(Figure(name, ("ms",), percentile(rank), higher_is_better=False) for name, rank in _TIMES),
)
SEARCH = (
    *_means("r1", "r5"),
    Figure("mrr10", ("mrr10",), mean),
    *_means("all5", "changed"),
    *(Figure(name, ("ms",), percentile(rank), higher_is_better=False) for name, rank in _TIMES),
    Figure("n", ("r1",), count),
)
VERIFIER = (
    *_means("accuracy"),
    Figure("balanced_accuracy", ("accuracy", "label"), balanced_accuracy),
    Figure("auroc", ("score", "positive"), auroc),
    *_means("claim_only_accuracy"),
    Figure("ece", ("confidence", "accuracy"), calibration_error, higher_is_better=False),
    Figure("n", ("accuracy",), count),
)
ANSWERS = (
    *_means("em", "f1", "shown_sentence", "shown_sentence_strict", "shown_2"),
    Figure("citation_precision", ("cited_right", "cited"), ratio),
    *_means("citation_recall"),
    Figure("abstain_auroc", ("answerability", "answerable"), auroc),
    Figure("coverage_at_95", ("answerability", "right"), coverage_at_95),
    *(Figure(f"ttft_{name}", ("ttft_ms",), percentile(rank), higher_is_better=False) for name, rank in _TIMES),
    Figure("n", ("em",), count),
)
GOLDENS = _means("answered", "shows_answer", "shows_quote", "cites_document", "abstained", "small_talk")
KINDS: dict[str, tuple[Figure, ...]] = {
    "reader": READER, "retrieval": RETRIEVAL, "search": SEARCH, "verifier": VERIFIER, "answers": ANSWERS, "goldens": GOLDENS,
}  # fmt: skip

_UNANSWERABLE = Figure("unanswerable_answered", ("unanswerable_answered",), share, higher_is_better=False)
AT_THRESHOLD: dict[str, tuple[Figure, ...]] = {
    "reader": (*_means("answered", "answered_right"), _UNANSWERABLE),
    "answers": (
        *_means("answered", "answered_right"),
        *(Figure(name, (f"{name}_or_silent",), share) for name in ("shown_sentence", "shown_2")),
        Figure("citation_precision_answerable", ("cited_right_answerable", "cited_answerable"), ratio),
        _UNANSWERABLE,
    ),
}
"""What the shipped thresholds make of a kind: shares of the answerable questions that are answered, of those rightly, of all of
them rightly (silence is wrong), and of the others that are answered."""


def column(marks: Sequence[dict[str, Any]], name: str) -> Column:
    """A mark of every item; what an item lacks is NaN."""
    return np.array([math.nan if (value := one.get(name)) is None else float(value) for one in marks], dtype=np.float64)


def summarise(kind: str, marks: Sequence[dict[str, Any]]) -> dict[str, float | int | None]:
    """Every figure of a kind."""
    return _computed(KINDS[kind], marks)


def at_threshold(kind: str, marks: Sequence[dict[str, Any]]) -> dict[str, float | int | None]:
    """What the shipped thresholds make of it; empty for a kind that has none."""
    return _computed(AT_THRESHOLD.get(kind, ()), marks)


def _computed(figures: Sequence[Figure], marks: Sequence[dict[str, Any]]) -> dict[str, float | int | None]:
    found: dict[str, float | int | None] = {}
    for figure in figures:
        value = figure.compute(*(column(marks, name) for name in figure.columns))
        found[figure.name] = int(value) if figure.name == "n" and value is not None else value
    return found
