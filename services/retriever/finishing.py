"""Work that must not stop in the middle because the caller went away: a commit in two stores is finished, answered or not."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Finishing:
    """Runs coroutines to their end."""

    def __init__(self) -> None:
        # The loop itself holds tasks only weakly.
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` returns or raises; a cancelled caller leaves it running."""
        return await asyncio.shield(self.begin(work))

    def begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begins `work`, for nobody in particular."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # seen, even where the caller is gone

    async def close(self) -> None:
        """Returns once everything that was begun is finished."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
