"""The live turns of this process: begins them, keeps their leases, stops them, and finishes what a dead process left.

A turn is a task. Readers come and go; what ends a turn is its own end, StopAnswer, its deadline, or nobody reading it for long. It
knows how a turn begins and ends, not what happens in between; readers are `tail.py`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from ragmesh.gateway.v1.turn_pb2 import TurnEvent, TurnFinished

from services.gateway import outcome
from services.gateway.run import TurnRun
from services.gateway.settings import GatewaySettings
from services.gateway.sqlite_log import timestamp
from services.gateway.tail import Tail
from services.gateway.turn_log import LeaseLostError, TurnLog
from services.gateway.writer import TurnWriter
from services.mesh.deadline import Budget
from services.mesh.errors import MeshError
from services.mesh.log import get_logger

_log = get_logger(__name__)

_KEEP_SECONDS = 1.0
_TIDY_SECONDS = 60.0
_TELLING_SECONDS = 0.5  # for the end of a turn to reach its readers, before their calls are cut

StopReason = Literal["stopped", "interrupted", "lost"]
MakeRun = Callable[[TurnWriter, Budget], TurnRun]


@dataclass(slots=True)
class LiveTurn:
    """A turn that this process owns."""

    writer: TurnWriter
    task: asyncio.Task[None] | None = None
    entered: bool = False
    """Whether the task runs. One that is cancelled before never would, and nobody would write its end."""
    begin_time: float = field(default_factory=time.time)
    stop_reason: StopReason | None = None

    def cancel(self, reason: StopReason) -> None:
        """End the work; the task then writes the end of the turn. The first reason counts."""
        if self.stop_reason is None:
            self.stop_reason = reason
            if self.task is not None and self.entered:
                self.task.cancel()


class Hub:
    """Owns turns, under a name of its own in their leases."""

    def __init__(self, log: TurnLog, settings: GatewaySettings) -> None:
        self.owner = secrets.token_hex(16)
        self.tail = Tail(log, settings.heartbeat_seconds)
        self._log = log
        self._settings = settings
        self._live: dict[str, LiveTurn] = {}
        self._keeper: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to keep leases and to finish what others left."""
        self._keeper = asyncio.create_task(self._keep(), name="hub-keeper")

    def launch(self, started: TurnEvent, budget: Budget, make: MakeRun) -> None:
        """Begin the work on a turn that was just made, by the event that made it."""
        turn = started.turn
        writer = TurnWriter(self._log, self.owner, started)
        writer.on_append = self.tail.follow([started]).add
        live = LiveTurn(writer)
        self._live[turn] = live
        live.task = asyncio.create_task(self._drive(live, make(writer, budget), budget), name=f"turn {turn}")

    async def _drive(self, live: LiveTurn, run: TurnRun, budget: Budget) -> None:
        live.entered = True
        try:
            finished = await self._finish(live, run, budget)
            await live.writer.append(TurnEvent(finished=finished))
        except LeaseLostError:
            _log.warning("turn.lease_lost", turn=live.writer.turn)
        except MeshError as error:  # the store itself: whoever takes the lease over says that the turn was interrupted
            _log.error("turn.unfinished", turn=live.writer.turn, reason=error.reason)
        finally:
            self._live.pop(live.writer.turn, None)
            self.tail.unfollow(live.writer.turn)

    async def _finish(self, live: LiveTurn, run: TurnRun, budget: Budget) -> TurnFinished:
        try:
            if live.stop_reason is not None:
                raise asyncio.CancelledError
            async with asyncio.timeout(budget.remaining()):
                return await run.run()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if live.stop_reason is None and task is not None and task.cancelling():
                raise  # the loop ends: the lease runs out, and the next owner says so
            if task is not None:
                task.uncancel()
            return self._cut(live, run)
        except TimeoutError:
            return outcome.failed(MeshError("DEADLINE_EXCEEDED", "the answer took too long; ask again"), run.tally)
        except MeshError as error:
            return outcome.failed(error, run.tally)
        except LeaseLostError:
            raise
        except Exception:
            return self._defect(live, run)

    def _cut(self, live: LiveTurn, run: TurnRun) -> TurnFinished:
        match live.stop_reason:
            case "stopped":
                return outcome.stopped(run.tally)
            case "interrupted":
                return outcome.failed(_interrupted(live.writer.turn), run.tally)
            case "lost":
                raise LeaseLostError(live.writer.turn)
            case None:  # nobody cancelled the turn, so something in it leaked a cancellation of its own
                return self._defect(live, run)

    @staticmethod
    def _defect(live: LiveTurn, run: TurnRun) -> TurnFinished:
        _log.error("turn.defect", turn=live.writer.turn, exc_info=True)
        return outcome.failed(MeshError("INTERNAL", "something went wrong here; the log has the cause"), run.tally)

    async def stop(self, turn: str) -> None:
        """End a live turn now; one that another process owns within a second. Returns when the turn is over.

        Raises:
            MeshError: TURN_NOT_FOUND where it is deleted meanwhile.
        """
        live = self._live.get(turn)
        if live is not None:
            await _ended(live, "stopped")
            return
        await self._log.request_stop(turn)
        async with contextlib.aclosing(self.tail.events(turn, 0)) as events:
            async for event in events:
                if event.HasField("finished"):
                    return

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
            except Exception:  # without its keeper a process loses every lease that it has
                _log.error("hub.defect", exc_info=True)
            await asyncio.sleep(_KEEP_SECONDS)

    async def _keep_once(self) -> None:
        for turn, live in list(self._live.items()):
            try:
                row = await self._log.renew(turn, self.owner, self._settings.lease_seconds)
            except LeaseLostError:
                # Taken over or deleted. (Or finished a moment ago: then there is nothing left to cancel.)
                live.cancel("lost")
                continue
            last_read = max(live.begin_time, row.last_read_time, self.tail.last_read(turn))
            if row.stop_requested or time.time() - last_read > self._settings.abandon_seconds:
                live.cancel("stopped")
        for row in await self._log.take_over(self.owner, self._settings.lease_seconds):
            event = TurnEvent(turn=row.name, seq=row.last_seq + 1, create_time=timestamp(time.time()))
            event.finished.CopyFrom(outcome.failed(_interrupted(row.name)))
            with contextlib.suppress(LeaseLostError):  # deleted a moment ago
                await self._log.append(row.name, self.owner, row.last_seq, [event])

    async def drain(self, seconds: float) -> None:
        """Let live turns go on for nearly `seconds`, then end the rest as interrupted, while readers can still hear it."""
        await asyncio.sleep(max(0.0, seconds - min(_TELLING_SECONDS, seconds / 2)))
        await self._interrupt()

    async def _interrupt(self) -> None:
        await asyncio.gather(*(_ended(live, "interrupted") for live in list(self._live.values())))

    async def close(self) -> None:
        """End all live turns as interrupted."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        await self._interrupt()


async def _ended(live: LiveTurn, reason: StopReason) -> None:
    live.cancel(reason)
    if live.task is not None:
        await asyncio.wait([live.task])


def _interrupted(turn: str) -> MeshError:
    return MeshError("TURN_INTERRUPTED", "the answer was interrupted here; ask again", metadata={"turn": turn})
