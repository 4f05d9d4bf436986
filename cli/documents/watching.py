"""Follows a folder: calls once at the start, and again after every change of a file, when things have been quiet for a moment.

Knows nothing of documents. What happened while nobody watched is found by the first call, so that a restart resumes by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from watchfiles import awatch

from cli.errors import EXIT_UNAVAILABLE, CliError

QUIET_MS = 400
"""A program that saves a file touches it several times."""
LONGEST_MS = 2_000
"""Changes that never stop are followed at least this often."""
LOOK_AGAIN_SECONDS = 600.0
"""Some file systems (network, some containers) tell of no change; each file is looked at this often, whatever they say."""
_FIRST_RETRY_SECONDS = 1.0
_LAST_RETRY_SECONDS = 60.0


async def follow(
    folder: Path, bring: Callable[[], Awaitable[None]], failed: Callable[[CliError], None], stop: asyncio.Event
) -> None:
    """Calls `bring` until `stop` is set.

    Args:
        bring: stores what the folder holds now.
        failed: told of what went wrong. Where the mesh is not there, `bring` is called again after a while.
    """
    changed = asyncio.Event()
    changed.set()
    watching = asyncio.create_task(_watch(folder, changed, stop))
    stopping = asyncio.create_task(stop.wait())
    retry = _FIRST_RETRY_SECONDS
    try:
        while not stop.is_set():
            wait = LOOK_AGAIN_SECONDS
            changed.clear()
            try:
                await bring()
                retry = _FIRST_RETRY_SECONDS
            except CliError as error:
                failed(error)
                if error.exit_code == EXIT_UNAVAILABLE:
                    wait, retry = retry, min(retry * 2, _LAST_RETRY_SECONDS)
            waiting = asyncio.create_task(changed.wait())
            await asyncio.wait((waiting, stopping, watching), timeout=wait, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if watching.done():
                watching.result()
    finally:
        stop.set()
        for task in (watching, stopping):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def _watch(folder: Path, changed: asyncio.Event, stop: asyncio.Event) -> None:
    async for _ in awatch(folder, debounce=LONGEST_MS, step=QUIET_MS, stop_event=stop, ignore_permission_denied=True):
        changed.set()
