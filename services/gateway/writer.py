"""Writes the log of one live turn: numbers events, lets the automaton judge them, stores them, wakes the readers.

Knows nothing of what a turn does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from ragmesh.gateway.v1.turn_pb2 import TurnEvent

from services.gateway.automaton import TurnAutomaton
from services.gateway.sqlite_log import timestamp
from services.gateway.turn_log import TurnLog


class TurnWriter:
    """The owner's hand on a turn.

    Args:
        started: the first event, which the log wrote itself.
    """

    on_append: Callable[[int], None] | None = None
    """Called with the last stored seq after each append."""

    def __init__(self, log: TurnLog, owner: str, started: TurnEvent) -> None:
        self.turn = started.turn
        self.automaton = TurnAutomaton()
        self.automaton.accept(started)
        self._log = log
        self._owner = owner
        self._lock = asyncio.Lock()

    async def append(self, *events: TurnEvent) -> None:
        """Store events; they get turn, seq and time here. A cancelled append is finished first: the log has no half events.

        Raises:
            OutOfOrderError: an event may not come now.
            MeshError: TURN_TOO_LARGE, STORE_UNAVAILABLE.
            LeaseLostError: the turn is somebody else's by now.
        """
        storing = asyncio.ensure_future(self._store(events))
        try:
            await asyncio.shield(storing)
        except asyncio.CancelledError:
            await storing
            raise

    async def _store(self, events: tuple[TurnEvent, ...]) -> None:
        async with self._lock:
            expected = self.automaton.last_seq
            now = timestamp(time.time())
            for event in events:
                event.turn = self.turn
                event.seq = self.automaton.last_seq + 1
                event.create_time.CopyFrom(now)
                self.automaton.accept(event)
            await self._log.append(self.turn, self._owner, expected, events)
            if self.on_append is not None:
                self.on_append(self.automaton.last_seq)
