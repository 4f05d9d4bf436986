"""Keeps the index in step with the store of truth: opens it, replays what it missed, rebuilds it, and answers while it is broken.

Changes go: reserve ids in the truth (which names the version in the outbox), put the chunks into the index, commit in the truth. So
the chunks are there before their version is current, and what a killed process left behind is named in the outbox.
"""

from __future__ import annotations

import asyncio
import math
import shutil
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from services.mesh import telemetry
from services.mesh.errors import MeshError
from services.mesh.log import get_logger
from services.retriever import truth_reads, truth_writes
from services.retriever.exact_store import ExactStore
from services.retriever.index import (
    FusedHit,
    FusingStore,
    Hit,
    IndexAway,
    IndexLate,
    IndexUnusable,
    Labels,
    OptimisableStore,
    StoreKind,
    VectorStore,
    WeightedTerms,
)
from services.retriever.index_building import IndexBuilder, Opened
from services.retriever.index_optimiser import Draft, IndexOptimiser, OptimiseRules
from services.retriever.records import Committed, IndexedChunk
from services.retriever.truth import Connection, Truth

log = get_logger(__name__)

T = TypeVar("T")
_SETTLE_EVERY = 64
"""Outbox rows after which the index is flushed, so that a restart has little to replay."""
_REPAIR_PAUSE_SECONDS = 5.0
_FOLLOW_ROWS = 512
"""Rows of the outbox that are taken over at a time."""
_DRAFT_ROWS = 50_000
"""Rows of the outbox that are kept for a draft. One that would need more is given up: the outbox has an end (`MAX_OUTBOX`)."""
_SEARCHES = 2
_DRAIN_SECONDS = 60.0
_TELL_SECONDS = 3600.0
"""How often a store of truth that others share is told how far this index is, where nothing happens."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a leg found, best first."""

    hits: list[Hit]
    by_stand_in: bool
    """Whether the exact store answered, because the index is broken."""


class IndexKeeper:
    """One index beside one store of truth.

    Args:
        name: what the kind is called; an index of another name is not opened.
        kind: makes and opens the index.
        fallback_chunks: most chunks that are held in memory while the index is broken.
        optimise: when the index is optimised; None: never.
    """

    def __init__(
        self,
        truth: Truth,
        folder: Path,
        name: str,
        kind: StoreKind,
        fallback_chunks: int,
        optimise: OptimiseRules | None = None,
    ) -> None:
        self._truth = truth
        self._builder = IndexBuilder(truth, folder, name, kind)
        self._fallback_chunks = fallback_chunks
        self._searching = ThreadPoolExecutor(max_workers=_SEARCHES, thread_name_prefix="index-search")
        self._changing = ThreadPoolExecutor(max_workers=1, thread_name_prefix="index-change")
        self._turn = asyncio.Lock()
        self._filling = asyncio.Lock()
        self._store: VectorStore | None = None
        self._fallback: ExactStore | None = None
        self._rebuilding: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None
        self._optimiser = IndexOptimiser(self, optimise) if optimise is not None else None
        self._optimising: asyncio.Task[None] | None = None
        self._swapping: asyncio.Task[VectorStore] | None = None
        self._draft_from: int | None = None
        """Row of the outbox from which a draft needs everything, while there is one."""
        self._unsettled = 0
        self._position = 0
        """Row of the outbox up to which the index has everything; beyond it, what `_own` names."""
        self._followed_epoch = 0
        """Where the store of truth stood at that row."""
        self._own: set[int] = set()
        self.epoch = 0
        """The last change of the store of truth that searches see."""

    @property
    def healthy(self) -> bool:
        """Whether the index itself answers."""
        return self._store is not None

    async def open(self) -> None:
        """Opens the index, or builds it where it is missing, damaged, behind or made by other rules.

        Where its server does not answer, it is tried again until it does.
        """
        try:
            async with self._turn:
                await self._change(lambda: self._use(self._builder.open()))
        except IndexAway as reason:
            log.error("index.away", reason=str(reason))
            self._rebuilding = asyncio.create_task(self._return(None), name="index-return")
        if self._truth.shared:
            # From now on the outbox is kept for this index too.
            self._unsettled += 1
            await self.settle()
            self._following = asyncio.create_task(self._follow(), name="index-follow")
        if self._optimiser is not None:
            self._optimising = asyncio.create_task(self._optimiser.run(), name="index-optimise")

    async def _follow(self) -> None:
        """Takes over what other processes change in the store of truth."""
        told = time.monotonic()
        while True:
            await self._truth.changed()
            try:
                async with self._turn:
                    await self._catch_up()
                if time.monotonic() - told > _TELL_SECONDS:
                    told = time.monotonic()
                    self._unsettled = max(self._unsettled, _SETTLE_EVERY)
                await self._settle_if_due()
            except MeshError as error:
                log.warning("index.follow_failed", reason=error.reason)

    async def _catch_up(self) -> None:
        """Takes over what the outbox names and this process did not do itself. Only with the turn."""
        while self._store is not None:
            rows, epoch = await self._truth.read(partial(_changes, after=self._position))
            # The last row of a version counts: what was done here later has seen what others did before.
            last = {version: (seq, current) for seq, version, current in rows}
            others = {version: current for version, (seq, current) in last.items() if seq not in self._own}
            if others and not await self._attempt(partial(self._builder.take_over, versions=others)):
                return
            self._position = rows[-1][0] if rows else self._position
            self._followed_epoch, self.epoch = epoch, max(self.epoch, epoch)
            self._own = {seq for seq in self._own if seq > self._position}
            self._unsettled += len(others)
            if len(rows) < _FOLLOW_ROWS:
                return

    async def publish(self, version: int, chunks: Sequence[IndexedChunk], commit: Callable[[], Awaitable[Committed]]) -> Committed:
        """Puts the chunks of a version into the index, makes it current by `commit`, then forgets what that made stale.

        A broken index changes nothing about that: it is rebuilt from what was committed. Changes come one at a time, so that no
        rebuild falls between the two halves of one.
        """
        return await self.publish_all([version], chunks, commit)

    async def publish_all(
        self, versions: Sequence[int], chunks: Sequence[IndexedChunk], commit: Callable[[], Awaitable[Committed]]
    ) -> Committed:
        """As `publish`, for versions that become current together."""
        async with self._turn:
            await self._attempt(lambda store: store.upsert(chunks))
            try:
                committed = await commit()
            except BaseException:
                for version in versions:
                    await self._attempt(partial(_delete_version, version))
                raise
            await self._advance(committed)
        await self._settle_if_due()
        return committed

    async def exchange(
        self, version: int, commit: Callable[[], Awaitable[Committed]], chunks: Callable[[], Awaitable[Sequence[IndexedChunk]]]
    ) -> Committed:
        """Changes by `commit` which chunks of a current version are found, then puts those of now in the place of all."""
        async with self._turn:
            committed = await commit()
            found = await chunks()
            await self._attempt(partial(_delete_version, version))
            await self._attempt(lambda store: store.upsert(found))
            await self._advance(committed)
        await self.settle()
        return committed

    async def withdraw(self, commit: Callable[[], Awaitable[Committed]]) -> Committed:
        """Deletes a document by `commit`, then forgets its chunks, on disk before this returns."""
        async with self._turn:
            committed = await commit()
            await self._advance(committed)
        await self.settle()
        return committed

    async def _advance(self, committed: Committed) -> None:
        for version in committed.stale:
            await self._attempt(partial(_delete_version, version))
        self.epoch = max(self.epoch, committed.epoch)
        self._unsettled += 1
        if self._truth.shared:
            self._own.update(committed.announced)

    async def _settle_if_due(self) -> None:
        if self._unsettled >= _SETTLE_EVERY:
            await self.settle()

    async def settle(self) -> None:
        """Flushes the index and clears what is flushed from the outbox."""
        async with self._turn:
            if self._store is None or self._unsettled == 0:
                return
            upto, epoch, embedder = await self._standing()
            self._unsettled = 0
            if not await self._attempt(lambda store: store.flush(epoch, embedder)):
                return
            if self._draft_from is not None:
                if upto - self._draft_from <= _DRAFT_ROWS:
                    return
                self._draft_from = None
            await self._truth.write(lambda connection: truth_writes.settle(connection, upto, epoch, self._truth.follower))

    async def unoptimised(self) -> tuple[int, int]:
        """See `Drafting`."""
        store = self._store
        if not isinstance(store, OptimisableStore):
            return 0, 0
        return store.unoptimised(), await asyncio.get_running_loop().run_in_executor(self._searching, store.count)

    async def draft(self) -> Draft:
        """See `Drafting`; raises IndexUnusable, MeshError or OSError, and leaves nothing then."""
        folder = self._builder.draft_folder()
        async with self._turn:
            position, epoch, embedder = await self._standing()
            store = self._store
            if not isinstance(store, OptimisableStore):
                raise IndexUnusable("there is no index to optimise")
            if not await self._attempt(lambda store: store.flush(epoch, embedder)):
                raise IndexUnusable("the index cannot be flushed")
            await self._truth.write(lambda connection: truth_writes.settle(connection, position, epoch, self._truth.follower))
            try:
                program = await self._change(lambda: store.draft(folder))
            except (IndexUnusable, OSError):
                shutil.rmtree(folder, ignore_errors=True)
                raise
            self._draft_from = position
        return Draft(store, folder, program, position)

    async def _standing(self) -> tuple[int, int, str]:
        """Up to which row of the outbox the index has everything, at which epoch, by which embedder. Only with the turn."""
        if self._truth.shared:
            await self._catch_up()
            return self._position, self._followed_epoch, await self._truth.read(_embedder)
        return await self._truth.read(_outbox_end)

    async def take(self, draft: Draft) -> None:
        """See `Drafting`; raises IndexUnusable, MeshError or OSError, and the index is the one that it was then."""
        fresh = await asyncio.to_thread(self._builder.open_draft, draft.folder)
        try:
            position, more = draft.position, True
            while more and self._draft_from is not None:
                position, more = await self._replay(fresh, position)
        except BaseException:
            fresh.close()
            raise
        # Not to be left in the middle: the index in use and its folder change together.
        self._swapping = asyncio.create_task(self._swap(draft, fresh, position), name="index-swap")
        former = await asyncio.shield(self._swapping)
        await self._retire(former)

    async def _replay(self, store: VectorStore, after: int, upto: float = math.inf) -> tuple[int, bool]:
        """Puts changes from the outbox into a store; returns the row where it is then, and whether there may be more."""
        rows, _ = await self._truth.read(partial(_changes, after=after))
        wanted = [row for row in rows if row[0] <= upto]
        await asyncio.to_thread(self._builder.take_over, store, {version: current for _, version, current in wanted})
        return (wanted[-1][0] if wanted else after), len(wanted) == _FOLLOW_ROWS

    async def _swap(self, draft: Draft, fresh: VectorStore, position: int) -> VectorStore:
        async with self._turn:
            try:
                upto, epoch, embedder = await self._standing()
                more = True
                while more:
                    if self._store is not draft.of or self._draft_from is None:
                        raise IndexUnusable("the index was built anew meanwhile, or too much was changed")
                    position, more = await self._replay(fresh, position, upto)
                held, expected = await self._change(fresh.count), await self._change(draft.of.count)
                if held != expected:
                    raise IndexUnusable(f"the optimised index holds {held} chunks, the one in use {expected}")
                await self._change(lambda: fresh.flush(epoch, embedder))
            finally:
                await self._change(fresh.close)
            former = draft.of
            await self._change(lambda: self._builder.exchange(draft.folder))
            try:
                self._store = await self._change(self._builder.reopen)
            except IndexUnusable as reason:
                self._broken(former, reason)
                raise
        return former

    async def _retire(self, store: VectorStore) -> None:
        """Closes an index once the searches that were asked of it have their answers."""
        loop, met = asyncio.get_running_loop(), threading.Barrier(_SEARCHES)
        try:
            # Both threads meet behind everything that was waiting for them.
            await asyncio.gather(*(loop.run_in_executor(self._searching, met.wait, _DRAIN_SECONDS) for _ in range(_SEARCHES)))
            await loop.run_in_executor(self._searching, store.close)
        except (threading.BrokenBarrierError, IndexUnusable) as reason:
            log.warning("index.close_failed", reason=str(reason))

    async def drop(self, draft: Draft) -> None:
        """See `Drafting`."""
        if self._swapping is not None:
            await asyncio.gather(self._swapping, return_exceptions=True)
            self._swapping = None
        self._draft_from = None
        self._unsettled += 1
        await asyncio.to_thread(shutil.rmtree, draft.folder, ignore_errors=True)
        await self._settle_if_due()

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
        self._position, self._followed_epoch = opened.position, opened.epoch

    async def close(self) -> None:
        """Flushes and closes."""
        for task in (self._optimising, self._rebuilding, self._following):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await self.settle()
        async with self._turn:
            if self._store is not None:
                await self._attempt(lambda store: store.close())
                self._store = None
        self._searching.shutdown()
        self._changing.shutdown()


def _delete_version(version: int, store: VectorStore) -> None:
    store.delete_version(version)


def _embedder(connection: Connection) -> str:
    return truth_reads.meta(connection, "embedder")


def _changes(connection: Connection, after: int) -> tuple[list[tuple[int, int, bool]], int]:
    return truth_reads.outbox(connection, after, _FOLLOW_ROWS), int(truth_reads.meta(connection, "epoch"))


def _outbox_end(connection: Connection) -> tuple[int, int, str]:
    return truth_reads.outbox_end(connection), int(truth_reads.meta(connection, "epoch")), truth_reads.meta(connection, "embedder")


def _unavailable() -> MeshError:
    return MeshError("STORE_UNAVAILABLE", "the index is being rebuilt", metadata={"store": "index"})
