"""What a search found, with reasons: each candidate's place in every step, and why it is not in the answer. Knows no gRPC message.

Of what the reader may not read nothing is said, not even that it was there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from services.retriever.results import Found, Result

MAX_CANDIDATES = 4096


class Drop(Enum):
    """Why a candidate is not in the answer."""

    LIMIT = "limit"
    SAME_DOCUMENT = "same document"
    FOUND_TWICE = "found twice"
    TOKENS = "tokens"
    REPEAT = "repeat"
    HELD_BACK = "held back"


@dataclass(frozen=True, slots=True)
class Standing:
    """Rank, from 1, and score in one step."""

    rank: int
    score: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """A chunk that a leg found."""

    result: Result
    query: int
    dense: Standing | None
    sparse: Standing | None
    fused: Standing
    reranked: Standing | None
    rank: int | None
    """Place in the answer, from 1; None where it was dropped."""
    dropped: Drop | None


def explain(found: Found, per_document: int) -> list[Candidate]:
    """All candidates: those of the answer in its order, then what was dropped, nearest first.

    Args:
        per_document: chunks of one document that come before the best of the others.
    """
    places = {result.chunk.id: (number, result.query) for number, result in enumerate(found.results, 1)}
    cut = {result.chunk.id for result in found.cut}
    candidates: list[Candidate] = []
    for number, trace in enumerate(found.traces):
        dense, sparse = _standings(trace.dense), _standings(trace.sparse)
        fused = {one.chunk.id: Standing(rank, one.fused) for rank, one in enumerate(trace.fused, 1)}
        before: Counter[int] = Counter()
        for rank, result in enumerate(trace.ranked, 1):
            name = result.chunk.id
            before[result.chunk.document_id] += 1
            place, by = places.get(name, (None, None))
            dropped = None
            if place is None:
                crowded = before[result.chunk.document_id] > per_document
                reasons = ((Drop.HELD_BACK, found.held_back), (Drop.TOKENS, cut), (Drop.REPEAT, found.repeated))
                dropped = next((reason for reason, names in reasons if name in names), None)
                dropped = dropped or (Drop.SAME_DOCUMENT if crowded else Drop.LIMIT)
            elif by != number:
                place, dropped = None, Drop.FOUND_TWICE
            reranked = None if result.rerank is None else Standing(rank, result.rerank)
            candidates.append(Candidate(result, number, dense.get(name), sparse.get(name), fused[name], reranked, place, dropped))
    candidates.sort(key=lambda one: (one.rank is None, one.rank or 0))
    return candidates[:MAX_CANDIDATES]


def _standings(scores: Mapping[int, float]) -> dict[int, Standing]:
    return {name: Standing(rank, score) for rank, (name, score) in enumerate(scores.items(), 1)}
