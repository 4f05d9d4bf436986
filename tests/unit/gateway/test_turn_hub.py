"""Live turns: how they end, who reads them, and what keeps them. The work of a turn is a script here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from ragmesh.gateway.v1 import turn_pb2 as t

from services.gateway import hub as hub_module
from services.gateway import outcome
from services.gateway.fold import fold
from services.gateway.hub import Hub
from services.gateway.run import TurnRun
from services.gateway.settings import GatewaySettings
from services.gateway.sqlite_log import SqliteTurnLog
from services.gateway.turn_log import BegunTurn, NewTurn, TurnRow
from services.gateway.writer import TurnWriter
from services.mesh.deadline import Budget
from services.mesh.errors import MeshError
from tests.unit.gateway import turn_events as ev
from tests.unit.gateway.waiting import until

ANNA = ev.visitor("anna")
Script = Callable[[TurnWriter], Awaitable[None]]


@dataclass
class ScriptedRun:
    """Stands in for `TurnRun`."""

    writer: TurnWriter
    script: Script
    tally: outcome.Tally

    async def run(self) -> t.TurnFinished:
        await self.script(self.writer)
        return t.TurnFinished(outcome=t.OUTCOME_ANSWERED)


@dataclass
class Process:
    """A gateway process without its servers."""

    hub: Hub
    log: SqliteTurnLog

    async def begin(self, script: Script, seconds: float = 30.0) -> str:
        new = NewTurn("assistants/default", "?", "", "", "b", 2_000_000_000.0)
        begun = await self.log.begin(ANNA, new, self.hub.owner, 6.0)
        self.launch(begun, script, seconds)
        return begun.row.name

    def launch(self, begun: BegunTurn, script: Script, seconds: float = 30.0) -> None:
        def make(writer: TurnWriter, _: Budget) -> TurnRun:
            return cast(TurnRun, ScriptedRun(writer, script, outcome.Tally()))

        assert begun.started is not None
        self.hub.launch(begun.started, Budget(seconds), make)

    async def end_of(self, turn: str) -> t.TurnFinished:
        """How the turn ended, once it has."""
        events = [event async for event in self.hub.tail.events(turn, 0)]
        assert events[-1].HasField("finished")
        return events[-1].finished

    async def finished(self, turn: str) -> t.TurnFinished:
        """How the turn ended, as the log has it, without reading along."""

        async def over() -> bool:
            return not (await self.log.read(turn, 0, 1))[0].live

        await until(over, "the turn ends")
        return fold((await self.log.read(turn, 0, 2000))[1]).finished


@pytest.fixture
async def make_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., Process]]:
    monkeypatch.setattr(hub_module, "_KEEP_SECONDS", 0.02)
    made: list[Process] = []

    def make(**settings: Any) -> Process:
        log = SqliteTurnLog(tmp_path / "turns.db", max_turns=9, max_conversations=99, resume_seconds=600, retention_days=30)
        hub = Hub(log, GatewaySettings(_env_file=None, **settings))  # type: ignore[call-arg]
        hub.start()
        made.append(Process(hub, log))
        return made[-1]

    yield make
    for process in made:
        await process.hub.close()
        await process.log.close()
    left = [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith(("turn ", "hub-"))]
    assert left == []


@pytest.fixture
async def process(make_process: Callable[..., Process]) -> Process:
    return make_process()


async def _for_ever(writer: TurnWriter) -> None:
    await writer.append(ev.delta(0, "Cool. "))
    await asyncio.Event().wait()


async def _at_once(writer: TurnWriter) -> None:
    await writer.append(ev.delta(0, "Cool. "))


async def test_a_turn_ends_by_itself(process: Process) -> None:
    turn = await process.begin(_at_once)
    assert (await process.end_of(turn)).outcome == t.OUTCOME_ANSWERED


@pytest.mark.parametrize("yields", range(8))
async def test_a_turn_is_stopped_whenever_that_comes(process: Process, yields: int) -> None:
    turn = await process.begin(_for_ever)
    for _ in range(yields):
        await asyncio.sleep(0)
    await process.hub.stop(turn)
    row, events = await process.log.read(turn, 0, 100)
    assert not row.live
    assert events[-1].finished.outcome == t.OUTCOME_STOPPED
    assert [event.seq for event in events] == list(range(1, len(events) + 1))


async def test_stopped_by_many_at_once(process: Process) -> None:
    turn = await process.begin(_for_ever)
    await asyncio.gather(*(process.hub.stop(turn) for _ in range(10)))
    assert (await process.finished(turn)).outcome == t.OUTCOME_STOPPED


async def test_an_end_and_a_stop_that_meet_leave_one_end(process: Process) -> None:
    for yields in range(30):

        async def soon(writer: TurnWriter, yields: int = yields) -> None:
            for _ in range(yields % 6):
                await asyncio.sleep(0)
            await writer.append(ev.delta(0, "x"))

        turn = await process.begin(soon)
        for _ in range(yields):
            await asyncio.sleep(0)
        await process.hub.stop(turn)
        row, events = await process.log.read(turn, 0, 100)
        assert not row.live
        assert [event.HasField("finished") for event in events] == [False] * (len(events) - 1) + [True]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MeshError("MODEL_UNAVAILABLE", "silent"), "MODEL_UNAVAILABLE"),
        (RuntimeError("a defect"), "INTERNAL"),
        (asyncio.CancelledError(), "INTERNAL"),
        (TimeoutError(), "DEADLINE_EXCEEDED"),
    ],
)
async def test_whatever_is_raised_ends_the_turn_and_keeps_what_was_released(
    process: Process, error: BaseException, reason: str
) -> None:
    async def fail(writer: TurnWriter) -> None:
        await writer.append(ev.delta(0, "Cool. "))
        raise error

    turn = await process.begin(fail)
    ended = await process.end_of(turn)
    assert (ended.outcome, ended.failure.reason) == (t.OUTCOME_FAILED, reason)
    assert "defect" not in ended.failure.message
    assert fold((await process.log.read(turn, 0, 100))[1]).text == "Cool. "


async def test_a_refused_event_ends_the_turn_as_a_defect(process: Process) -> None:
    async def wrong(writer: TurnWriter) -> None:
        await writer.append(ev.delta(0, "Cool. "), ev.claimed(ev.claim(0, 4, "ev_none")))

    ended = await process.end_of(await process.begin(wrong))
    assert (ended.outcome, ended.failure.reason) == (t.OUTCOME_FAILED, "INTERNAL")


async def test_the_budget_ends_the_turn(process: Process) -> None:
    ended = await process.end_of(await process.begin(_for_ever, seconds=0.05))
    assert (ended.outcome, ended.failure.reason, ended.failure.retryable) == (t.OUTCOME_FAILED, "DEADLINE_EXCEEDED", True)


async def test_nobody_reads_and_the_turn_stops(make_process: Callable[..., Process]) -> None:
    process = make_process(abandon_seconds=0.2)
    turn = await process.begin(_for_ever)
    assert (await process.finished(turn)).outcome == t.OUTCOME_STOPPED


async def test_a_reader_keeps_the_turn_and_its_leaving_ends_it(make_process: Callable[..., Process]) -> None:
    process = make_process(abandon_seconds=0.2, heartbeat_seconds=0.05)
    turn = await process.begin(_for_ever)
    tail = process.hub.tail.events(turn, 0)
    beats = 0
    async for event in tail:
        beats += event.HasField("heartbeat")
        if beats == 12:
            break
    assert (await process.log.read(turn, 0, 1))[0].live
    await tail.aclose()
    assert (await process.finished(turn)).outcome == t.OUTCOME_STOPPED


async def test_a_reader_that_came_before_the_work_began_counts_as_one(make_process: Callable[..., Process]) -> None:
    process = make_process(abandon_seconds=0.2, heartbeat_seconds=0.05)
    new = NewTurn("assistants/default", "?", "", "", "b", 2_000_000_000.0)
    begun = await process.log.begin(ANNA, new, process.hub.owner, 6.0)
    tail = process.hub.tail.events(begun.row.name, 0)
    assert (await anext(tail)).HasField("started")
    process.launch(begun, _for_ever)
    beats = 0
    async for event in tail:
        assert not event.HasField("finished"), "abandoned with a reader"
        beats += event.HasField("heartbeat")
        if beats == 12:
            break
    await tail.aclose()


async def test_readers_of_any_seq_see_the_same_log(process: Process) -> None:
    go = asyncio.Event()

    async def slowly(writer: TurnWriter) -> None:
        await go.wait()
        for n in range(40):
            await writer.append(ev.delta(n, "x"), ev.degraded())
            await asyncio.sleep(0)

    turn = await process.begin(slowly)

    async def read(after: int) -> list[t.TurnEvent]:
        return [event async for event in process.hub.tail.events(turn, after)]

    readers = [asyncio.create_task(read(after)) for after in (0, 0, 1, 7, 40, 81, 82, 500)]
    await asyncio.sleep(0)
    go.set()
    first, *others = await asyncio.gather(*readers)
    assert [event.seq for event in first] == list(range(1, 83))
    for after, seen in zip((0, 1, 7, 40, 81, 82, 500), others, strict=True):
        assert seen == first[after:]


async def test_heartbeats_repeat_the_last_seq_and_are_not_stored(make_process: Callable[..., Process]) -> None:
    process = make_process(heartbeat_seconds=0.05)
    turn = await process.begin(_for_ever)
    tail = process.hub.tail.events(turn, 0)
    events = [await anext(tail) for _ in range(5)]
    await tail.aclose()
    assert [event.HasField("heartbeat") for event in events] == [False, False, True, True, True]
    assert [event.seq for event in events] == [1, 2, 2, 2, 2]
    assert len((await process.log.read(turn, 0, 100))[1]) == 2


async def test_another_process_reads_along_and_stops(make_process: Callable[..., Process]) -> None:
    a, b = make_process(heartbeat_seconds=0.5), make_process(heartbeat_seconds=0.05)
    turn = await a.begin(_for_ever)
    tail = b.hub.tail.events(turn, 0)
    seen = [await anext(tail) for _ in range(4)]
    assert [event.WhichOneof("event") for event in seen] == ["started", "delta", "heartbeat", "heartbeat"]
    await b.hub.stop(turn)
    rest = [event async for event in tail if not event.HasField("heartbeat")]
    assert [event.finished.outcome for event in rest] == [t.OUTCOME_STOPPED]


async def test_a_reader_elsewhere_keeps_the_turn(make_process: Callable[..., Process]) -> None:
    a, b = make_process(abandon_seconds=1.5), make_process(heartbeat_seconds=0.05)
    turn = await a.begin(_for_ever)
    tail = b.hub.tail.events(turn, 0)
    loop = asyncio.get_running_loop()
    end = loop.time() + 2.5
    async for event in tail:
        assert not event.HasField("finished"), "abandoned with a reader in another process"
        if loop.time() > end:
            break
    await tail.aclose()


async def test_what_a_dead_process_left_is_ended_by_another(make_process: Callable[..., Process]) -> None:
    a, b = make_process(), make_process()
    new = NewTurn("assistants/default", "?", "", "", "b", 2_000_000_000.0)
    row = (await a.log.begin(ANNA, new, "dead", 0.1)).row
    ended = await b.end_of(row.name)
    assert (ended.outcome, ended.failure.reason, ended.failure.retryable) == (t.OUTCOME_FAILED, "TURN_INTERRUPTED", True)


async def test_a_lost_lease_ends_the_work_and_writes_nothing(process: Process) -> None:
    cancelled = asyncio.Event()

    async def work(writer: TurnWriter) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    turn = await process.begin(work)
    await process.log.delete_conversation(ANNA, turn.partition("/turns/")[0])
    await asyncio.wait_for(cancelled.wait(), 5)
    with pytest.raises(MeshError, match="TURN_NOT_FOUND"):
        await process.log.read(turn, 0, 1)


async def test_a_reader_of_a_deleted_turn_is_told(process: Process) -> None:
    turn = await process.begin(_for_ever)
    tail = process.hub.tail.events(turn, 0)
    assert [(await anext(tail)).seq for _ in range(2)] == [1, 2]
    waiting = asyncio.create_task(anext(tail))
    await until(lambda: bool(process.hub.tail._growing[turn]._grown._waiters), "the reader waits")
    await process.log.delete_conversation(ANNA, turn.partition("/turns/")[0])
    # Long before the next heartbeat, after which it would look by itself.
    with pytest.raises(MeshError, match="TURN_NOT_FOUND"):
        await asyncio.wait_for(waiting, 5)


async def test_the_keeper_outlives_a_defect(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = iter([RuntimeError("a defect"), MeshError("STORE_UNAVAILABLE", "full")])
    take_over = process.log.take_over

    async def failing(owner: str, lease: float) -> list[TurnRow]:
        for failure in failures:
            raise failure
        return await take_over(owner, lease)

    monkeypatch.setattr(process.log, "take_over", failing)
    new = NewTurn("assistants/default", "?", "", "", "b", 2_000_000_000.0)
    row = (await process.log.begin(ANNA, new, "dead", 0.01)).row
    assert (await process.finished(row.name)).failure.reason == "TURN_INTERRUPTED"


async def test_a_store_that_fails_once_does_not_lose_the_end(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    append, failures = process.log.append, iter([MeshError("STORE_UNAVAILABLE", "full")])

    async def failing(*args: Any) -> None:
        for failure in failures:
            raise failure
        await append(*args)

    monkeypatch.setattr(process.log, "append", failing)
    ended = await process.end_of(await process.begin(_at_once))
    assert (ended.outcome, ended.failure.reason) == (t.OUTCOME_FAILED, "STORE_UNAVAILABLE")


async def test_closing_ends_what_is_live_as_interrupted(make_process: Callable[..., Process]) -> None:
    process, other = make_process(), make_process()
    turns = [await process.begin(_for_ever) for _ in range(5)]
    await process.hub.close()
    for turn in turns:
        ended = await other.finished(turn)
        assert (ended.outcome, ended.failure.reason) == (t.OUTCOME_FAILED, "TURN_INTERRUPTED")
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("turn ")]
