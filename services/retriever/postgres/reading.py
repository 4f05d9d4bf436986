"""Reading much on a connection of one's own, in a thread: rows come in portions, so that memory stays flat."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from services.retriever.postgres.pool import logged, prepare
from services.retriever.postgres.statements import IteratedRows, Row, row_maker, translated
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
            made = _Reading(connection)
            try:
                yield made
            finally:
                made.close()
            connection.execute("ROLLBACK")
    except psycopg.Error as error:
        raise logged(error) from None


class _Portions(IteratedRows):
    """The rows of a statement, fetched from the server as they are asked for; after the last one nothing of it is left there."""

    def __init__(self, cursor: psycopg.ServerCursor[Row]) -> None:
        super().__init__(self._all(), -1)
        self._cursor = cursor
        # The first ones at once: most statements bring no more, and are over with it.
        self._first = self._portion()

    def _portion(self) -> list[Row]:
        rows = self._cursor.fetchmany(_PORTION)
        if len(rows) < _PORTION:
            self._cursor.close()
        return rows

    def _all(self) -> Iterator[Row]:
        rows = self._first
        yield from rows
        while len(rows) == _PORTION:
            rows = self._portion()
            yield from rows


class _Reading:
    """A `Connection` that only reads."""

    def __init__(self, connection: psycopg.Connection[TupleRow]) -> None:
        self._connection = connection
        self._cursors: list[psycopg.ServerCursor[Row]] = []
        self._names = count()

    def execute(self, sql: str, values: Any = (), /) -> _Portions:
        """Runs one question."""
        self._cursors = [cursor for cursor in self._cursors if not cursor.closed]
        cursor = psycopg.ServerCursor(self._connection, f"rows{next(self._names)}", row_factory=row_maker)
        self._cursors.append(cursor)
        cursor.execute(translated(sql), values)
        return _Portions(cursor)

    def executemany(self, sql: str, rows: Iterable[Any], /) -> _Portions:
        """Of no meaning here."""
        raise TypeError("this connection only reads")

    def close(self) -> None:
        """Lets go of what was not read to its end."""
        for cursor in self._cursors:
            cursor.close()
