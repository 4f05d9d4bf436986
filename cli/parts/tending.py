"""Looks after a part while it runs, as its roster entry says; ends it where it cannot be mended.

Knows nothing of who starts it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from cli.parts.child import Child
from cli.parts.logs import open_log
from cli.parts.roster import Part, PartBrokenError


@asynccontextmanager
async def tended(part: Part, child: Child, log_file: Path, notify: Callable[[str], None]) -> AsyncIterator[None]:
    """Looks after `part`, which runs as `child`, until the end of the block; tells `notify` and the part's log what happens."""

    def say(text: str) -> None:
        with open_log(log_file) as log:
            log.write(f"{datetime.now(UTC).isoformat(timespec='milliseconds')} supervisor: {text}\n".encode())
        notify(text)

    tending = asyncio.create_task(_tend(part, child, say), name=f"tend-{part.name}")
    try:
        yield
    finally:
        tending.cancel()
        await asyncio.gather(tending, return_exceptions=True)


async def _tend(part: Part, child: Child, say: Callable[[str], None]) -> None:
    if part.tend is None:
        return
    try:
        await part.tend(child.pid, say)
    except PartBrokenError as error:
        say(f"{error}; starting all of {part.name} again")
        await child.stop(part.grace)
