"""Fusion of the dense and the BM25 leg into one order. Pure.

By relative scores (the default): each leg's scores are moved to 0..1 between its worst and its best hit, then weighted and added; a
hit that a leg did not bring has 0 of it (Bruch, Gai, Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval", TOIS 2023). By
ranks: reciprocal rank fusion, sum of weight / (60 + rank), ranks from 1 (Cormack, Clarke, Buettcher, SIGIR 2009). On the golden
questions relative scores put the right passage first more often (R@1 0.61, 0.52 by ranks): ranks forget how sure a leg was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Literal, TypeVar

RRF_K = 60.0

Method = Literal["relative", "ranks"]
_T = TypeVar("_T")


def fuse(dense: Mapping[int, float], sparse: Mapping[int, float], dense_weight: float, method: Method) -> dict[int, float]:
    """Fused score of each id.

    Args:
        dense, sparse: id -> score of what a leg found, best first.
        dense_weight: of the dense leg, 0 to 1; the BM25 leg has 1 minus it. A leg that found nothing gives its weight to the other.
    """
    if not sparse:
        dense_weight = 1.0
    elif not dense:
        dense_weight = 0.0
    marks = _by_rank if method == "ranks" else _relative
    fused: dict[int, float] = {}
    for weight, leg in ((dense_weight, dense), (1.0 - dense_weight, sparse)):
        if leg and weight > 0:
            for found, mark in marks(leg).items():
                fused[found] = fused.get(found, 0.0) + weight * mark
    return fused


def _by_rank(leg: Mapping[int, float]) -> dict[int, float]:
    return {found: 1.0 / (RRF_K + rank) for rank, found in enumerate(leg, start=1)}


def _relative(leg: Mapping[int, float]) -> dict[int, float]:
    worst, best = min(leg.values()), max(leg.values())
    if best <= worst:
        return dict.fromkeys(leg, 1.0)
    return {found: (score - worst) / (best - worst) for found, score in leg.items()}


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


def interleave(ranked: Sequence[Sequence[_T]], key: Callable[[_T], Hashable]) -> list[_T]:
    """The best of each list in turn, then the second best of each, and so on; what came before comes once."""
    seen: set[Hashable] = set()
    found: list[_T] = []
    for rank in range(max(map(len, ranked), default=0)):
        for item in (one[rank] for one in ranked if rank < len(one)):
            if (name := key(item)) not in seen:
                seen.add(name)
                found.append(item)
    return found


def led(ranked: Sequence[_T], by: Sequence[_T], key: Callable[[_T], Hashable]) -> list[_T]:
    """`ranked` with the one before everything else that comes first in `by`; as it is where none does."""
    places = {key(item): place for place, item in reversed(list(enumerate(ranked)))}
    first = next((places[key(item)] for item in by if key(item) in places), 0)
    return [*ranked[first : first + 1], *ranked[:first], *ranked[first + 1 :]]
