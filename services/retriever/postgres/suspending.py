"""Runs a function that knows nothing of asyncio on a driver that is asyncio: its statements suspend it, and the loop goes on.

The questions and changes of the store of truth are plain functions, which SQLite runs in a thread. Here each runs as a greenlet on
the loop, as in SQLAlchemy's asyncio part: a statement switches to the task, which awaits psycopg and switches back with the rows.
So deadlines and cancellation of the task reach psycopg as they are: it cancels the statement on the server and waits until that has
happened, so that the connection can be used again. No thread waits for a server, and none has to be told to stop.
"""

from __future__ import annotations

import contextvars
import sys
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

import psycopg
from greenlet import getcurrent, greenlet

from services.retriever.postgres.statements import IteratedRows, row_maker, translated, widened
from services.retriever.truth import Connection

T = TypeVar("T")
_ROWS = 64
"""Rows of one INSERT."""


async def run(work: Callable[[Connection], T], connection: psycopg.AsyncConnection[Any]) -> T:
    """Runs `work`; whatever its statements raise, cancellation too, is raised inside of it."""
    worker = greenlet(work)
    worker.gr_context = contextvars.copy_context()
    coming: Any = worker.switch(_Suspending(connection))
    while not worker.dead:
        try:
            rows = await coming
        except BaseException:
            coming = worker.throw(*sys.exc_info())
        else:
            coming = worker.switch(rows)
    result: T = coming
    return result


class _Suspending:
    """A `Connection` for a function that runs by `run`."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection

    def execute(self, sql: str, values: Any = None, /) -> IteratedRows:
        """Runs one statement."""
        return _await(self._execute(translated(sql), values))

    def executemany(self, sql: str, rows: Iterable[Any], /) -> IteratedRows:
        """Runs one statement for each of `rows`."""
        return _await(self._executemany(sql, list(rows)))

    async def _execute(self, sql: bytes, values: Any) -> IteratedRows:
        async with self._connection.cursor(row_factory=row_maker) as cursor:
            # Without values there must be `()`: `%%` is one sign only where values are looked for.
            await cursor.execute(sql, () if values is None else values)
            return IteratedRows(iter(await cursor.fetchall() if cursor.description else ()), cursor.rowcount)

    async def _executemany(self, sql: str, rows: list[Any]) -> IteratedRows:
        changed = 0
        async with self._connection.cursor() as cursor:
            for first in range(0, len(rows), _ROWS):
                part = rows[first : first + _ROWS]
                together = widened(sql, len(part))
                if together is None:
                    await cursor.executemany(translated(sql), part)
                else:
                    await cursor.execute(together, [value for row in part for value in row])
                changed += cursor.rowcount
        return IteratedRows(iter(()), changed)


def _await(coming: Coroutine[Any, Any, IteratedRows]) -> IteratedRows:
    parent = getcurrent().parent
    assert parent is not None, "only a function that runs by `run` has such a connection"
    rows: IteratedRows = parent.switch(coming)
    return rows
