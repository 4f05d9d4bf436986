"""Reading a turn's log to its end, as it grows: by any number of readers, in the process that owns the turn or in another one.

Knows the log, and which turns are written in this process; not what a turn does or how it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Sequence

from ragmesh.gateway.v1.turn_pb2 import Heartbeat, TurnEvent

from services.gateway.automaton import MAX_EVENTS
from services.gateway.sqlite_log import timestamp
from services.gateway.turn_log import TurnLog

_FOREIGN_POLL_SECONDS = 0.1
_TOUCH_SECONDS = 1.0
_PAGE_EVENTS = 256


class Growth:
    """The log of a turn that is written in this process: how far it goes, and what was appended, for readers here.

    What is kept is what is stored already; a reader of this process need not ask the store for it again. The beginning is always
    read from the store: the question comes there once it is known what may be kept of it.
    """

    def __init__(self, stored: Sequence[TurnEvent]) -> None:
        self.last_seq = stored[-1].seq
        self._first_kept = self.last_seq + 1
        self._kept: list[TurnEvent] = []
        self._grown = asyncio.Event()

    def add(self, events: Sequence[TurnEvent]) -> None:
        """These were stored: keep them, wake the readers."""
        if any(event.HasField("retracted") for event in events):
            # The store has blanked text that was kept here: from now on it is the only source.
            self._kept.clear()
            self._first_kept = MAX_EVENTS + 1
        elif self._first_kept <= events[0].seq:
            self._kept.extend(events)
        self.last_seq = events[-1].seq
        self.wake()

    def wake(self) -> None:
        """Wake the readers."""
        self._grown.set()
        self._grown = asyncio.Event()

    def after(self, seq: int) -> Sequence[TurnEvent]:
        """What is kept of the events after `seq`; nothing where their beginning is not kept."""
        return self._kept[seq + 1 - self._first_kept :] if seq + 1 >= self._first_kept else ()

    async def beyond(self, seq: int, seconds: float) -> None:
        """Return once the log goes beyond `seq`, or is not written any more; after `seconds` anyway."""
        # Nothing is awaited between this look and the wait: no wake-up is lost in between.
        if self.last_seq <= seq:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._grown.wait()


class Tail:
    """Follows logs.

    Args:
        heartbeat_seconds: silence after which a reader gets a heartbeat.
    """

    def __init__(self, log: TurnLog, heartbeat_seconds: float) -> None:
        self._log = log
        self._heartbeat_seconds = heartbeat_seconds
        self._growing: dict[str, Growth] = {}
        self._readers: Counter[str] = Counter()
        self._left: dict[str, float] = {}

    def follow(self, stored: Sequence[TurnEvent]) -> Growth:
        """A turn is written in this process from now on, after `stored`; who writes it must call `add` of what this returns."""
        return self._growing.setdefault(stored[0].turn, Growth(stored))

    def unfollow(self, turn: str) -> None:
        """The turn is not written in this process any more."""
        self._left.pop(turn, None)
        growth = self._growing.pop(turn, None)
        if growth is not None:
            growth.wake()

    def last_read(self, turn: str) -> float:
        """When somebody last read the turn here, in seconds since the epoch: infinity while somebody does, 0 for never."""
        return math.inf if self._readers[turn] else self._left.get(turn, 0.0)

    async def events(self, turn: str, after_seq: int) -> AsyncGenerator[TurnEvent, None]:
        """Events after `after_seq` to the end of the turn, as they are appended; heartbeats in between.

        Raises:
            MeshError: TURN_NOT_FOUND, also where the turn is deleted meanwhile.
        """
        seq = after_seq
        quiet_since = time.monotonic()
        touched = 0.0
        growth = self._growing.get(turn)
        with self._reading(turn):
            while True:
                live, events = await self._next(turn, growth, seq)
                for event in events:
                    yield event
                    seq = event.seq
                if events:
                    if events[-1].HasField("finished"):
                        return  # nothing follows; the store need not be asked whether something does
                    quiet_since = time.monotonic()
                    continue
                if not live:
                    return
                silence = quiet_since + self._heartbeat_seconds - time.monotonic()
                if silence <= 0:
                    quiet_since = time.monotonic()
                    yield TurnEvent(turn=turn, seq=seq, create_time=timestamp(time.time()), heartbeat=Heartbeat())
                elif growth is not None and turn in self._growing:
                    await growth.beyond(seq, silence)
                else:
                    # Another process appends; the database is all that is shared with it.
                    if time.monotonic() - touched >= _TOUCH_SECONDS:
                        await self._log.touch(turn)
                        touched = time.monotonic()
                    await asyncio.sleep(min(_FOREIGN_POLL_SECONDS, silence))

    async def _next(self, turn: str, growth: Growth | None, seq: int) -> tuple[bool, Sequence[TurnEvent]]:
        """Whether more may come, and what there is after `seq`: from here if it was written here, else from the store."""
        if growth is not None and (kept := growth.after(seq)):
            return True, tuple(kept)
        if growth is not None and turn in self._growing and growth.last_seq <= seq:
            return True, ()
        row, events = await self._log.read(turn, seq, _PAGE_EVENTS)
        return row.live, events

    @contextlib.contextmanager
    def _reading(self, turn: str) -> Iterator[None]:
        self._readers[turn] += 1
        try:
            yield
        finally:
            self._readers[turn] -= 1
            if not self._readers[turn]:
                del self._readers[turn]
            if turn in self._growing:
                self._left[turn] = time.time()
