"""Writes the log of one live turn: numbers events, lets the automaton judge them, stores them, wakes the readers.

Knows nothing of what a turn does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from ragmesh.gateway.v1.turn_pb2 import TurnEvent

from services.gateway.automaton import TurnAutomaton
from services.gateway.sqlite_log import timestamp
from services.gateway.turn_log import TurnLog


class TurnWriter:
    """The owner's hand on a turn.

    Args:
        started: the first event, which the log wrote itself.
    """

    on_append: Callable[[Sequence[TurnEvent]], None] | None = None
    """Called with the events after each append."""

    def __init__(self, log: TurnLog, owner: str, started: TurnEvent) -> None:
        self.turn = started.turn
        self._automaton = TurnAutomaton()
        self._automaton.accept(started)
        self._log = log
        self._owner = owner
        self._question: str | None = None
        self._lock = asyncio.Lock()

    def keep_question(self, question: str) -> None:
        """Store `question` as that of the turn, with the next append."""
        self._question = question

    async def append(self, *events: TurnEvent) -> None:
        """Store all events or none; they get turn, seq and time here. However often an append is cancelled, it is finished first.

        Raises:
            OutOfOrderError: an event may not come now.
            MeshError: TURN_TOO_LARGE, STORE_UNAVAILABLE.
            LeaseLostError: the turn is somebody else's by now.
        """
        storing = asyncio.ensure_future(self._store(events))
        cancelled: asyncio.CancelledError | None = None
        while not storing.done():
            try:
                await asyncio.wait([storing])
            except asyncio.CancelledError as error:
                cancelled = error
        failure = storing.exception()
        if cancelled is not None:
            raise cancelled
        if failure is not None:
            raise failure

    async def _store(self, events: tuple[TurnEvent, ...]) -> None:
        async with self._lock:
            expected = self._automaton.last_seq
            now = timestamp(time.time())
            # The automaton moves on only with the log: what was refused, or could not be stored, has not happened.
            ahead = self._automaton.fork()
            for event in events:
                event.turn = self.turn
                event.seq = ahead.last_seq + 1
                event.create_time.CopyFrom(now)
                ahead.accept(event)
            question = self._question
            await self._log.append(self.turn, self._owner, expected, events, question)
            self._automaton = ahead
            if self._question is question:
                self._question = None
            if self.on_append is not None:
                self.on_append(events)
