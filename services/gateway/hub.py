"""The live turns of this process: begins them, keeps their leases, stops them, and finishes what a dead process left.

A turn is a task. Readers come and go; what ends a turn is its own end, StopAnswer, its deadline, or nobody reading it for long. It
knows how a turn begins and ends, not what happens in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from ragmesh.gateway.v1.turn_pb2 import Heartbeat, TurnEvent, TurnFinished

from services.gateway import outcome
from services.gateway.run import TurnRun
from services.gateway.settings import GatewaySettings
from services.gateway.sqlite_log import timestamp
from services.gateway.turn_log import LeaseLostError, TurnLog, TurnRow
from services.gateway.writer import TurnWriter
from services.mesh.deadline import Budget
from services.mesh.errors import MeshError
from services.mesh.log import get_logger

_log = get_logger(__name__)

_KEEP_SECONDS = 1.0
_TIDY_SECONDS = 60.0
_FOREIGN_POLL_SECONDS = 0.1
_PAGE_EVENTS = 256

StopReason = Literal["stopped", "interrupted"]
MakeRun = Callable[[TurnWriter, Budget], TurnRun]


@dataclass(slots=True)
class LiveTurn:
    """A turn that this process owns."""

    writer: TurnWriter
    last_seq: int
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    readers: int = 0
    last_read: float = field(default_factory=time.time)
    stop_reason: StopReason | None = None

    def notify(self, seq: int) -> None:
        """Wake the readers: the log goes up to `seq`."""
        self.last_seq = seq
        self.changed.set()
        self.changed = asyncio.Event()


class Hub:
    """Owns turns, under a name of its own in their leases."""

    def __init__(self, log: TurnLog, settings: GatewaySettings) -> None:
        self.owner = secrets.token_hex(16)
        self._log = log
        self._settings = settings
        self._live: dict[str, LiveTurn] = {}
        self._keeper: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to keep leases and to finish what others left."""
        self._keeper = asyncio.create_task(self._keep(), name="hub-keeper")

    async def launch(self, row: TurnRow, budget: Budget, make: MakeRun) -> None:
        """Begin the work on a turn that was just made."""
        _, events = await self._log.read(row.name, 0, 1)
        writer = TurnWriter(self._log, self.owner, events[0])
        live = LiveTurn(writer, row.last_seq)
        writer.on_append = live.notify
        self._live[row.name] = live
        live.task = asyncio.create_task(self._drive(live, make(writer, budget), budget), name=f"turn {row.name}")

    async def _drive(self, live: LiveTurn, run: TurnRun, budget: Budget) -> None:
        try:
            finished = await self._finish(live, run, budget)
            await live.writer.append(TurnEvent(finished=finished))
        except LeaseLostError:
            _log.warning("turn.lease_lost", turn=live.writer.turn)
        except MeshError as error:  # the store itself: whoever takes the lease over says that the turn was interrupted
            _log.error("turn.unfinished", turn=live.writer.turn, reason=error.reason)
        finally:
            self._live.pop(live.writer.turn, None)
            live.notify(live.last_seq)

    async def _finish(self, live: LiveTurn, run: TurnRun, budget: Budget) -> TurnFinished:
        try:
            async with asyncio.timeout(budget.remaining()):
                return await run.run()
        except asyncio.CancelledError:
            if live.stop_reason is None:
                raise
            if live.task is not None:
                live.task.uncancel()
            if live.stop_reason == "stopped":
                return outcome.stopped(run.tally)
            return outcome.failed(_interrupted(live.writer.turn), run.tally)
        except TimeoutError:
            return outcome.failed(MeshError("DEADLINE_EXCEEDED", "the answer took too long; ask again"), run.tally)
        except MeshError as error:
            return outcome.failed(error, run.tally)
        except LeaseLostError:
            raise
        except Exception:
            _log.error("turn.defect", turn=live.writer.turn, exc_info=True)
            return outcome.failed(MeshError("INTERNAL", "something went wrong here; the log has the cause"), run.tally)

    async def stop(self, turn: str, reason: StopReason = "stopped") -> None:
        """End a live turn now; one that another process owns within a second. Returns when the turn is over."""
        live = self._live.get(turn)
        if live is None:
            await self._log.request_stop(turn)
            async for event in self.tail(turn, 0):
                if event.HasField("finished"):
                    return
            return
        live.stop_reason = live.stop_reason or reason
        if live.task is not None:
            live.task.cancel()
            await asyncio.wait([live.task])

    @contextlib.contextmanager
    def _reading(self, turn: str) -> Iterator[None]:
        live = self._live.get(turn)
        if live is None:
            yield
            return
        live.readers += 1
        try:
            yield
        finally:
            live.readers -= 1
            live.last_read = time.time()

    async def tail(self, turn: str, after_seq: int) -> AsyncIterator[TurnEvent]:
        """Events after `after_seq` to the end of the turn, as they are appended; heartbeats in between.

        Raises:
            MeshError: TURN_NOT_FOUND, also where the turn is deleted meanwhile.
        """
        seq = after_seq
        quiet_since = time.monotonic()
        with self._reading(turn):
            while True:
                row, events = await self._log.read(turn, seq, _PAGE_EVENTS)
                for event in events:
                    yield event
                    seq = event.seq
                if events:
                    quiet_since = time.monotonic()
                    continue
                if not row.live:
                    return
                await self._wait(turn, seq)
                if time.monotonic() - quiet_since >= self._settings.heartbeat_seconds:
                    quiet_since = time.monotonic()
                    yield TurnEvent(turn=turn, seq=seq, create_time=timestamp(time.time()), heartbeat=Heartbeat())

    async def _wait(self, turn: str, seq: int) -> None:
        live = self._live.get(turn)
        if live is None:
            # Another process appends; the database is all that is shared with it.
            await self._log.touch(turn)
            await asyncio.sleep(_FOREIGN_POLL_SECONDS)
            return
        if live.last_seq > seq:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.heartbeat_seconds):
                await live.changed.wait()

    async def _keep(self) -> None:
        tidied = 0.0
        while True:
            try:
                await self._keep_once()
                if time.monotonic() - tidied >= _TIDY_SECONDS:
                    await self._log.tidy()
                    tidied = time.monotonic()
            except MeshError as error:
                _log.error("hub.keeper", reason=error.reason)
            await asyncio.sleep(_KEEP_SECONDS)

    async def _keep_once(self) -> None:
        now = time.time()
        for turn, live in list(self._live.items()):
            try:
                row = await self._log.renew(turn, self.owner, self._settings.lease_seconds)
            except LeaseLostError:
                continue  # finished a moment ago, or taken over: its own append says so
            last_read = max(live.last_read, row.last_read_time)
            abandoned = live.readers == 0 and now - last_read > self._settings.abandon_seconds
            if (row.stop_requested or abandoned) and live.task is not None:
                live.stop_reason = live.stop_reason or "stopped"
                live.task.cancel()
        for row in await self._log.take_over(self.owner, self._settings.lease_seconds):
            event = TurnEvent(turn=row.name, seq=row.last_seq + 1, create_time=timestamp(now))
            event.finished.CopyFrom(outcome.failed(_interrupted(row.name)))
            await self._log.append(row.name, self.owner, row.last_seq, [event])

    async def close(self) -> None:
        """End all live turns as interrupted."""
        if self._keeper is not None:
            self._keeper.cancel()
        for turn in list(self._live):
            await self.stop(turn, "interrupted")


def _interrupted(turn: str) -> MeshError:
    return MeshError("TURN_INTERRUPTED", "the answer was interrupted here; ask again", metadata={"turn": turn})
