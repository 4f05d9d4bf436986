"""The store of truth: one SQLite file, a connection that writes and one that reads. What is acked is on disk (synchronous=FULL).

Which questions and changes there are stands in `truth_reads` and `truth_writes`.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from services.mesh.sqlite import Database
from services.retriever import truth_reads
from services.retriever.truth_schema import TruthUnusable, migrate

T = TypeVar("T")


class Truth:
    """Opens the store in `folder`, and keeps other processes out of it: the index beside it has room for one.

    Raises:
        TruthUnusable: where another process has it open, or the file is none of this release.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = folder / "truth.db"
        self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._writer = Database(self.path, "documents", synchronous="FULL")
            self._writer.setup(migrate)
            # Searches do not wait behind an import: WAL lets them read beside it.
            self._reader = Database(self.path, "documents", synchronous="NORMAL")
            self.instance = self._reader.setup(lambda connection: truth_reads.meta(connection, "instance"))
        except BlockingIOError:
            os.close(self._lock)
            raise TruthUnusable(f"another process uses {folder}: stop it first") from None
        except sqlite3.DatabaseError as error:
            os.close(self._lock)
            raise TruthUnusable(f"the store cannot be read ({error}): restore it from a backup, or move it away") from error
        except TruthUnusable:
            os.close(self._lock)
            raise

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
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

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
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

    async def close(self) -> None:
        """Closes the file and lets other processes in."""
        await self._reader.close()
        await self._writer.close()
        os.close(self._lock)
