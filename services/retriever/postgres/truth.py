"""The store of truth in PostgreSQL. Several retrievers may use it at once, each with an index that follows the outbox."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

import psycopg

from services.mesh.errors import MeshError
from services.mesh.log import get_logger
from services.retriever.folder_lock import lock_folder
from services.retriever.postgres.pool import READ, WRITE, TransactionPool
from services.retriever.postgres.reading import reading
from services.retriever.postgres.schema import migrate
from services.retriever.postgres.settings import PostgresSettings
from services.retriever.postgres.target import conninfo
from services.retriever.truth import Connection
from services.retriever.truth_schema import TruthUnusable

T = TypeVar("T")

log = get_logger(__name__)

_APPLICATION = "ragmesh-retriever"
_MINIMUM_VERSION = 140_000


class PostgresTruth:
    """Connects, brings the tables to this release, and keeps other processes out of `folder`: the index in it has room for one.

    Args:
        folder: of this retriever; holds the name under which its index follows the changes.

    Raises:
        TruthUnusable: the settings are not safe, or the server cannot be used.
    """

    shared = True

    def __init__(self, folder: Path, settings: PostgresSettings) -> None:
        self._settings = settings
        self._lock = lock_folder(folder)
        try:
            self.follower = _name_in(folder)
            self._target = conninfo(settings, f"{_APPLICATION} {self.follower}")
            # The index of each retriever is one of its own, also where all of them stand on one server.
            self.instance = _prepare(self._target) + self.follower
            self._pool = TransactionPool(self._target, settings)
        except BaseException:
            os.close(self._lock)
            raise

    async def open(self) -> None:
        """Makes the first connection of the pool.

        Raises:
            TruthUnusable: PostgreSQL does not answer any more.
        """
        try:
            await self._pool.open()
        except MeshError:
            raise TruthUnusable(f"{place(self._target)} does not answer any more") from None

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Runs `work` on one state of the store.

        Raises:
            MeshError: STORE_UNAVAILABLE, DEADLINE_EXCEEDED, and what `work` raises.
        """
        return await self._pool.transact(READ, work)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Runs `work` as one transaction that is on the server's disk when this returns, one at a time over all retrievers.

        Raises:
            MeshError: STORE_UNAVAILABLE, DEADLINE_EXCEEDED, and what `work` raises.
        """
        return await self._pool.transact(WRITE, work)

    def beside(self) -> AbstractContextManager[Connection]:
        """A connection of one's own, whose rows come in portions. For a thread, never for the loop.

        Raises:
            MeshError: STORE_UNAVAILABLE.
        """
        return reading(self._target, self._settings.statement_seconds)

    async def changed(self) -> None:
        """Returns after `follow_seconds`. A look costs one small question, and needs no connection that only listens."""
        await asyncio.sleep(self._settings.follow_seconds)

    def refuse_others(self) -> None:
        """Looks for connections of other retrievers.

        Raises:
            TruthUnusable: there are some, or PostgreSQL does not answer.
        """
        refuse_retrievers(self._target)

    async def close(self) -> None:
        """Closes all connections and lets other processes into the folder."""
        await self._pool.close()
        os.close(self._lock)


def _name_in(folder: Path) -> str:
    """The name of this retriever among those that follow: made once, kept with its index."""
    path = folder / "follower"
    if not path.is_file():
        fresh = path.with_suffix(".new")
        fresh.write_text(secrets.token_hex(8))
        fresh.replace(path)
    return path.read_text().strip()


def place(target: dict[str, Any]) -> str:
    """Where a server is, for people."""
    return f"PostgreSQL at {target.get('host') or target.get('hostaddr')}:{target.get('port') or 5432}"


def _prepare(target: dict[str, Any]) -> str:
    """Looks whether the server can be used and brings its tables to this release; returns the id of the store. Blocks."""
    try:
        with psycopg.connect(**target, autocommit=True) as connection:
            refuse_server(connection, target)
        migrate(target)
        with psycopg.connect(**target, autocommit=True) as connection:
            row = connection.execute("SELECT value FROM meta WHERE key = 'instance'").fetchone()
            assert row is not None
            return str(row[0])
    except psycopg.Error as error:
        raise TruthUnusable(why(target, error)) from None


def refuse_server(connection: psycopg.Connection[Any], target: dict[str, Any]) -> None:
    """Looks whether documents can be kept there.

    Raises:
        TruthUnusable: its version, or a setting that would lose or damage them.
    """
    if connection.info.server_version < _MINIMUM_VERSION:
        raise TruthUnusable(f"{place(target)} is older than PostgreSQL 14")
    row = connection.execute("SELECT current_setting('fsync'), current_setting('server_encoding')").fetchone()
    assert row is not None
    if row[0] != "on":
        raise TruthUnusable(f"{place(target)} runs with fsync off: it would lose documents in a crash")
    if row[1] != "UTF8":
        raise TruthUnusable(f"the database {target['dbname']} has the encoding {row[1]}: make one with UTF8")


def refuse_retrievers(target: dict[str, Any]) -> None:
    """Looks for connections of other retrievers to the database.

    Raises:
        TruthUnusable: there are some, or PostgreSQL does not answer.
    """
    try:
        with psycopg.connect(**target, autocommit=True) as connection:
            row = connection.execute(
                "SELECT count(DISTINCT application_name) FROM pg_stat_activity WHERE datname = current_database()"
                " AND starts_with(application_name, %s) AND application_name <> %s",
                (_APPLICATION, target["application_name"]),
            ).fetchone()
    except psycopg.Error as error:
        raise TruthUnusable(why(target, error)) from None
    if row is not None and row[0]:
        raise TruthUnusable(f"{row[0]} other retrievers use {place(target)}: stop them first")


def why(target: dict[str, Any], error: psycopg.Error) -> str:
    """What a person can do about a server that cannot be used. The driver's own words go to the log."""
    log.error("truth.refused", error=type(error).__name__, state=error.sqlstate, text=str(error)[:500])
    text, where = str(error), place(target)
    if "certificate" in text or "SSL" in text:
        return f"{where} and this machine do not agree on TLS, or its certificate is not the right one: see sslrootcert and the log"
    if isinstance(error, psycopg.errors.InvalidCatalogName) or ("does not exist" in text and "database" in text):
        return f"{where} has no database {target['dbname']}: CREATE DATABASE {target['dbname']} OWNER {target['user']}"
    if "authentication" in text or "password" in text or "no pg_hba.conf entry" in text or "role" in text:
        return f"{where} does not let {target['user']} in: look at the password file and at pg_hba.conf"
    return f"{where} does not answer: start it, or look at the address"
