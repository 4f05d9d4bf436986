"""Has an index optimised once it has grown: a copy of it, by a program of its own, which then takes the place of the one in use.

Changes go on meanwhile in the index in use; the outbox keeps them for the copy. What fails, or takes too long, leaves the index as
it is, and is tried again later.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from services.mesh.cancelling import cancelled
from services.mesh.errors import MeshError
from services.mesh.log import get_logger
from services.retriever.index import IndexUnusable, VectorStore
from services.retriever.programs import running

log = get_logger(__name__)

_REST_FACTOR = 10
"""How many times as long as optimising took it is not done again: while an index grows slowly, that is a tenth of a core."""
_FIRST_PAUSE_SECONDS = 60.0
_LONGEST_PAUSE_SECONDS = 6 * 3600.0
_SHOWN = 300


@dataclass(frozen=True, slots=True)
class OptimiseRules:
    """When an index is optimised."""

    chunks: int
    """It holds so many at least."""
    share: float
    """So many of them, as a part of all, are new since it was optimised."""
    seconds: float
    """Longest time that the program may take."""
    every: float = 5.0
    """Seconds between two looks."""
    many: int = 12_500
    """So many new ones are enough in any case, and there is no rest then: a new one takes twenty times the memory of its own that
    one takes which was there before, and is scanned by every search."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A copy of an index, to be optimised."""

    of: VectorStore
    folder: Path
    program: list[str]
    position: int
    """Row of the outbox up to which it has everything."""


class Drafting(Protocol):
    """What an index keeper does for this."""

    async def unoptimised(self) -> tuple[int, int]:
        """Chunks that are new since the index was optimised, and all that it holds; nothing where it cannot be optimised."""
        ...

    async def draft(self) -> Draft:
        """Copies the index; from now on the outbox keeps what the copy misses."""
        ...

    async def take(self, draft: Draft) -> None:
        """Puts the optimised copy in the place of the index, with everything that it missed."""
        ...

    async def drop(self, draft: Draft) -> None:
        """Ends the draft, taken or not."""
        ...


class IndexOptimiser:
    """Looks from time to time, optimises one at a time. `run` never ends."""

    def __init__(self, keeper: Drafting, rules: OptimiseRules) -> None:
        self._keeper = keeper
        self._rules = rules

    async def run(self) -> None:
        """Until it is cancelled."""
        failures, rested = 0, 0.0
        while not cancelled():
            await asyncio.sleep(self._rules.every)
            if not await self._due(resting=time.monotonic() < rested):
                continue
            began = time.monotonic()
            try:
                await self._optimise()
            except (IndexUnusable, MeshError, OSError, TimeoutError) as reason:
                pause = min(_FIRST_PAUSE_SECONDS * 2**failures, _LONGEST_PAUSE_SECONDS)
                failures += 1
                why = str(reason) or "it took too long"
                log.warning("index.optimise_failed", reason=why, failures=failures, again_in_seconds=pause)
                await asyncio.sleep(pause)
            else:
                failures, took = 0, time.monotonic() - began
                log.info("index.optimised", seconds=round(took, 1))
                rested = time.monotonic() + _REST_FACTOR * took

    async def _due(self, *, resting: bool) -> bool:
        try:
            new, held = await self._keeper.unoptimised()
        except IndexUnusable:  # the next search finds that out, and has it rebuilt
            return False
        enough = self._rules.many if resting else min(self._rules.share * held, self._rules.many)
        return held >= max(self._rules.chunks, 1) and new >= enough

    async def _optimise(self) -> None:
        draft = await self._keeper.draft()
        try:
            await self._call(draft.program)
            await self._keeper.take(draft)
        finally:
            await self._keeper.drop(draft)

    async def _call(self, program: list[str]) -> None:
        with running(program) as child:
            async with asyncio.timeout(self._rules.seconds):
                status = await child.end()
            if status != 0:
                raise IndexUnusable(f"the program that optimises ended with {status}: {child.said()[-_SHOWN:]}")
