"""Tasks that go on until they are cancelled."""

from __future__ import annotations

import asyncio


def cancelled() -> bool:
    """Whether the running task was told to end; what a loop without an end asks before each turn.

    `CancelledError` alone does not end one on Python 3.11: its `asyncio.wait_for`, by which psycopg waits for a server, drops a
    cancellation that comes together with what it waits for (python/cpython#86296, mended in 3.12).
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
