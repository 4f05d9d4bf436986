"""A turn log in SQLite whose clock a test sets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from services.gateway.sqlite_log import SqliteTurnLog


class Clock:
    """Seconds since the epoch, as a test sets them."""

    def __init__(self) -> None:
        self.now = 1_795_000_000.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


Open = Callable[..., SqliteTurnLog]


@pytest.fixture
async def open_log(tmp_path: Path, clock: Clock) -> AsyncIterator[Open]:
    opened = []

    def make(max_turns: int = 100, max_conversations: int = 100) -> SqliteTurnLog:
        log = SqliteTurnLog(
            tmp_path / "turns.db",
            max_turns=max_turns,
            max_conversations=max_conversations,
            resume_seconds=600,
            retention_days=30,
            clock=clock,
        )
        opened.append(log)
        return log

    yield make
    for log in opened:
        await log.close()


@pytest.fixture
def log(open_log: Open) -> SqliteTurnLog:
    return open_log()
