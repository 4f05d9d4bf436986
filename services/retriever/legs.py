"""The two legs of a search and their join with the store of truth: which readable chunks each leg found, with its scores.

A leg that fails or is late is left out and named; while one leg works a search goes on. Knows neither fusion nor reranking.
"""

from __future__ import annotations

import asyncio
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
from services.retriever.index import FusedHit, Hit
from services.retriever.index_answering import Answer
from services.retriever.index_keeper import IndexKeeper
from services.retriever.models import Models, fingerprint
from services.retriever.query import Query
from services.retriever.records import FoundChunk, Reader
from services.retriever.results import Found, Leg
from services.retriever.truth import Truth
from services.retriever.truth_writes import embedder_changed

log = get_logger(__name__)

T = TypeVar("T")

MAX_FETCH = 1024
"""Most hits that a leg is asked for, however many of them turn out to be hidden."""
_WIDEN = 4
_DENSE_SHARE = 0.6
_INDEX_SHARE = 0.4
_RESERVE_SECONDS = 0.05  # for joining and answering


@dataclass(frozen=True, slots=True)
class Scope:
    """Where is searched, and for whom."""

    reader: Reader
    collection: int
    """Id of the collection."""
    embedder: str
    """Fingerprint of the embedder behind the stored vectors."""
    budget: Budget


@dataclass(frozen=True, slots=True)
class Joined:
    """What the legs found of what the reader may read: chunk id -> score, best first."""

    dense: dict[int, float]
    sparse: dict[int, float]
    chunks: dict[int, FoundChunk]
    fused: dict[int, float] | None = None
    """Fused by relative scores, where the index did that itself."""


@dataclass(frozen=True, slots=True)
class _Hits:
    dense: list[Hit]
    sparse: list[Hit]
    fused: list[FusedHit] | None = None

    def ids(self) -> list[int]:
        return list({hit.id: None for leg in (self.dense, self.sparse) for hit in leg})

    def exhausted(self, fetched: int) -> bool:
        """Whether asking for more would bring nothing."""
        return len(self.dense) < fetched and len(self.sparse) < fetched


async def timed(found: Found, leg: Leg, ask: Callable[[], Awaitable[T]]) -> T | MeshError:
    """What `ask` answers, or the error that it failed with, noted in `found` with the time that it took."""
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


class Legs:
    """Asks the index.

    Args:
        dense_seconds: longest time of the dense leg.
    """

    def __init__(self, truth: Truth, index: IndexKeeper, models: Models, *, dense_seconds: float) -> None:
        self._truth = truth
        self._index = index
        self._models = models
        self._dense_seconds = dense_seconds

    async def find(
        self, scope: Scope, query: Query, found: Found, *, dense_weight: float, limit: int, wanted: int, fused: bool = False
    ) -> Joined:
        """At least `limit` readable chunks, if there are so many.

        Args:
            wanted: how many each leg is asked for first.
            fused: whether the index may fuse the legs itself, by relative scores, where it can.

        Raises:
            MeshError: where no leg works.
        """
        fetch = min(wanted, MAX_FETCH)
        vector: list[NDArray[np.float32]] = []
        together = fused and 0 < dense_weight < 1
        while True:
            hits = await self._fused(scope, query, found, dense_weight, fetch, vector) if together else None
            together = hits is not None
            if hits is None:
                hits = await self._both(scope, query, found, dense_weight, fetch, vector)
            visible = await self._truth.read(
                partial(truth_reads.visible_chunks, reader=scope.reader, collection=scope.collection, ids=hits.ids())
            )
            if together and len(visible) < len(hits.ids()):
                # What this reader may not see took part in the fusion: without it, leg by leg.
                together = False
                continue
            if len(visible) >= limit or fetch >= MAX_FETCH or hits.exhausted(fetch):
                break
            # Much of what was found is hidden from this reader: look further down.
            fetch = min(fetch * _WIDEN, MAX_FETCH)
        # Ranks are counted among what the reader may see: hidden documents move nothing.
        return Joined(
            {hit.id: hit.score for hit in hits.dense if hit.id in visible},
            {hit.id: hit.score for hit in hits.sparse if hit.id in visible},
            visible,
            None if hits.fused is None else {hit.id: hit.score for hit in hits.fused},
        )

    async def _fused(
        self, scope: Scope, query: Query, found: Found, dense_weight: float, fetch: int, vector: list[NDArray[np.float32]]
    ) -> _Hits | None:
        """Both legs in one call, as many hits as two would bring together; None where each has to be asked for alone."""
        if not self._index.fuses or Leg.DENSE in found.degraded:
            return None

        async def ask() -> list[FusedHit] | None:
            if not vector:
                vector.append(await self._vector(scope, query))
            if not vector[0].any():
                return None
            return await self._index.hybrid(
                vector[0],
                query.terms,
                scope.collection,
                2 * fetch,
                dense_weight=dense_weight,
                seconds=_index_seconds(scope),
                labels=scope.reader.labels,
            )

        fused = await timed(found, Leg.DENSE, ask)
        if fused is None or isinstance(fused, MeshError):
            return None
        dense = sorted((Hit(one.id, one.dense) for one in fused if one.dense is not None), key=_score, reverse=True)
        sparse = sorted((Hit(one.id, one.sparse) for one in fused if one.sparse is not None), key=_score, reverse=True)
        return _Hits(dense, sparse, fused)

    async def _both(
        self, scope: Scope, query: Query, found: Found, dense_weight: float, fetch: int, vector: list[NDArray[np.float32]]
    ) -> _Hits:
        def hits(answer: Answer) -> list[Hit]:
            if answer.by_stand_in:
                found.degraded[Leg.INDEX] = "STORE_UNAVAILABLE"
            return answer.hits

        async def dense() -> list[Hit]:
            if not vector:
                vector.append(await self._vector(scope, query))
            if not vector[0].any():  # a question without a single known word has no direction
                return []
            return hits(
                await self._index.dense(vector[0], scope.collection, fetch, _index_seconds(scope), labels=scope.reader.labels)
            )

        async def sparse() -> list[Hit]:
            return hits(
                await self._index.sparse(query.terms, scope.collection, fetch, _index_seconds(scope), labels=scope.reader.labels)
            )

        legs: dict[Leg, Callable[[], Awaitable[list[Hit]]]] = {}
        if dense_weight > 0 and Leg.DENSE not in found.degraded:
            legs[Leg.DENSE] = dense
        if dense_weight < 1 or Leg.DENSE in found.degraded:
            legs[Leg.SPARSE] = sparse
        answers = await asyncio.gather(*(timed(found, leg, ask) for leg, ask in legs.items()))
        answered = dict(zip(legs, answers, strict=True))
        if Leg.SPARSE not in answered and isinstance(answered[Leg.DENSE], MeshError):
            answered[Leg.SPARSE] = await timed(found, Leg.SPARSE, sparse)
        failures = [answer for answer in answered.values() if isinstance(answer, MeshError)]
        if len(failures) == len(answered):
            raise failures[-1]
        return _Hits(_hits(answered.get(Leg.DENSE)), _hits(answered.get(Leg.SPARSE)))

    async def _vector(self, scope: Scope, query: Query) -> NDArray[np.float32]:
        seconds = scope.budget.share(_DENSE_SHARE, cap=self._dense_seconds, reserve=_RESERVE_SECONDS)
        async with asyncio.timeout(seconds):
            served = self._models.embedder or await self._models.identify()
            if fingerprint(served) != scope.embedder:
                raise embedder_changed(scope.embedder, fingerprint(served))
            return await self._models.embed_query(query.text, timeout=seconds)


def _index_seconds(scope: Scope) -> float:
    """How long an index on a server may take, so that something can still be done without it."""
    return scope.budget.share(_INDEX_SHARE, reserve=_RESERVE_SECONDS)


def _score(hit: Hit) -> float:
    return hit.score


def _hits(answer: Sequence[Hit] | MeshError | None) -> list[Hit]:
    return [] if answer is None or isinstance(answer, MeshError) else list(answer)
