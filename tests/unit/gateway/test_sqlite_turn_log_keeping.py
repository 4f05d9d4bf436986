"""The turn log in SQLite: what is kept, what is taken back, and what is gone for good."""

from __future__ import annotations

from pathlib import Path

import pytest
from ragmesh.gateway.v1 import turn_pb2 as t

from services.gateway.fold import fold
from services.gateway.sqlite_log import SqliteTurnLog
from services.gateway.turn_log import LeaseLostError
from services.mesh.errors import MeshError
from tests.unit.gateway import turn_events as ev
from tests.unit.gateway.conftest import Clock, Open
from tests.unit.gateway.log_calls import ANNA, DAY, LEASE, OWNER, append, begin, finish, new_turn, whole


async def test_a_retraction_blanks_what_is_stored(log: SqliteTurnLog, tmp_path: Path) -> None:
    turn = (await begin(log)).row.name
    await append(log, turn, ev.delta(0, "Öl kühl GEHEI"), ev.delta(15, "MNIS lagern €"))
    before = fold((await log.read(turn, 0, 100))[1])
    await append(log, turn, ev.retracted(10, 19), after=3)
    events = (await log.read(turn, 0, 100))[1]
    assert [event.delta.text for event in events if event.HasField("delta")] == ["Öl kühl " + " " * 5, " " * 4 + " lagern €"]
    assert len(fold(events).text.encode()) == len(before.text.encode())
    assert fold(events).text == "Öl kühl " + " " * 9 + " lagern €"


async def test_a_retraction_that_cuts_a_character_still_takes_back(log: SqliteTurnLog) -> None:
    turn = (await begin(log)).row.name
    await append(log, turn, ev.delta(0, "aü€z"), ev.retracted(2, 4))
    assert fold((await log.read(turn, 0, 100))[1]).text == "a     z"


async def test_a_rating_is_kept_and_the_last_word_counts(log: SqliteTurnLog) -> None:
    turn = await whole(log)
    assert await log.rating(turn) is None
    await log.rate(turn, t.Rating(thumb=t.THUMB_DOWN, comment="wrong"))
    await log.rate(turn, t.Rating(thumb=t.THUMB_UP))
    assert await log.rating(turn) == t.Rating(thumb=t.THUMB_UP)
    assert await log.rating("conversations/c/turns/none") is None


async def test_stop_and_touch_are_seen_by_the_owner(log: SqliteTurnLog, clock: Clock) -> None:
    turn = (await begin(log)).row.name
    row = await log.renew(turn, "p1", LEASE)
    assert not row.stop_requested
    clock.now += 3
    await log.touch(turn)
    await log.request_stop(turn)
    renewed = await log.renew(turn, "p1", LEASE)
    assert renewed.stop_requested
    assert renewed.last_read_time >= row.last_read_time + 3


async def test_passages_are_kept_for_the_resume_window(log: SqliteTurnLog, clock: Clock) -> None:
    begun = await begin(log)
    await append(log, begun.row.name, ev.found(ev.evidence()), ev.delta(0, "Cool."), ev.claimed(ev.claim(0, 5)))
    await finish(log, begun.row.name, after=4)
    live = (await begin(log)).row.name
    await append(log, live, ev.found(ev.evidence()))
    clock.now += 599
    await log.tidy()
    assert fold((await log.read(begun.row.name, 0, 10))[1]).evidence[0] == ev.evidence()
    clock.now += 2
    await log.tidy()
    turn = fold((await log.read(begun.row.name, 0, 10))[1])
    expected = ev.evidence()
    expected.text = ""
    assert turn.evidence[0] == expected and turn.text == "Cool." and len(turn.claims) == 1
    assert fold((await log.read(live, 0, 10))[1]).evidence[0].text


async def test_visitors_conversations_go_after_long_disuse(log: SqliteTurnLog, clock: Clock) -> None:
    old = (await whole(log)).partition("/turns/")[0]
    own = await log.begin(OWNER, new_turn(), "p1", LEASE)
    clock.now += 20 * DAY
    young = (await whole(log)).partition("/turns/")[0]
    clock.now += 11 * DAY
    await log.tidy()
    assert [one.name for _, one in await log.conversations(ANNA, None, 10)] == [young]
    assert len(await log.conversations(OWNER, None, 10)) == 1
    with pytest.raises(MeshError):
        await log.conversation(ANNA, old)
    assert own.started is not None


def _on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


async def test_deleted_is_gone_for_good(log: SqliteTurnLog, tmp_path: Path) -> None:
    secret = "where does Zebulon keep the oil"
    begun = await begin(log, question=secret)
    said = ev.delta(0, "In Quixotes cellar. "), ev.found(ev.evidence(text="Quixotes ledger"))
    await append(log, begun.row.name, *said, question=secret)
    await finish(log, begun.row.name, after=3)
    await log.rate(begun.row.name, t.Rating(comment="Zebulon says so"))
    kept = await whole(log, question="What is Pumpernickel?")
    assert b"Zebulon" in _on_disk(tmp_path) and b"Quixote" in _on_disk(tmp_path)
    assert await log.delete_conversation(ANNA, begun.row.conversation) == 1
    left = _on_disk(tmp_path)
    assert b"Zebulon" not in left and b"Quixote" not in left
    assert b"Pumpernickel" in left
    with pytest.raises(MeshError, match="TURN_NOT_FOUND"):
        await log.read(begun.row.name, 0, 10)
    with pytest.raises(LeaseLostError):
        await append(log, begun.row.name, ev.stage(), after=4)
    assert (await log.read(kept, 0, 10))[0].last_seq == 2


async def test_retracted_and_forgotten_text_leaves_the_disk_with_the_next_tidying(
    log: SqliteTurnLog, clock: Clock, tmp_path: Path
) -> None:
    turn = (await begin(log)).row.name
    await append(log, turn, ev.found(ev.evidence(text="Quixotes ledger")), ev.delta(0, "Zebulon. "), ev.retracted(0, 8))
    await finish(log, turn, after=4)
    clock.now += 700
    await log.tidy()
    left = _on_disk(tmp_path)
    assert b"Zebulon" not in left and b"Quixote" not in left


async def test_a_log_that_is_opened_again_has_everything(open_log: Open) -> None:
    first = open_log()
    turn = (await begin(first)).row.name
    await append(first, turn, ev.stage(), ev.delta(0, "a"))
    second = open_log()
    row, events = await second.read(turn, 0, 10)
    assert row.live and [event.seq for event in events] == [1, 2, 3]
