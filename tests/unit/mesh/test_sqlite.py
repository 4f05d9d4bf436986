"""The database on a thread of its own: whole transactions, typed failures."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.mesh.errors import MeshError
from services.mesh.sqlite import Database


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """One table of numbers."""
    made = Database(tmp_path / "store" / "numbers.db", "numbers", synchronous="NORMAL")
    made.setup(lambda connection: connection.execute("CREATE TABLE numbers (n INTEGER PRIMARY KEY)"))
    yield made
    await made.close()


def _insert(n: int, *, fail: Exception | None = None) -> object:
    def work(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO numbers VALUES (?)", (n,))
        if fail is not None:
            raise fail

    return work


async def _numbers(database: Database) -> list[int]:
    return await database.read(lambda connection: [row["n"] for row in connection.execute("SELECT n FROM numbers ORDER BY n")])


async def test_writes_happen_one_after_the_other(database: Database) -> None:
    await asyncio.gather(*(database.write(_insert(n)) for n in range(50)))  # type: ignore[arg-type]
    assert await _numbers(database) == list(range(50))


async def test_whatever_is_raised_undoes_the_whole(database: Database) -> None:
    with pytest.raises(MeshError, match="DOCUMENT_NOT_FOUND"):
        await database.write(_insert(1, fail=MeshError("DOCUMENT_NOT_FOUND", "x")))  # type: ignore[arg-type]
    assert await _numbers(database) == []
    await database.write(_insert(2))  # type: ignore[arg-type]
    assert await _numbers(database) == [2]


async def test_what_the_driver_says_stays_inside(database: Database) -> None:
    await database.write(_insert(1))  # type: ignore[arg-type]
    with pytest.raises(MeshError) as caught:
        await database.write(_insert(1))  # type: ignore[arg-type]
    assert caught.value.reason == "STORE_UNAVAILABLE"
    assert caught.value.metadata == {"store": "numbers"}
    assert "UNIQUE" not in caught.value.message
    assert await _numbers(database) == [1]


async def test_what_was_written_is_there_for_the_next(database: Database, tmp_path: Path) -> None:
    await database.write(_insert(3))  # type: ignore[arg-type]
    second = Database(tmp_path / "store" / "numbers.db", "numbers", synchronous="FULL")
    assert await _numbers(second) == [3]
    await second.close()
