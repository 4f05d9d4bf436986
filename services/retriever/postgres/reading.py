"""Reading much on a connection of one's own, in a thread: rows come in portions, so that memory stays flat."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from services.retriever.postgres.pool import logged, prepare
from services.retriever.postgres.statements import Row, row_maker, translated
from services.retriever.truth import Connection

_PORTION = 256


@contextmanager
def reading(target: dict[str, Any], statement_seconds: float) -> Iterator[Connection]:
    """One state of the store, as long as it is open.

    Raises:
        MeshError: STORE_UNAVAILABLE, at any statement and any row.
    """
    try:
        with psycopg.connect(**target, autocommit=True) as connection:
            prepare(connection)
            connection.execute("SELECT set_config('statement_timeout', %s, false)", [str(round(statement_seconds * 1000))])
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield _Reading(connection)
            connection.execute("ROLLBACK")
    except psycopg.Error as error:
        raise logged(error) from None


class _Portions:
    """The rows of a statement, fetched from the server as they are asked for."""

    rowcount = -1

    def __init__(self, cursor: psycopg.ServerCursor[Row]) -> None:
        self._cursor = cursor

    def fetchone(self) -> Row | None:
        """The next row, or None."""
        return self._cursor.fetchone()

    def fetchall(self) -> list[Row]:
        """All that are left."""
        return self._cursor.fetchall()

    def __iter__(self) -> Iterator[Row]:
        return iter(self._cursor)


class _Reading:
    """A `Connection` that only reads."""

    def __init__(self, connection: psycopg.Connection[TupleRow]) -> None:
        self._connection = connection
        self._names = count()

    def execute(self, sql: str, values: Any = (), /) -> _Portions:
        """Runs one question."""
        # Not closed here: a cursor ends with the transaction at the latest.
        cursor = psycopg.ServerCursor(self._connection, f"rows{next(self._names)}", row_factory=row_maker)
        cursor.itersize = _PORTION
        cursor.execute(translated(sql), values)
        return _Portions(cursor)

    def executemany(self, sql: str, rows: Iterable[Any], /) -> _Portions:
        """Of no meaning here."""
        raise TypeError("this connection only reads")
