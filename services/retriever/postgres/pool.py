"""Connections to one PostgreSQL, and transactions on them: with deadlines, a second try, and typed errors. Knows no table."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import psycopg
from psycopg import errors
from psycopg.types.numeric import Int8Dumper
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from services.mesh import context, telemetry
from services.mesh.errors import MeshError
from services.mesh.log import get_logger
from services.retriever.postgres import suspending
from services.retriever.postgres.settings import PostgresSettings
from services.retriever.truth import Connection

T = TypeVar("T")

log = get_logger(__name__)

# ASCII of "ragmesh": changes of all retrievers take this lock, one after the other, as SQLite's do.
_WRITING = 0x7261676D657368
READ = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"
"""One state of the store for all questions of a transaction."""
WRITE = f"BEGIN; SELECT pg_advisory_xact_lock({_WRITING})"
"""One change at a time over all retrievers: so that rows of the outbox come in the order of the commits, and no id is given twice.
What a statement sees begins after the lock was taken (READ COMMITTED), so with everything that was committed before."""
_AWAY_SECONDS = 0.25
_STATEMENTS = 10
"""A transaction may take as long as so many of its slowest statements."""
_AGAIN = (errors.SerializationFailure, errors.DeadlockDetected)


class TransactionPool:
    """A pool that is opened once, and closed.

    Args:
        target: parameters for the driver, see `target.conninfo`.
    """

    def __init__(self, target: dict[str, Any], settings: PostgresSettings) -> None:
        self._settings = settings
        self._away = False
        """Whether nobody got a connection lately: then callers hardly wait, and who follows the changes tries again and again."""
        self._pool = AsyncConnectionPool(
            kwargs={**target, "autocommit": True},
            min_size=1,
            max_size=settings.pool_size,
            open=False,
            configure=self._configure,
            timeout=settings.connect_seconds,
            max_waiting=64 * settings.pool_size,
            max_lifetime=3600.0,
            max_idle=300.0,
            # Given up soon, and tried again by whoever wants a connection next: a server that was away for long is back at once.
            reconnect_timeout=settings.connect_seconds,
            num_workers=2,
        )

    async def _configure(self, connection: psycopg.AsyncConnection[Any]) -> None:
        prepare(connection)
        await connection.execute(
            "SELECT set_config('statement_timeout', %s, false), set_config('lock_timeout', %s, false),"
            " set_config('idle_in_transaction_session_timeout', %s, false)",
            [
                str(round(seconds * 1000))
                for seconds in (
                    self._settings.statement_seconds,
                    self._settings.lock_seconds,
                    2 * self._settings.statement_seconds,
                )
            ],
        )
        # What is acked is on disk, whatever the server's default is. Stricter ones (remote_apply) stay.
        await connection.execute(
            "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') IN ('off', 'local')"
        )

    async def open(self) -> None:
        """Makes the first connection.

        Raises:
            MeshError: STORE_UNAVAILABLE.
        """
        try:
            await self._pool.open(wait=True, timeout=self._settings.connect_seconds)
        except PoolTimeout:
            raise unavailable() from None

    async def transact(self, begin: str, work: Callable[[Connection], T]) -> T:
        """Runs `work` as one transaction; `begin` is `READ` or `WRITE`.

        Within the time that the call has left; what is cut off is cancelled on the server. A connection that is lost and a conflict
        with others are tried once more, but never where the end of the transaction was on its way: nobody knows what became of it.

        Raises:
            MeshError: STORE_UNAVAILABLE, DEADLINE_EXCEEDED, and what `work` raises.
        """
        left, most = context.remaining(), _STATEMENTS * self._settings.statement_seconds
        kind = "read" if begin is READ else "write"
        try:
            # Statements have limits of their own; this one is for the whole, also where a server says nothing at all.
            async with asyncio.timeout(min(left, most)):
                with telemetry.span(f"store documents {kind}", ragmesh__store="documents"):
                    try:
                        return await self._attempt(begin, work)
                    except _Retry:
                        # After a restart of the server every connection of the pool is dead: look before the second try.
                        await self._pool.check()
                        return await self._attempt(begin, work)
        except TimeoutError:
            if left < most:
                raise MeshError("DEADLINE_EXCEEDED", "the time of this call is used up") from None
            raise unavailable() from None
        except _Retry as failed:
            raise logged(failed.error) from None
        except psycopg.Error as error:
            raise logged(error) from None

    async def _attempt(self, begin: str, work: Callable[[Connection], T]) -> T:
        async with self._connection() as connection:
            try:
                await connection.execute(begin.encode())
                result = await (suspending.run if begin is READ else suspending.run_writing)(work, connection)
            except BaseException as error:
                await _roll_back(connection)
                if isinstance(error, _AGAIN) or (isinstance(error, psycopg.Error) and connection.closed):
                    raise _Retry(error) from None
                raise
            # Whether a change whose COMMIT got no answer has happened is not known: that is never tried again.
            await connection.execute(b"ROLLBACK" if begin is READ else b"COMMIT")
            return result

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        try:
            connection = await self._pool.getconn(_AWAY_SECONDS if self._away else self._settings.connect_seconds)
        except PoolTimeout:
            self._away = True
            raise
        self._away = False
        try:
            yield connection
        finally:
            # One that is broken, or in a transaction still, is thrown away or rolled back there.
            await self._pool.putconn(connection)

    async def close(self) -> None:
        """Closes all connections."""
        await self._pool.close(self._settings.connect_seconds)


class _Retry(Exception):
    def __init__(self, error: psycopg.Error) -> None:
        super().__init__()
        self.error = error


async def _roll_back(connection: psycopg.AsyncConnection[Any]) -> None:
    # Where that fails too, the pool throws the connection away.
    with suppress(psycopg.Error):
        if not connection.closed:
            await connection.execute(b"ROLLBACK")


def prepare(connection: psycopg.BaseConnection[Any]) -> None:
    """Numbers go as 64 bits, whatever their size: one prepared statement for all."""
    connection.adapters.register_dumper(int, Int8Dumper)


def unavailable() -> MeshError:
    """What a caller gets to know."""
    return MeshError("STORE_UNAVAILABLE", "the store does not take this now", metadata={"store": "documents"})


def logged(error: psycopg.Error) -> MeshError:
    """The driver's text goes to the log, the caller gets a reason."""
    log.error("store.failed", store="documents", error=type(error).__name__, state=error.sqlstate, text=str(error)[:500])
    return unavailable()
