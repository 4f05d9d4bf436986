"""Runs a function that knows nothing of asyncio on a driver that is asyncio: its statements suspend it, and the loop goes on.

The questions and changes of the store of truth are plain functions, which SQLite runs in a thread. Here each runs as a greenlet on
the loop, as in SQLAlchemy's asyncio part: a statement switches to the task, which awaits psycopg and switches back with the rows.
So deadlines and cancellation of the task reach psycopg as they are: it cancels the statement on the server and waits until that has
happened, so that the connection can be used again. No thread waits for a server, and none has to be told to stop.
"""

from __future__ import annotations

import contextvars
import re
import sys
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

import psycopg
from greenlet import getcurrent, greenlet

from services.retriever.postgres.statements import IteratedRows, row_maker, translated, widened
from services.retriever.truth import Connection

T = TypeVar("T")
_CHANGE = re.compile(rb"\s*(INSERT|UPDATE|DELETE)\b(?!.*\bRETURNING\b)", re.DOTALL)
_ROWS = 64
"""Rows of one INSERT."""


async def run(work: Callable[[Connection], T], connection: psycopg.AsyncConnection[Any]) -> T:
    """Runs `work`; whatever its statements raise, cancellation too, is raised inside of it."""
    return await _run(work, _Suspending(connection))


async def run_writing(work: Callable[[Connection], T], connection: psycopg.AsyncConnection[Any]) -> T:
    """As `run`, without waiting for the answer to a change until there is something to wait for: what the server says of several of
    them comes together. An error is raised by a later statement, or at the end, and then nothing of the transaction happened.
    """
    async with connection.pipeline() as pipeline:
        result = await _run(work, _Suspending(connection, pipeline))
        await pipeline.sync()
    return result


async def _run(work: Callable[[Connection], T], connection: _Suspending) -> T:
    worker = greenlet(work)
    worker.gr_context = contextvars.copy_context()
    coming: Any = worker.switch(connection)
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

    def __init__(self, connection: psycopg.AsyncConnection[Any], pipeline: psycopg.AsyncPipeline | None = None) -> None:
        self._connection = connection
        self._pipeline = pipeline

    def execute(self, sql: str, values: Any = None, /) -> IteratedRows:
        """Runs one statement."""
        return _await(self._execute(translated(sql), values))

    def executemany(self, sql: str, rows: Iterable[Any], /) -> IteratedRows:
        """Runs one statement for each of `rows`."""
        return _await(self._executemany(sql, list(rows)))

    async def _execute(self, sql: bytes, values: Any) -> IteratedRows:
        if self._pipeline is not None and _CHANGE.match(sql):
            late = self._connection.cursor()
            await late.execute(sql, () if values is None else values)
            return _Late(late, self._pipeline)
        async with self._connection.cursor(row_factory=row_maker) as cursor:
            # Without values there must be `()`: `%%` is one sign only where values are looked for.
            await cursor.execute(sql, () if values is None else values)
            if self._pipeline is not None:
                await self._pipeline.sync()
            return IteratedRows(iter(await cursor.fetchall() if cursor.description else ()), cursor.rowcount)

    async def _executemany(self, sql: str, rows: list[Any]) -> IteratedRows:
        changed = 0
        for first in range(0, len(rows), _ROWS):
            part = rows[first : first + _ROWS]
            cursor = self._connection.cursor()
            together = widened(sql, len(part))
            if together is None:
                await cursor.executemany(translated(sql), part)
            else:
                await cursor.execute(together, [value for row in part for value in row])
            # In a pipeline the answer to one statement for all has not come yet.
            changed += len(part) if self._pipeline is not None and together is not None else cursor.rowcount
        return IteratedRows(iter(()), changed)


class _Late(IteratedRows):
    """A change whose answer has not come yet: how many rows it changed is waited for where somebody asks."""

    def __init__(self, cursor: psycopg.AsyncCursor[Any], pipeline: psycopg.AsyncPipeline) -> None:
        super().__init__(iter(()), 0)
        self._cursor = cursor
        self._pipeline = pipeline

    @property
    def rowcount(self) -> int:
        """Rows that were changed."""
        _await(self._pipeline.sync())
        return self._cursor.rowcount


def _await(coming: Coroutine[Any, Any, T]) -> T:
    parent = getcurrent().parent
    assert parent is not None, "only a function that runs by `run` has such a connection"
    answer: T = parent.switch(coming)
    return answer
