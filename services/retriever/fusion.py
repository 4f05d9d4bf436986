"""Reciprocal rank fusion of the dense and the BM25 leg. Pure.

Formula: score(d) = sum over legs of weight / (k + rank(d)), ranks from 1, k = 60 (Cormack, Clarke, Buettcher, SIGIR 2009).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

RRF_K = 60.0

_T = TypeVar("_T")


def fuse(dense: Sequence[int], sparse: Sequence[int], dense_weight: float) -> dict[int, float]:
    """Fused score of each id.

    Args:
        dense, sparse: ids, best first, each at most once in a leg.
        dense_weight: of the dense leg, 0 to 1; the BM25 leg has 1 minus it. A leg that found nothing gives its weight to the other.
    """
    if not sparse:
        dense_weight = 1.0
    elif not dense:
        dense_weight = 0.0
    scores: dict[int, float] = {}
    for weight, leg in ((dense_weight, dense), (1.0 - dense_weight, sparse)):
        if weight > 0:
            for rank, found in enumerate(leg, start=1):
                scores[found] = scores.get(found, 0.0) + weight / (RRF_K + rank)
    return scores


def spread(ranked: Sequence[_T], group: Callable[[_T], Hashable], most: int) -> list[_T]:
    """Moves what comes after the `most` best of its group behind everything else; drops nothing, keeps the order otherwise."""
    seen: Counter[Hashable] = Counter()
    front: list[_T] = []
    behind: list[_T] = []
    for item in ranked:
        key = group(item)
        seen[key] += 1
        (front if seen[key] <= most else behind).append(item)
    return front + behind
