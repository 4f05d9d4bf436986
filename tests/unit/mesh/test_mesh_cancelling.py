"""A loop without an end, whose cancellation what it waits for has dropped."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from services.mesh.cancelling import cancelled


async def test_a_loop_ends_though_its_cancellation_was_dropped() -> None:
    turns = 0

    async def run() -> None:
        nonlocal turns
        while not cancelled():
            turns += 1
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    task = asyncio.create_task(run())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait_for(task, 5)
    assert turns == 1


async def test_nobody_is_cancelled_by_a_timeout_that_has_passed() -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(0):
            await asyncio.Event().wait()
    assert not cancelled()
