"""Orders the best candidates of a search again, by what a model reads in them. Knows no index and no gRPC message.

All candidates are ordered by features, which costs milliseconds; a cross-encoder then reads the best of them, if there is time.
Where the model is late or fails, the order stays what it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from services.mesh.deadline import Budget
from services.mesh.errors import MeshError
from services.retriever.models import Models, RerankCandidate
from services.retriever.results import Result

MAX_TEXT_BYTES = 256 * 1024
"""Most text that the model takes in one request, titles included."""

LEAST_DEPTH = 5
"""Fewer are not worth reading, unless fewer were asked for."""

_SHARE = 0.6
_RESERVE_SECONDS = 0.05  # for spreading and answering
# What the model needs for features alone, and for each passage that it reads: about twice what two idle cores take.
_FEATURES_SECONDS = 0.05
_READ_SECONDS = 0.012


class Reranking:
    """The stage after the fusion.

    Args:
        candidates: how many of the best are ordered again; the rest follow in their former order.
        seconds: longest time that it may take.
    """

    def __init__(self, models: Models, *, candidates: int, seconds: float) -> None:
        self._models = models
        self.candidates = candidates
        self._seconds = seconds

    async def order(self, question: str, ranked: Sequence[Result], depth: int, budget: Budget) -> tuple[list[Result], str]:
        """`ranked` in its new order, and the ErrorReason for which fewer were read than asked, if it was for want of time.

        As many are read as there is time for; where that is less than `LEAST_DEPTH`, none is: features alone order better than a
        cross-encoder that saw the first two or three.

        Args:
            depth: how many of the candidates may be read.

        Raises:
            MeshError: MODEL_UNAVAILABLE, DEADLINE_EXCEEDED.
            TimeoutError: where the model is late.
        """
        chosen = _within(ranked[: self.candidates])
        if not chosen:
            return list(ranked), ""
        seconds = budget.share(_SHARE, cap=self._seconds, reserve=_RESERVE_SECONDS)
        if seconds < _FEATURES_SECONDS:
            raise MeshError("DEADLINE_EXCEEDED", "there is no time left for reranking")
        depth, skipped = _affordable(min(depth, len(chosen)), seconds)
        async with asyncio.timeout(seconds):
            scores = await self._models.rerank(question, [_candidate(result) for result in chosen], depth, timeout=seconds)
        marked = [replace(result, rerank=float(score)) for result, score in zip(chosen, scores, strict=True)]
        # Sorting is stable: what the model cannot tell apart stays as the fusion ordered it.
        marked.sort(key=lambda result: -(result.rerank or 0.0))
        return [*marked, *ranked[len(chosen) :]], skipped


def _affordable(depth: int, seconds: float) -> tuple[int, str]:
    """How many of `depth` can be read in time, and the reason where it is fewer."""
    possible = int((seconds - _FEATURES_SECONDS) / _READ_SECONDS + 1e-9)
    if possible >= depth:
        return depth, ""
    return (possible if possible >= LEAST_DEPTH else 0), "DEADLINE_EXCEEDED"


def _candidate(result: Result) -> RerankCandidate:
    return RerankCandidate(result.chunk.text, " > ".join(result.chunk.title_path), result.dense, result.sparse, result.fused)


def _within(ranked: Sequence[Result]) -> list[Result]:
    """The first of them whose text the model takes in one request."""
    size = 0
    for number, result in enumerate(ranked):
        size += len(result.chunk.text.encode()) + len(" > ".join(result.chunk.title_path).encode())
        if size > MAX_TEXT_BYTES:
            return list(ranked[:number])
    return list(ranked)
