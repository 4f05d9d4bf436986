"""Keeps the lexicons of the collections: learned off the loop when a search needs one, again after the collection changed.

A search waits for one only a moment: what is not learned yet is done without, what is older than the collection is used meanwhile.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from services.mesh import telemetry
from services.mesh.errors import MeshError
from services.mesh.log import get_logger
from services.retriever import truth_reads
from services.retriever.giving_way import GivingWay
from services.retriever.records import Reader
from services.retriever.rewriting.lexicon import Lexicon, learn
from services.retriever.truth import Connection, Truth

log = get_logger(__name__)

T = TypeVar("T")

MAX_CHUNKS = 50_000
"""Chunks that a lexicon is learned from, the newest: enough for the words of any language."""
MAX_LEXICONS = 16
"""For as many pairs of collection and rights. The one unused for longest goes first."""
_BATCH = 512
_STRETCH = 16
"""Chunks between two looks whether somebody waits for a search: some milliseconds of the interpreter."""
_PAUSE_SECONDS = 0.002
_LONGEST_PAUSE_SECONDS = 0.05
_REST = 20
"""A collection that changes all the time is learned anew at most one twentieth of the time."""
_FIRST = 5
"""Times as long a search waits for a lexicon of which there is none yet."""
_NOTHING = Lexicon()


@dataclass(slots=True)
class _Kept:
    lexicon: Lexicon = _NOTHING
    epoch: int = -1
    again: float = 0.0
    """When it may be learned again, on the monotonic clock."""
    learning: asyncio.Task[None] | None = field(default=None)
    begun: float = 0.0
    """When that began, on the monotonic clock."""
    work: float = 0.0
    """Seconds of work that it took to learn it."""


class LexiconKeeper:
    """Lexicons by collection and reader.

    Args:
        way: knows whether somebody waits for a search; what is learned rests meanwhile.
        wait_seconds: how long a search may wait for its lexicon.
    """

    def __init__(self, truth: Truth, way: GivingWay, *, wait_seconds: float) -> None:
        self._truth = truth
        self._way = way
        self._wait_seconds = wait_seconds
        self._kept: dict[tuple[int, Reader], _Kept] = {}
        self._learning = ThreadPoolExecutor(1, thread_name_prefix="lexicon")

    async def of(self, reader: Reader, collection: int, epoch: int) -> Lexicon:
        """What the collection says about words, as far as the reader may read it; nothing where it is not learned yet.

        Args:
            epoch: of the store of truth.
        """
        kept = self._kept.pop((collection, reader), None) or _Kept()
        self._kept[collection, reader] = kept
        while len(self._kept) > MAX_LEXICONS:
            self._kept.pop(next(iter(self._kept)))
        if kept.epoch != epoch:
            if kept.learning is None and time.monotonic() >= kept.again:
                kept.begun = time.monotonic()
                kept.learning = asyncio.create_task(self._learn(kept, reader, collection, epoch), name="lexicon")
            if kept.learning is not None:
                # Who asks first shall not be the one whose question is misunderstood; that of a large collection takes longer than
                # anybody would wait, and then not every search waits in vain until it is there.
                first = max(0.0, kept.begun + self._wait_seconds * _FIRST - time.monotonic())
                patience = first if kept.epoch < 0 else self._wait_seconds
                # Where it would not come in time, the one that is there is as good now as in a moment.
                if kept.epoch < 0 or kept.work < patience:
                    await asyncio.wait({kept.learning}, timeout=patience)
        return kept.lexicon

    async def _learn(self, kept: _Kept, reader: Reader, collection: int, epoch: int) -> None:
        # What the first search waits for is not to wait for that search.
        rest = partial(self._rest, kept.begun + (self._wait_seconds * _FIRST if kept.epoch < 0 else 0))
        try:
            with telemetry.span("retriever.lexicon"):
                loop = asyncio.get_running_loop()
                kept.lexicon, kept.work = await loop.run_in_executor(self._learning, self._read, reader, collection, rest)
            kept.epoch = epoch
        except (sqlite3.Error, MeshError) as error:
            kept.work = time.monotonic() - kept.begun
            log.warning("lexicon.failed", reason=str(error))
        finally:
            kept.again = time.monotonic() + _REST * kept.work
            kept.learning = None

    def _read(self, reader: Reader, collection: int, rest: Callable[[], None]) -> tuple[Lexicon, float]:
        begun = time.thread_time()
        with self._truth.beside() as connection:
            made = learn(_resting(_texts(connection, reader, collection), rest))
        # Both are made when they are first asked for: here, and not on the loop.
        _ = made.stems, made.by_length, made.short_forms, made.short_of
        return made, time.thread_time() - begun

    def _rest(self, after: float) -> None:
        if time.monotonic() < after:
            return
        time.sleep(_PAUSE_SECONDS)
        ends = time.monotonic() + _LONGEST_PAUSE_SECONDS
        while self._way.asked and time.monotonic() < ends:
            time.sleep(_PAUSE_SECONDS)

    async def close(self) -> None:
        """Ends what is being learned."""
        tasks = [kept.learning for kept in self._kept.values() if kept.learning is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._learning.shutdown(cancel_futures=True)


def _texts(connection: Connection, reader: Reader, collection: int) -> Iterator[tuple[tuple[str, ...], str]]:
    rows = connection.execute(
        "SELECT chunk.id FROM document JOIN chunk ON chunk.version_id = document.current_version"
        " WHERE document.collection_id = ? ORDER BY chunk.id DESC LIMIT ?",
        (collection, MAX_CHUNKS),
    )
    ids = [int(row[0]) for row in rows]
    for first in range(0, len(ids), _BATCH):
        # The one function that knows who may read what.
        for chunk in truth_reads.visible_chunks(connection, reader, collection, ids[first : first + _BATCH]).values():
            yield chunk.title_path, chunk.text


def _resting(texts: Iterable[T], rest: Callable[[], None]) -> Iterator[T]:
    for number, text in enumerate(texts, 1):
        yield text
        if number % _STRETCH == 0:
            rest()
