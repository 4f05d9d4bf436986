"""One SQLite database, used from an asyncio loop through a thread of its own.

WAL, foreign keys, transactions that either happen or do not. Knows no table.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, TypeVar

from services.mesh import telemetry
from services.mesh.errors import MeshError
from services.mesh.log import get_logger

T = TypeVar("T")

_log = get_logger(__name__)
_BUSY_SECONDS = 5.0


class Database:
    """Runs functions on one connection, one after the other.

    Args:
        path: the file; made with its folder where it is not there.
        name: how the store is called in errors, logs and spans.
        synchronous: NORMAL survives a killed process, FULL a power cut too (0.02 ms against 0.4 ms an append).
    """

    def __init__(self, path: Path, name: str, *, synchronous: Literal["NORMAL", "FULL"]) -> None:
        self._name = name
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"sqlite-{name}")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # autocommit: transactions begin and end where `_transact` says so, not where the driver thinks.
        self._connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute(f"PRAGMA synchronous = {synchronous}")
        self._connection.execute("PRAGMA foreign_keys = ON")
        self._connection.execute("PRAGMA secure_delete = ON")

    def setup(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` at once, on the calling thread. Only before the first call from a loop."""
        return work(self._connection)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` and return what it returns.

        Raises:
            MeshError: STORE_UNAVAILABLE, and what `work` raises.
        """
        return await self._run("read", work)

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in one transaction; whatever it raises undoes it.

        Raises:
            MeshError: STORE_UNAVAILABLE, and what `work` raises.
        """

        def transact(connection: sqlite3.Connection) -> T:
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(connection)
                connection.execute("COMMIT")
            except BaseException:
                # A full disk may have ended the transaction, or kept its COMMIT from happening: never leave one open.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            return result

        return await self._run("write", transact)

    async def _run(self, what: str, work: Callable[[sqlite3.Connection], T]) -> T:
        loop = asyncio.get_running_loop()
        try:
            with telemetry.span(f"store {self._name} {what}", ragmesh__store=self._name):
                return await loop.run_in_executor(self._thread, work, self._connection)
        except sqlite3.Error as error:
            _log.error("store.failed", store=self._name, error=str(error))
            raise MeshError("STORE_UNAVAILABLE", "the store does not take this now", metadata={"store": self._name}) from None

    async def close(self) -> None:
        """Finish what runs, then close."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._connection.close)
        self._thread.shutdown()
