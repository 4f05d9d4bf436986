"""Waiting for something to become true, with a deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

_POLL_SECONDS = 0.005


async def until(true: Callable[[], bool | Awaitable[bool]], what: str, seconds: float = 5.0) -> float:
    """Seconds that it took until `true` held.

    Raises:
        AssertionError: it did not in time.
    """
    began = time.monotonic()
    while True:
        found = true()
        if isinstance(found, bool):
            held = found
        else:
            held = await found
        elapsed = time.monotonic() - began
        if held:
            return elapsed
        assert elapsed < seconds, f"not within {seconds} s: {what}"
        await asyncio.sleep(_POLL_SECONDS)
