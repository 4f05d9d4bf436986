"""The owner's hand on a turn: whole or not at all, however it is interrupted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest
from ragmesh.gateway.v1 import turn_pb2 as t

from services.gateway.automaton import OutOfOrderError
from services.gateway.turn_log import TurnLog
from services.gateway.writer import TurnWriter
from services.mesh.errors import MeshError
from tests.unit.gateway import turn_events as ev


class SlowLog:
    """Stores when it is let; fails when it is told."""

    def __init__(self) -> None:
        self.stored: list[t.TurnEvent] = []
        self.questions: list[str | None] = []
        self.failure: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def append(
        self, turn: str, owner: str, expected_seq: int, events: Sequence[t.TurnEvent], question: str | None = None
    ) -> None:
        await self.gate.wait()
        assert expected_seq == len(self.stored) + 1
        if self.failure is not None:
            raise self.failure
        self.stored.extend(events)
        self.questions.append(question)


def _writer(log: SlowLog) -> TurnWriter:
    return TurnWriter(cast(TurnLog, log), "p1", ev.numbered([ev.started()])[0])


def _kinds(log: SlowLog) -> list[str | None]:
    return [event.WhichOneof("event") for event in log.stored]


async def test_numbers_and_dates_what_it_stores() -> None:
    log = SlowLog()
    writer = _writer(log)
    told: list[int] = []
    writer.on_append = lambda events: told.append(events[-1].seq)
    await writer.append(ev.stage(), ev.understood())
    await writer.append(ev.finished())
    assert [event.seq for event in log.stored] == [2, 3, 4]
    assert {event.turn for event in log.stored} == {ev.TURN}
    assert all(event.create_time.seconds for event in log.stored)
    assert told == [3, 4]


async def test_the_question_is_stored_once_also_where_storing_fails_first() -> None:
    log = SlowLog()
    writer = _writer(log)
    await writer.append(ev.stage())
    writer.keep_question("Why?")
    log.failure = MeshError("STORE_UNAVAILABLE", "full")
    with pytest.raises(MeshError):
        await writer.append(ev.understood())
    log.failure = None
    await writer.append(ev.understood())
    await writer.append(ev.finished())
    assert log.questions == [None, "Why?", None]


async def test_of_a_batch_with_a_refused_event_nothing_is_stored_and_the_turn_can_still_end() -> None:
    log = SlowLog()
    writer = _writer(log)
    with pytest.raises(OutOfOrderError):
        await writer.append(ev.delta(0, "abc"), ev.claimed(ev.claim(0, 99, None)))
    assert log.stored == []
    await writer.append(ev.delta(0, "abc"))
    await writer.append(ev.finished())
    assert [event.seq for event in log.stored] == [2, 3]


async def test_after_a_failed_store_the_same_seq_is_tried_again() -> None:
    log = SlowLog()
    writer = _writer(log)
    log.failure = MeshError("STORE_UNAVAILABLE", "full")
    with pytest.raises(MeshError):
        await writer.append(ev.understood())
    log.failure = None
    await writer.append(ev.understood())
    assert [event.seq for event in log.stored] == [2]


async def test_a_cancelled_append_is_finished_first_however_often_it_is_cancelled() -> None:
    log = SlowLog()
    writer = _writer(log)
    log.gate.clear()
    appending = asyncio.create_task(writer.append(ev.delta(0, "abc")))
    for _ in range(3):
        await asyncio.sleep(0)
        appending.cancel()
    await asyncio.sleep(0)
    assert not appending.done()
    log.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await appending
    await writer.append(ev.finished(t.OUTCOME_STOPPED))
    assert _kinds(log) == ["delta", "finished"]


async def test_appends_that_come_together_are_stored_one_after_the_other() -> None:
    log = SlowLog()
    writer = _writer(log)
    log.gate.clear()
    appending = [asyncio.create_task(writer.append(ev.stage(), ev.degraded())) for _ in range(5)]
    await asyncio.sleep(0)
    log.gate.set()
    await asyncio.gather(*appending)
    assert _kinds(log) == ["stage", "degraded"] * 5
    assert [event.seq for event in log.stored] == list(range(2, 12))


async def test_a_stage_that_comes_too_late_is_refused_and_stored_nowhere() -> None:
    log = SlowLog()
    writer = _writer(log)
    await writer.append(ev.finished())
    with pytest.raises(OutOfOrderError):
        await writer.append(ev.stage(t.STAGE_WRITING))
    assert _kinds(log) == ["finished"]
