"""The store of truth in one SQLite file: a connection that writes, one that reads. What is acked is on disk (synchronous=FULL)."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from services.mesh.sqlite import Database
from services.retriever import truth_reads
from services.retriever.folder_lock import lock_folder
from services.retriever.truth import Connection
from services.retriever.truth_schema import TruthUnusable, migrate

T = TypeVar("T")


class SqliteTruth:
    """Opens the store in `folder`, and keeps other processes out of it: the index beside it has room for one.

    Raises:
        TruthUnusable: where another process has it open, or the file is none of this release.
    """

    follower = ""
    shared = False

    def __init__(self, folder: Path) -> None:
        self._lock = lock_folder(folder)
        self.path = folder / "truth.db"
        try:
            self._writer = Database(self.path, "documents", synchronous="FULL")
            self._writer.setup(migrate)
            # Searches do not wait behind an import: WAL lets them read beside it.
            self._reader = Database(self.path, "documents", synchronous="NORMAL")
            self.instance = self._reader.setup(lambda connection: truth_reads.meta(connection, "instance"))
        except sqlite3.DatabaseError as error:
            os.close(self._lock)
            raise TruthUnusable(f"the store cannot be read ({error}): restore it from a backup, or move it away") from error
        except TruthUnusable:
            os.close(self._lock)
            raise

    async def open(self) -> None:
        """It is open from the beginning."""

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Runs `work` on one state of the store.

        Raises:
            MeshError: STORE_UNAVAILABLE, and what `work` raises.
        """

        def consistent(connection: sqlite3.Connection) -> T:
            connection.execute("BEGIN")
            try:
                return work(connection)
            finally:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")

        return await self._reader.read(consistent)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Runs `work` as one transaction that is on disk when this returns.

        Raises:
            MeshError: STORE_UNAVAILABLE, and what `work` raises.
        """
        return await self._writer.write(work)

    @contextmanager
    def beside(self) -> Iterator[sqlite3.Connection]:
        """A connection of one's own, for reading much without holding up anybody. For a thread, never for the loop."""
        connection = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, isolation_level=None)
        connection.row_factory = sqlite3.Row
        try:
            connection.execute("BEGIN")
            yield connection
        finally:
            connection.close()

    async def changed(self) -> None:
        """Nobody else changes it."""
        await asyncio.Event().wait()

    def refuse_others(self) -> None:
        """The lock of the folder keeps them out."""

    async def close(self) -> None:
        """Closes the file and lets other processes in."""
        await self._reader.close()
        await self._writer.close()
        os.close(self._lock)
