"""New versions into both stores, those that are ready together in one step: one pair of transactions, one write of the index.

They become current in the order in which they were handed over. Where a step fails, each of its versions is tried alone, so that
none fails for another.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from services.mesh import telemetry
from services.retriever import truth_reads, truth_writes
from services.retriever.finishing import Finishing
from services.retriever.giving_way import GivingWay
from services.retriever.index_keeper import IndexKeeper
from services.retriever.indexing_text import index_terms
from services.retriever.records import Committed, IndexedChunk, NewVersion, Reader, Reserved
from services.retriever.truth import Connection, Truth

_MAX_VERSIONS = 64
_MAX_CHUNKS = 128
"""Of one step, together; a version that alone has more is a step of its own."""


@dataclass(frozen=True, slots=True)
class Published:
    """A version that is current now."""

    near_duplicate_of: str
    """Name, inside the collection, of another document that says nearly the same and that its reader may read."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    new: NewVersion
    reader: Reader
    future: asyncio.Future[Published]
    context: contextvars.Context


class Publishing:
    """Publishes versions.

    Args:
        way: whom each step waits for.
        keep: former versions of a document that stay readable.
    """

    def __init__(self, truth: Truth, index: IndexKeeper, finishing: Finishing, way: GivingWay, *, keep: int) -> None:
        self._truth = truth
        self._index = index
        self._finishing = finishing
        self._way = way
        self._keep = keep
        self._waiting: deque[_Waiting] = deque()
        self._working = False

    def publish(self, new: NewVersion, reader: Reader) -> asyncio.Future[Published]:
        """Hands a version over. What has begun is finished, whether or not somebody waits for the future.

        Args:
            reader: who is told of near duplicates.
        """
        future: asyncio.Future[Published] = asyncio.get_running_loop().create_future()
        # Seen, even where nobody waits for it any more.
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._waiting.append(_Waiting(new, reader, future, contextvars.copy_context()))
        if not self._working:
            self._working = True
            self._finishing.begin(self._work())
        return future

    async def _work(self) -> None:
        try:
            while batch := await self._batch():
                await asyncio.create_task(self._step(batch), context=batch[0].context)
        finally:
            self._working = False

    async def _batch(self) -> list[_Waiting]:
        await self._way.turn()
        batch: list[_Waiting] = []
        chunks, most = 0, self._way.portion(_MAX_CHUNKS)
        while self._waiting and len(batch) < _MAX_VERSIONS:
            chunks += len(self._waiting[0].new.chunks)
            if batch and chunks > most:
                break
            one = self._waiting.popleft()
            if not one.future.cancelled():  # whoever wanted it went away before anything was written
                batch.append(one)
        return batch

    async def _step(self, batch: Sequence[_Waiting]) -> None:
        try:
            with telemetry.span("retriever.publish"):
                published = await self._publish(batch)
        except Exception as error:
            if len(batch) == 1:
                _answer(batch[0], error)
                return
            for one in batch:
                await self._step([one])
            return
        for one, done in zip(batch, published, strict=True):
            _answer(one, done)

    async def _publish(self, batch: Sequence[_Waiting]) -> list[Published]:
        news = [one.new for one in batch]

        def reserve(connection: Connection) -> list[Reserved]:
            known = truth_reads.meta(connection, "embedder")
            for new in news:
                if known and known != new.embedder:
                    raise truth_writes.embedder_changed(known, new.embedder)
            return truth_writes.reserve_all(connection, [(new.key, len(new.chunks)) for new in news])

        published: list[Published] = []

        def commit(connection: Connection) -> Committed:
            published.clear()
            committed, linked = truth_writes.commit_all(connection, list(zip(news, reserved, strict=True)), self._keep)
            for one, resembles in zip(batch, linked, strict=True):
                found = truth_reads.find_document(connection, one.reader, one.new.key) if resembles else None
                published.append(Published(found.near_duplicate_of if found is not None else ""))
            return committed

        reserved = await self._truth.write(reserve)
        indexed = await asyncio.to_thread(_indexed, news, reserved)
        await self._index.publish_all([place.version for place in reserved], indexed, lambda: self._truth.write(commit))
        return published


def _answer(one: _Waiting, outcome: Published | Exception) -> None:
    if one.future.done():
        return
    if isinstance(outcome, Exception):
        one.future.set_exception(outcome)
    else:
        one.future.set_result(outcome)


def _indexed(news: Sequence[NewVersion], places: Sequence[Reserved]) -> list[IndexedChunk]:
    found: list[IndexedChunk] = []
    for new, reserved in zip(news, places, strict=True):
        numbered = enumerate(new.chunks, reserved.first_chunk)
        kept = [(chunk_id, chunk) for chunk_id, chunk in numbered if chunk.ordinal not in new.quarantined]
        for (chunk_id, chunk), vector in zip(kept, new.vectors, strict=True):
            terms = index_terms(new.topic, chunk.title_path, chunk.text)
            found.append(IndexedChunk(chunk_id, reserved.version, reserved.collection, terms, vector, new.labels))
    return found
