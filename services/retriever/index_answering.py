"""The index as searches and changes meet it: what answers, the exact store that stands in while it is broken, and its repair.

Searches run on threads of their own, changes on one. Knows neither the outbox nor what is changed.
"""

from __future__ import annotations

import asyncio
import ctypes
import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from services.mesh import telemetry
from services.mesh.errors import MeshError
from services.mesh.log import get_logger
from services.retriever.exact_store import ExactStore
from services.retriever.index import (
    FusedHit,
    FusingStore,
    Hit,
    IndexAway,
    IndexLate,
    IndexUnusable,
    Labels,
    VectorStore,
    WeightedTerms,
)
from services.retriever.index_building import IndexBuilder, Opened

log = get_logger(__name__)

T = TypeVar("T")
_REPAIR_PAUSE_SECONDS = 5.0
_SEARCHES = 2
_DRAIN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a leg found, best first."""

    hits: list[Hit]
    by_stand_in: bool
    """Whether the exact store answered, because the index is broken."""


class AnsweringIndex:
    """An index that answers, one way or another.

    Args:
        fallback_chunks: most chunks that are held in memory while the index is broken.
    """

    def __init__(self, builder: IndexBuilder, fallback_chunks: int) -> None:
        self._builder = builder
        self._fallback_chunks = fallback_chunks
        self._searching = ThreadPoolExecutor(max_workers=_SEARCHES, thread_name_prefix="index-search")
        self._changing = ThreadPoolExecutor(max_workers=1, thread_name_prefix="index-change")
        self._turn = asyncio.Lock()
        """Of changes: they come one at a time."""
        self._filling = asyncio.Lock()
        self._store: VectorStore | None = None
        self._fallback: ExactStore | None = None
        self._rebuilding: asyncio.Task[None] | None = None
        self.epoch = 0
        """The last change of the store of truth that searches see."""

    @property
    def healthy(self) -> bool:
        """Whether the index itself answers."""
        return self._store is not None

    async def dense(
        self, vector: NDArray[np.float32], collection: int, limit: int, seconds: float = math.inf, *, labels: Labels = None
    ) -> Answer:
        """See `VectorStore`; raises MeshError STORE_UNAVAILABLE where neither the index nor its stand-in answers."""
        return await self._search("dense", lambda store: store.dense(vector, collection, limit, seconds, labels=labels))

    async def sparse(
        self, terms: WeightedTerms, collection: int, limit: int, seconds: float = math.inf, *, labels: Labels = None
    ) -> Answer:
        """See `VectorStore`; raises MeshError STORE_UNAVAILABLE where neither the index nor its stand-in answers."""
        return await self._search("sparse", lambda store: store.sparse(terms, collection, limit, seconds, labels=labels))

    @property
    def fuses(self) -> bool:
        """Whether the index fuses both legs itself, and answers."""
        return isinstance(self._store, FusingStore)

    async def hybrid(
        self,
        vector: NDArray[np.float32],
        terms: WeightedTerms,
        collection: int,
        limit: int,
        *,
        dense_weight: float,
        seconds: float = math.inf,
        labels: Labels = None,
    ) -> list[FusedHit] | None:
        """See `FusingStore`; None where the index cannot do that, or not now: each leg can still be asked for alone."""
        store = self._store
        if not isinstance(store, FusingStore):
            return None
        ask = partial(store.hybrid, vector, terms, collection, limit, dense_weight=dense_weight, seconds=seconds, labels=labels)
        with telemetry.span("store index hybrid", ragmesh__store="index"):
            try:
                return await asyncio.get_running_loop().run_in_executor(self._searching, ask)
            except IndexLate as reason:
                log.warning("index.late", reason=str(reason))
            except IndexUnusable as reason:
                self._broken(store, reason)
        return None

    async def _search(self, leg: str, ask: Callable[[VectorStore], list[Hit]]) -> Answer:
        loop = asyncio.get_running_loop()
        store = self._store
        with telemetry.span(f"store index {leg}", ragmesh__store="index"):
            if store is not None:
                try:
                    return Answer(await loop.run_in_executor(self._searching, ask, store), by_stand_in=False)
                except IndexLate:
                    raise MeshError("STORE_UNAVAILABLE", "the index is late", metadata={"store": "index"}) from None
                except IndexUnusable as reason:
                    self._broken(store, reason)
            stand_in = await self._stand_in()
            try:
                return Answer(await loop.run_in_executor(self._searching, ask, stand_in), by_stand_in=True)
            except IndexUnusable as reason:
                log.error("index.stand_in_failed", reason=str(reason))
                raise _unavailable() from None

    async def _stand_in(self) -> VectorStore:
        # Not the turn of the changes: a rebuild may hold that for long, and searches must not wait for it.
        async with self._filling:
            if self._fallback is None or self._fallback.epoch != self.epoch:
                self._fallback = await asyncio.get_running_loop().run_in_executor(
                    self._searching, self._builder.stand_in, self._fallback_chunks
                )
            return self._fallback

    async def _attempt(self, change: Callable[[VectorStore], None]) -> bool:
        store = self._store
        if store is None:
            return False
        try:
            with telemetry.span("store index write", ragmesh__store="index"):
                await self._change(lambda: change(store))
        except IndexUnusable as reason:
            self._broken(store, reason)
            return False
        return True

    async def _change(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._changing, work)

    def _broken(self, store: VectorStore | FusingStore, reason: IndexUnusable) -> None:
        if self._store is not store:
            return
        self._store = None
        if isinstance(reason, IndexAway):
            log.error("index.away", reason=str(reason))
            self._rebuilding = asyncio.create_task(self._return(store), name="index-return")
        else:
            log.error("index.broken", reason=str(reason))
            self._rebuilding = asyncio.create_task(self._repair(store, self._builder.rebuild), name="index-rebuild")

    async def _return(self, store: VectorStore | None) -> None:
        """Opens the index again as soon as its server answers; the outbox names what it missed."""
        await self._repair(store, self._builder.open)

    async def _repair(self, store: VectorStore | None, again: Callable[[], Opened]) -> None:
        while self._store is None:
            try:
                async with self._turn:
                    await self._change(lambda: self._replace(store, again))
            except (IndexUnusable, OSError, MeshError) as reason:
                log.error("index.repair_failed", reason=str(reason))
                await asyncio.sleep(_REPAIR_PAUSE_SECONDS)

    def _replace(self, store: VectorStore | None, again: Callable[[], Opened]) -> None:
        if store is not None:
            try:
                store.close()
            except IndexUnusable as reason:
                log.warning("index.close_failed", reason=str(reason))
        self._use(again())

    def _use(self, opened: Opened) -> None:
        self._store, self._fallback, self.epoch = opened.store, None, opened.epoch

    async def _retire(self, store: VectorStore) -> None:
        """Closes an index once the searches that were asked of it have their answers."""
        loop, met = asyncio.get_running_loop(), threading.Barrier(_SEARCHES)
        try:
            # Both threads meet behind everything that was waiting for them.
            await asyncio.gather(*(loop.run_in_executor(self._searching, met.wait, _DRAIN_SECONDS) for _ in range(_SEARCHES)))
            await loop.run_in_executor(self._searching, store.close)
            await loop.run_in_executor(self._searching, _give_back)
        except (threading.BrokenBarrierError, IndexUnusable) as reason:
            log.warning("index.close_failed", reason=str(reason))

    async def _close(self) -> None:
        """Closes the index; nothing is asked of it any more."""
        async with self._turn:
            if self._store is not None:
                await self._attempt(lambda store: store.close())
                self._store = None
        self._searching.shutdown()
        self._changing.shutdown()


def _give_back() -> None:
    """Gives memory that is free back to the system, which glibc keeps: what a former index had is not needed again soon."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _unavailable() -> MeshError:
    return MeshError("STORE_UNAVAILABLE", "the index is being rebuilt", metadata={"store": "index"})
