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
        """`ranked` in its new order, and the ErrorReason for which nothing was read, if it was for want of time.

        Args:
            depth: how many of the candidates are read.

        Raises:
            MeshError: MODEL_UNAVAILABLE, DEADLINE_EXCEEDED.
            TimeoutError: where the model is late.
        """
        chosen = _within(ranked[: self.candidates])
        if not chosen:
            return list(ranked), ""
        seconds = budget.share(_SHARE, cap=self._seconds, reserve=_RESERVE_SECONDS)
        skipped = ""
        depth = min(depth, len(chosen))
        if seconds < _FEATURES_SECONDS + depth * _READ_SECONDS:
            depth, skipped = 0, "DEADLINE_EXCEEDED"
        if seconds < _FEATURES_SECONDS:
            raise MeshError("DEADLINE_EXCEEDED", "there is no time left for reranking")
        async with asyncio.timeout(seconds):
            scores = await self._models.rerank(question, [_candidate(result) for result in chosen], depth, timeout=seconds)
        marked = [replace(result, rerank=float(score)) for result, score in zip(chosen, scores, strict=True)]
        # Sorting is stable: what the model cannot tell apart stays as the fusion ordered it.
        marked.sort(key=lambda result: -(result.rerank or 0.0))
        return [*marked, *ranked[len(chosen) :]], skipped


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
