"""Imports give way to searches: while somebody waits for a search, what is imported waits with its next step.

Both use the same cores, models and interpreter. A step that has begun is finished: so steps are short, and shorter still while
searches come, for up to six of them are under way where the next search begins. None waits for ever.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

_OPEN_SHARE = 0.25
"""How long imports go on unhindered, as a part of the time that they waited, where searches never end."""
_LATELY_SECONDS = 2.0
"""After a search another one is expected for so long."""
_PARTS = 4
"""Part of a step that is taken at a time then. Smaller ones cost more than they save: each is a call or a transaction."""


class GivingWay:
    """Who waits for whom, in one process; used from its loop.

    Args:
        seconds: longest time that imports wait in a row; 0: they never wait.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._searches = 0
        self._closed_since = 0.0
        self._last = -math.inf
        """When the last search ended."""
        self._nobody = asyncio.Event()
        self._nobody.set()

    @property
    def asked(self) -> bool:
        """Whether somebody waits for a search. From any thread."""
        return self._searches > 0

    @contextmanager
    def searching(self) -> Iterator[None]:
        """Somebody waits for a search until the end of the block."""
        self._searches += 1
        if self._searches == 1:
            self._closed_since = time.monotonic()
            self._nobody.clear()
        try:
            yield
        finally:
            self._searches -= 1
            self._last = time.monotonic()
            if self._searches == 0:
                self._nobody.set()

    def portion(self, most: int) -> int:
        """How much the next step of an import takes that takes `most` where nobody searches: less while searches come."""
        expected = self._searches or time.monotonic() - self._last < _LATELY_SECONDS
        return max(1, most // _PARTS) if self._seconds and expected else most

    async def turn(self) -> None:
        """Before each step of an import: returns once nobody waits for a search, or after the longest time."""
        while self._searches and (left := self._left()) > 0:
            try:
                async with asyncio.timeout(left):
                    await self._nobody.wait()
            except TimeoutError:
                continue

    def _left(self) -> float:
        """Seconds until imports may go on all the same; nothing or less where they may now."""
        now = time.monotonic()
        closed = now - self._closed_since
        if closed >= self._seconds * (1 + _OPEN_SHARE):
            self._closed_since, closed = now, 0.0
        return self._seconds - closed
