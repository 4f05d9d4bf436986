"""Brings the stored documents of a source to what the source has: reads it, stores what changed, removes what vanished, counts.

A page that cannot be read or stored stops nothing, and is not taken for gone. What was acked stays whatever happens next. Knows no
gRPC message.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field

from services.mesh.errors import MeshError
from services.mesh.log import get_logger
from services.retriever import truth_reads, truth_sources, truth_writes
from services.retriever.canonical import DocumentRejected
from services.retriever.finishing import Finishing
from services.retriever.index_keeper import IndexKeeper
from services.retriever.ingest import Announced, Ingest, Stored
from services.retriever.records import DocumentKey
from services.retriever.sources.news import Ended, News, Page, Passed, Unread
from services.retriever.truth import Truth
from services.retriever.truth_sources import Known, SourceRecord

log = get_logger(__name__)

_AT_A_TIME = 4
"""Documents that were read and are not stored yet."""
MAX_FAILURES = 1_000


@dataclass(slots=True)
class Counts:
    """How far a refresh has come, and how it ended."""

    read: int = 0
    waiting: int = 0
    stored: int = 0
    unchanged: int = 0
    failed: int = 0
    chunks: int = 0
    skipped: int = 0
    removed: int = 0
    limit: str = ""
    """The limit that ended it; empty: it was read to its end."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What the store has of a source after a refresh."""

    documents: int
    chunks: int
    epoch: int


@dataclass(slots=True)
class _Round:
    """What is found out on the way."""

    source: SourceRecord
    labels: tuple[str, ...]
    counts: Counts
    known: dict[str, Known]
    there: set[str] = field(default_factory=set)
    """Names of documents that are not gone."""
    uris: set[str] = field(default_factory=set)
    pending: list[tuple[Page, asyncio.Task[Stored]]] = field(default_factory=list)


class Refreshing:
    """Refreshes sources, each once at a time."""

    def __init__(self, truth: Truth, index: IndexKeeper, ingest: Ingest, finishing: Finishing) -> None:
        self._truth = truth
        self._index = index
        self._ingest = ingest
        self._finishing = finishing
        self._running: set[int] = set()

    async def run(
        self,
        source: SourceRecord,
        news: AsyncIterator[News],
        labels: tuple[str, ...],
        counts: Counts,
        *,
        seconds: float,
        force: bool,
    ) -> AsyncGenerator[Unread | None, None]:
        """Works until the news end, and yields after each piece: a document that failed, or nothing but new `counts`.

        Args:
            counts: filled on the way.
            seconds: longest time that reading may take.
            force: remove documents even where the source has none any more.

        Raises:
            MeshError: REFRESH_IN_PROGRESS, SOURCE_UNREACHABLE, ADDRESS_NOT_ALLOWED, SOURCE_EMPTY.
        """
        if source.id in self._running:
            raise MeshError("REFRESH_IN_PROGRESS", "the source is being refreshed", metadata={"source": source.key.name})
        self._running.add(source.id)
        known = await self._truth.read(lambda connection: truth_sources.known_pages(connection, source.id))
        now = _Round(source, labels, counts, known)
        try:
            async for failure in self._take(now, news, seconds):
                yield failure
            async for failure in self._stored(now, 0):
                yield failure
            if not counts.limit:
                await self._remove(now, force)
                await self._truth.write(lambda connection: truth_sources.finish_refresh(connection, source.id, now.uris))
        finally:
            self._running.discard(source.id)
            for _, task in now.pending:
                task.cancel()
            await asyncio.gather(*(task for _, task in now.pending), return_exceptions=True)
            await self._finishing.run(self._index.settle())

    async def verified(self, source: SourceRecord) -> Verified:
        """What the store has of the source now."""
        documents, chunks = await self._truth.read(lambda connection: truth_sources.count_of(connection, source.key))
        return Verified(documents, chunks, self._index.epoch)

    async def _take(self, now: _Round, news: AsyncIterator[News], seconds: float) -> AsyncGenerator[Unread | None, None]:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while True:
            try:
                async with asyncio.timeout_at(until):
                    one = await anext(news, None)
            except TimeoutError:
                now.counts.limit = "max_time"
                return
            except DocumentRejected as rejected:
                raise MeshError(rejected.reason, rejected.message, metadata={"source": now.source.key.name}) from rejected
            if one is None:
                return
            now.counts.read += 1
            if isinstance(one, Ended):
                now.counts.limit = one.limit
                return
            failure = await self._news(now, one)
            yield failure
            async for failed in self._stored(now, _AT_A_TIME):
                yield failed

    async def _news(self, now: _Round, one: Page | Passed | Unread) -> Unread | None:
        now.uris.add(one.known.uri if not isinstance(one, Unread) and one.known is not None else one.uri)
        if isinstance(one, Unread):
            now.counts.failed += 1
            before = now.known.get(one.uri)
            now.there.update((before.document,) if before is not None else ())
            return one
        if isinstance(one, Passed):
            now.counts.skipped += 1
            if one.known is not None:
                await self._remember(now, one.known)
            return None
        now.there.add(one.known.document)
        if one.parsed is None:
            now.counts.unchanged += 1
            return None
        now.pending.append((one, asyncio.create_task(self._store(now, one))))
        return None

    async def _store(self, now: _Round, page: Page) -> Stored:
        assert page.parsed is not None
        announced = Announced(
            key=DocumentKey(now.source.key.tenant, now.source.key.collection, page.known.document),
            media_type=page.media_type[:128],
            size_bytes=page.size_bytes,
            sha256=page.known.sha256,
            title="",
            source_uri=page.uri,
            labels=now.labels,
            source=now.source.key.source,
        )
        return await self._ingest.store_parsed(announced, page.parsed)

    async def _stored(self, now: _Round, leave: int) -> AsyncGenerator[Unread, None]:
        """Waits until no more than `leave` documents are on their way; yields those that could not be stored."""
        while len(now.pending) > leave:
            page, task = now.pending[0]
            try:
                stored = await asyncio.shield(task)
            except (DocumentRejected, MeshError) as error:
                now.pending.pop(0)
                now.counts.failed += 1
                yield Unread(page.uri, error.reason, error.message)
                continue
            now.pending.pop(0)
            if stored.same_text:
                now.counts.unchanged += 1
            else:
                now.counts.stored += 1
                now.counts.chunks += stored.chunk_count
            # Only what is stored is known: a killed process reads the others again.
            await self._remember(now, page.known)

    async def _remember(self, now: _Round, known: Known) -> None:
        await self._truth.write(lambda connection: truth_sources.remember(connection, now.source.id, (known,)))

    async def _remove(self, now: _Round, force: bool) -> None:
        keys = await self._truth.read(lambda connection: truth_sources.document_keys(connection, now.source.key))
        gone = [key for key in keys if key.document not in now.there]
        if gone and len(gone) == len(keys) and not force:
            raise MeshError(
                "SOURCE_EMPTY",
                f"the source has nothing any more, and all its {len(keys)} documents would be removed: look at it, or force it",
                metadata={"source": now.source.key.name, "documents": str(len(keys))},
            )
        now.counts.removed = await self.remove(gone)

    async def remove(self, keys: list[DocumentKey]) -> int:
        """Deletes documents; returns how many were there."""
        removed = 0
        for key in keys:
            if await self._truth.read(lambda connection, key=key: truth_reads.document_exists(connection, key)):  # type: ignore[misc]
                await self._finishing.run(self._withdraw(key))
                removed += 1
        return removed

    async def _withdraw(self, key: DocumentKey) -> None:
        await self._index.withdraw(lambda: self._truth.write(lambda connection: truth_writes.delete(connection, key)))
