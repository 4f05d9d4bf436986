"""Keeps the index in step with the store of truth: opens it, replays what it missed, and has it optimised.

Changes go: reserve ids in the truth (which names the version in the outbox), put the chunks into the index, commit in the truth. So
the chunks are there before their version is current, and what a killed process left behind is named in the outbox.
"""

from __future__ import annotations

import asyncio
import math
import shutil
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

from services.mesh.cancelling import cancelled
from services.mesh.errors import MeshError
from services.mesh.log import get_logger
from services.retriever import truth_reads, truth_writes
from services.retriever.giving_way import GivingWay
from services.retriever.index import IndexAway, IndexUnusable, OptimisableStore, StoreKind, VectorStore
from services.retriever.index_answering import AnsweringIndex
from services.retriever.index_building import IndexBuilder, Opened
from services.retriever.index_optimiser import Draft, IndexOptimiser, OptimiseRules
from services.retriever.records import Committed, IndexedChunk
from services.retriever.truth import Connection, Truth

log = get_logger(__name__)

_SETTLE_EVERY = 64
"""Outbox rows after which the index is flushed, so that a restart has little to replay."""
_FOLLOW_ROWS = 512
"""Rows of the outbox that are taken over at a time."""
_REPLAY_ROWS = 64
"""The same for a draft: 0.2 s of the interpreter, between which searches come."""
_DRAFT_ROWS = 50_000
"""Rows of the outbox that are kept for a draft. One that would need more is given up: the outbox has an end (`MAX_OUTBOX`)."""
_TELL_SECONDS = 3600.0
"""How often a store of truth that others share is told how far this index is, where nothing happens."""


class IndexKeeper(AnsweringIndex):
    """One index beside one store of truth.

    Args:
        name: what the kind is called; an index of another name is not opened.
        kind: makes and opens the index.
        fallback_chunks: most chunks that are held in memory while the index is broken.
        optimise: when the index is optimised; None: never.
        way: whom an optimised index waits for while it takes over what it missed.
    """

    def __init__(
        self,
        truth: Truth,
        folder: Path,
        name: str,
        kind: StoreKind,
        fallback_chunks: int,
        optimise: OptimiseRules | None = None,
        way: GivingWay | None = None,
    ) -> None:
        super().__init__(IndexBuilder(truth, folder, name, kind), fallback_chunks)
        self._truth = truth
        self._way = way or GivingWay(0)
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
        while not cancelled():
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
                await self._way.turn()
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
        rows, _ = await self._truth.read(partial(_changes, after=after, limit=_REPLAY_ROWS))
        wanted = [row for row in rows if row[0] <= upto]
        await asyncio.to_thread(self._builder.take_over, store, {version: current for _, version, current in wanted})
        return (wanted[-1][0] if wanted else after), len(wanted) == _REPLAY_ROWS

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

    async def drop(self, draft: Draft) -> None:
        """See `Drafting`."""
        if self._swapping is not None:
            await asyncio.gather(self._swapping, return_exceptions=True)
            self._swapping = None
        self._draft_from = None
        self._unsettled += 1
        await asyncio.to_thread(shutil.rmtree, draft.folder, ignore_errors=True)
        await self._settle_if_due()

    def _use(self, opened: Opened) -> None:
        super()._use(opened)
        self._position, self._followed_epoch = opened.position, opened.epoch

    async def close(self) -> None:
        """Flushes and closes."""
        for task in (self._optimising, self._rebuilding, self._following):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await self.settle()
        await self._close()


def _delete_version(version: int, store: VectorStore) -> None:
    store.delete_version(version)


def _embedder(connection: Connection) -> str:
    return truth_reads.meta(connection, "embedder")


def _changes(connection: Connection, after: int, limit: int = _FOLLOW_ROWS) -> tuple[list[tuple[int, int, bool]], int]:
    return truth_reads.outbox(connection, after, limit), int(truth_reads.meta(connection, "epoch"))


def _outbox_end(connection: Connection) -> tuple[int, int, str]:
    return truth_reads.outbox_end(connection), int(truth_reads.meta(connection, "epoch")), truth_reads.meta(connection, "embedder")
