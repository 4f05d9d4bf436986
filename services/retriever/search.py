"""A search: two legs at once, what they found joined with the store of truth, fused, reranked, spread over documents.

A leg that fails or is late is left out and named, and so is the reranking; while one leg works a search answers. Knows no gRPC
message.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from services.mesh import telemetry
from services.mesh.deadline import Budget
from services.mesh.errors import MeshError
from services.mesh.log import get_logger
from services.retriever import truth_reads
from services.retriever.fusion import Method, fuse, spread
from services.retriever.index import Hit
from services.retriever.index_keeper import Answer, IndexKeeper
from services.retriever.models import Models, fingerprint
from services.retriever.query import Query
from services.retriever.records import FoundChunk, Reader
from services.retriever.reranking import Reranking
from services.retriever.results import Found, Leg, Result
from services.retriever.truth import Truth
from services.retriever.truth_writes import embedder_changed

log = get_logger(__name__)

T = TypeVar("T")

MAX_FETCH = 1024
"""Most hits that a leg is asked for, however many of them turn out to be hidden."""
_WIDEN = 4
_DENSE_SHARE = 0.6
_RESERVE_SECONDS = 0.05  # for joining and answering


@dataclass(slots=True)
class _Asked:
    reader: Reader
    scope: int
    """Id of the collection."""
    query: Query
    limit: int
    dense_weight: float
    rerank_depth: int
    embedder: str
    """Fingerprint of the embedder behind the stored vectors."""
    budget: Budget
    vector: NDArray[np.float32] | None = None
    """Of the query, once it was embedded."""


@dataclass(frozen=True, slots=True)
class _Hits:
    dense: list[Hit]
    sparse: list[Hit]

    def ids(self) -> list[int]:
        return list({hit.id: None for leg in (self.dense, self.sparse) for hit in leg})

    def exhausted(self, fetched: int) -> bool:
        """Whether asking for more would bring nothing."""
        return len(self.dense) < fetched and len(self.sparse) < fetched


class Search:
    """Searches collections.

    Args:
        reranking: what orders the best of them again.
        fusion: how the legs' hits become one order.
        dense_seconds: longest time of the dense leg.
        overfetch: how many times more hits than wanted each leg brings.
        per_document: chunks of one document that come before the best of the others. The rest moves behind them instead of being
            dropped: a question that one document alone answers still gets all of its passages, and one that many documents answer
            does not get eight passages of the longest.
    """

    def __init__(
        self,
        truth: Truth,
        index: IndexKeeper,
        models: Models,
        reranking: Reranking,
        *,
        fusion: Method,
        dense_seconds: float,
        overfetch: int,
        per_document: int,
    ) -> None:
        self._truth = truth
        self._index = index
        self._models = models
        self._reranking = reranking
        self._fusion = fusion
        self._dense_seconds = dense_seconds
        self._overfetch = overfetch
        self._per_document = per_document
        self._counts: dict[tuple[int, int, Reader], int] = {}

    async def run(
        self,
        reader: Reader,
        collection: str,
        query: Query,
        *,
        limit: int,
        dense_weight: float,
        rerank_depth: int,
        budget: Budget,
    ) -> Found | None:
        """The best `limit` passages that the reader may see; None where there is no such collection.

        Args:
            rerank_depth: how many candidates the reranker's cross-encoder may read; 0 leaves the fusion's order.

        Raises:
            MeshError: where no leg works.
        """
        scope, documents, embedder = await self._truth.read(lambda connection: self._scope(connection, reader, collection))
        if scope is None:
            return None
        found = Found(documents=documents, epoch=self._index.epoch)
        if query.terms and documents:
            await self._collect(_Asked(reader, scope, query, limit, dense_weight, rerank_depth, embedder, budget), found)
        return found

    def _scope(self, connection: sqlite3.Connection, reader: Reader, collection: str) -> tuple[int | None, int, str]:
        scope = truth_reads.find_collection(connection, reader.tenant, collection)
        embedder = truth_reads.meta(connection, "embedder")
        if scope is None:
            return None, 0, embedder
        # Counting is the one thing here whose cost grows with the collection; it changes with the epoch only.
        key = (int(truth_reads.meta(connection, "epoch")), scope, reader)
        if key not in self._counts:
            if len(self._counts) >= 1024:
                self._counts.clear()
            self._counts[key] = truth_reads.count_readable(connection, reader, scope)
        return scope, self._counts[key], embedder

    async def _collect(self, asked: _Asked, found: Found) -> None:
        wanted = max(asked.limit * self._overfetch, self._reranking.candidates if asked.rerank_depth else 0)
        fetch = min(wanted, MAX_FETCH)
        while True:
            hits = await self._both(asked, found, fetch)
            visible = await self._truth.read(
                partial(truth_reads.visible_chunks, reader=asked.reader, collection=asked.scope, ids=hits.ids())
            )
            if len(visible) >= asked.limit or fetch >= MAX_FETCH or hits.exhausted(fetch):
                break
            # Much of what was found is hidden from this reader: look further down.
            fetch = min(fetch * _WIDEN, MAX_FETCH)
        ranked = await self._reranked(asked, found, self._rank(hits, visible, asked.dense_weight))
        found.results = spread(ranked, lambda result: result.chunk.document_id, self._per_document)[: asked.limit]

    async def _both(self, asked: _Asked, found: Found, fetch: int) -> _Hits:
        def hits(answer: Answer) -> list[Hit]:
            if answer.by_stand_in:
                found.degraded[Leg.INDEX] = "STORE_UNAVAILABLE"
            return answer.hits

        async def dense() -> list[Hit]:
            vector = await self._vector(asked)
            # A question without a single known word has no direction.
            return hits(await self._index.dense(vector, asked.scope, fetch)) if vector.any() else []

        async def sparse() -> list[Hit]:
            return hits(await self._index.sparse(asked.query.terms, asked.scope, fetch))

        legs: dict[Leg, Callable[[], Awaitable[list[Hit]]]] = {}
        if asked.dense_weight > 0 and Leg.DENSE not in found.degraded:
            legs[Leg.DENSE] = dense
        if asked.dense_weight < 1 or Leg.DENSE in found.degraded:
            legs[Leg.SPARSE] = sparse
        answers = await asyncio.gather(*(self._leg(found, leg, ask) for leg, ask in legs.items()))
        answered = dict(zip(legs, answers, strict=True))
        if Leg.SPARSE not in answered and isinstance(answered[Leg.DENSE], MeshError):
            answered[Leg.SPARSE] = await self._leg(found, Leg.SPARSE, sparse)
        failures = [answer for answer in answered.values() if isinstance(answer, MeshError)]
        if len(failures) == len(answered):
            raise failures[-1]
        return _Hits(_hits(answered.get(Leg.DENSE)), _hits(answered.get(Leg.SPARSE)))

    async def _vector(self, asked: _Asked) -> NDArray[np.float32]:
        if asked.vector is None:
            seconds = asked.budget.share(_DENSE_SHARE, cap=self._dense_seconds, reserve=_RESERVE_SECONDS)
            async with asyncio.timeout(seconds):
                served = self._models.embedder or await self._models.identify()
                if fingerprint(served) != asked.embedder:
                    raise embedder_changed(asked.embedder, fingerprint(served))
                asked.vector = await self._models.embed_query(asked.query.text, timeout=seconds)
        return asked.vector

    async def _leg(self, found: Found, leg: Leg, ask: Callable[[], Awaitable[list[T]]]) -> list[T] | MeshError:
        begun = time.monotonic()
        try:
            with telemetry.span(f"retriever.{leg.value}"):
                return await ask()
        except MeshError as error:
            failure = error
        except TimeoutError:
            failure = MeshError("DEADLINE_EXCEEDED", f"the {leg.value} leg took too long")
        finally:
            found.seconds[leg] = found.seconds.get(leg, 0.0) + time.monotonic() - begun
        if leg not in found.degraded:
            log.warning("search.degraded", leg=leg.value, reason=failure.reason)
        found.degraded[leg] = failure.reason
        return failure

    def _rank(self, hits: _Hits, visible: dict[int, FoundChunk], dense_weight: float) -> list[Result]:
        # Ranks are counted among what the reader may see: hidden documents move nothing.
        dense = {hit.id: hit.score for hit in hits.dense if hit.id in visible}
        sparse = {hit.id: hit.score for hit in hits.sparse if hit.id in visible}
        fused = fuse(dense, sparse, dense_weight, self._fusion)
        # Equal scores are ordered by id, so that the same search gives the same order.
        ranked = sorted(fused, key=lambda chunk: (-fused[chunk], chunk))
        return [Result(visible[chunk], dense.get(chunk), sparse.get(chunk), fused[chunk]) for chunk in ranked]

    async def _reranked(self, asked: _Asked, found: Found, ranked: list[Result]) -> list[Result]:
        if not asked.rerank_depth or not ranked:
            return ranked

        async def rerank() -> list[Result]:
            order, skipped = await self._reranking.order(asked.query.text, ranked, asked.rerank_depth, asked.budget)
            if skipped:
                found.degraded[Leg.RERANK] = skipped
            return order

        ordered = await self._leg(found, Leg.RERANK, rerank)
        return ranked if isinstance(ordered, MeshError) else ordered


def _hits(answer: Sequence[Hit] | MeshError | None) -> list[Hit]:
    return [] if answer is None or isinstance(answer, MeshError) else list(answer)
