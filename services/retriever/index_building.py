"""Opens an index and brings it up to date with the store of truth, or builds it anew. Everything here blocks: it is for threads.

Knows neither searches nor changes that go on meanwhile; what is opened says up to which row of the outbox it has everything.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from services.mesh.errors import MeshError
from services.mesh.log import get_logger
from services.retriever import truth_reads
from services.retriever.exact_store import ExactStore
from services.retriever.index import (
    IndexAway,
    IndexMeta,
    IndexUnusable,
    StoreKind,
    VectorStore,
    in_batches,
    moved_folder,
    take_moved,
)
from services.retriever.truth import Connection, Truth

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Opened:
    """An index that has everything up to a row of the outbox."""

    store: VectorStore
    epoch: int
    """Where the store of truth stood at that row."""
    position: int


class IndexBuilder:
    """Makes the index of one folder.

    Args:
        name: what the kind is called; an index of another name is not opened.
        kind: makes and opens the index.
    """

    def __init__(self, truth: Truth, folder: Path, name: str, kind: StoreKind) -> None:
        self._truth = truth
        self._folder = folder
        self._name = name
        self._kind = kind

    def open(self) -> Opened:
        """The index in the folder with what it missed; one built anew where it is missing, damaged, behind or of other rules.

        Raises:
            IndexAway: its server does not answer.
            IndexUnusable, MeshError, OSError: it cannot be built either.
        """
        take_moved(self._folder, self._name)
        for leftover in self._folder.parent.glob(f"{self._folder.name}.*"):
            shutil.rmtree(leftover, ignore_errors=True)
        try:
            store = self._kind.open(self._folder)
        except IndexAway:
            raise
        except IndexUnusable as reason:
            log.info("index.rebuild", reason=str(reason))
            return self.rebuild()
        try:
            return self._brought_up_to_date(store)
        except IndexAway:
            store.close()
            raise
        except IndexUnusable as reason:
            log.warning("index.rebuild", reason=str(reason))
            store.close()
            return self.rebuild()

    def _brought_up_to_date(self, store: VectorStore) -> Opened:
        with self._truth.beside() as connection:
            epoch = int(truth_reads.meta(connection, "epoch"))
            followed = truth_reads.followed(connection, self._truth.follower)
            wanted = self._meta(truth_reads.meta(connection, "embedder"), store.epoch)
            meta = IndexMeta.read(self._folder)
            if not meta.same_source(wanted):
                raise IndexUnusable("it was built by other rules, from another store or with another embedder")
            if followed is None:
                raise IndexUnusable("the outbox does not have all the changes any more that it missed")
            if not followed.epoch <= store.epoch <= epoch:
                raise IndexUnusable(f"it stands at epoch {store.epoch}, the store of truth at {followed.epoch} to {epoch}")
            position = truth_reads.outbox_end(connection)
            missed = ((version, current) for _, version, current in truth_reads.outbox(connection, followed.position))
            _put(store, connection, wanted.embedder, missed)
            held, expected = store.count(), truth_reads.count_indexed(connection)
            if meta.worn(held):
                raise IndexUnusable(f"it holds {held} of {meta.written} chunks that were written")
            if held != expected:
                raise IndexUnusable(f"it holds {held} chunks, the store of truth {expected}")
        store.flush(epoch, wanted.embedder)
        return Opened(store, epoch, position)

    def rebuild(self) -> Opened:
        """Builds the index anew beside the old one, which it then takes the place of.

        Raises:
            IndexUnusable, MeshError, OSError.
        """
        fresh = self.draft_folder()
        with self._truth.beside() as connection:
            epoch = int(truth_reads.meta(connection, "epoch"))
            embedder = truth_reads.meta(connection, "embedder")
            position = truth_reads.outbox_end(connection)
            store: VectorStore = self._kind.create(fresh, self._meta(embedder, epoch))
            for batch in in_batches(truth_reads.indexed_chunks(connection, embedder)):
                store.upsert(batch)
        store.flush(epoch, embedder)
        store.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        fresh.rename(self._folder)
        store = self.reopen()
        log.info("index.built", chunks=store.count(), epoch=epoch)
        return Opened(store, epoch, position)

    def reopen(self) -> VectorStore:
        """The index in the folder, which this process wrote a moment ago.

        Raises:
            IndexUnusable.
        """
        return self._kind.open(self._folder, trusted=True)

    def open_draft(self, folder: Path) -> VectorStore:
        """An index beside the one in use.

        Raises:
            IndexUnusable.
        """
        return self._kind.open(folder)

    def draft_folder(self) -> Path:
        """A folder for an index beside the one in use; `open` removes what is left of such."""
        return self._folder.with_name(f"{self._folder.name}.{secrets.token_hex(4)}")

    def exchange(self, place: Path) -> None:
        """The index at `place` becomes that of the folder, and the one in use goes to `place`.

        Killed before the first line, the next start opens the index in use; after it, `take_moved` finishes this.

        Raises:
            OSError: the folders are as they were.
        """
        moved = moved_folder(self._folder)
        place.rename(moved)
        try:
            self._folder.rename(place)
            moved.rename(self._folder)
        except OSError:
            if not self._folder.exists():
                place.rename(self._folder)
            shutil.rmtree(moved, ignore_errors=True)
            raise

    def take_over(self, store: VectorStore, versions: Mapping[int, bool]) -> None:
        """Puts into `store` what the store of truth has of `versions`; of each, whether it is current.

        Raises:
            IndexUnusable, MeshError.
        """
        with self._truth.beside() as connection:
            _put(store, connection, truth_reads.meta(connection, "embedder"), versions.items())

    def stand_in(self, most: int) -> ExactStore:
        """All chunks in memory.

        Raises:
            MeshError: STORE_UNAVAILABLE, for more than `most` of them.
        """
        with self._truth.beside() as connection:
            if truth_reads.count_indexed(connection) > most:
                raise MeshError("STORE_UNAVAILABLE", "the index is being rebuilt", metadata={"store": "index"})
            embedder = truth_reads.meta(connection, "embedder")
            store = ExactStore.in_memory(self._meta(embedder, int(truth_reads.meta(connection, "epoch"))))
            for batch in in_batches(truth_reads.indexed_chunks(connection, embedder)):
                store.upsert(batch)
        return store

    def _meta(self, embedder: str, epoch: int) -> IndexMeta:
        return IndexMeta(self._name, self._truth.instance, embedder, epoch)


def _put(store: VectorStore, connection: Connection, embedder: str, versions: Iterable[tuple[int, bool]]) -> None:
    for version, current in versions:
        store.delete_version(version)
        if current:
            for batch in in_batches(truth_reads.indexed_chunks(connection, embedder, version)):
                store.upsert(batch)
