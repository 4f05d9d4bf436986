"""How many documents are worked on at a time, how large they may be together, and in which order they leave. Knows no document."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Places:
    """Room for work, given in the order in which it was asked for.

    Args:
        most: pieces of work at a time.
        most_bytes: bytes that they may have together; a piece that alone has more is the only one.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._taken = 0
        self._bytes = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def taken(self, size: int) -> AsyncIterator[None]:
        """Waits for room for `size` bytes, and gives it back at the end of the block."""
        if self._waiting or not self._fits(size):
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((size, future))
            try:
                await future
            except asyncio.CancelledError:
                if future.done() and not future.cancelled():
                    self._give_back(size)  # it was given in the same moment
                else:
                    self._waiting.remove((size, future))
                    self._admit()
                raise
        else:
            self._take(size)
        try:
            yield
        finally:
            self._give_back(size)

    def _fits(self, size: int) -> bool:
        return self._taken == 0 or (self._taken < self._most and self._bytes + size <= self._most_bytes)

    def _take(self, size: int) -> None:
        self._taken += 1
        self._bytes += size

    def _give_back(self, size: int) -> None:
        self._taken -= 1
        self._bytes -= size
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            size, future = self._waiting.popleft()
            if not future.done():
                self._take(size)
                future.set_result(None)


class Place:
    """A place in a row: it comes once everybody before has left. Whoever has one leaves it, whatever happens."""

    def __init__(self, before: Place | None = None) -> None:
        self._before = before
        self._left = asyncio.Event()

    async def come(self) -> None:
        """Waits until everybody before has left."""
        while (before := self._before) is not None:
            await before._left.wait()
            # It may have left before its own turn.
            self._before = before._before

    def leave(self) -> None:
        """Lets the next one come."""
        self._left.set()
