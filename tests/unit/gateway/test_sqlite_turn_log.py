"""The turn log in SQLite: who may begin what, who may append, and who sees it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from ragmesh.gateway.v1 import turn_pb2 as t
from ragmesh.identity.v1.principal_pb2 import Principal

from services.gateway.fold import fold
from services.gateway.sqlite_log import SqliteTurnLog
from services.gateway.turn_log import BegunTurn, LeaseLostError
from services.mesh.errors import MeshError
from tests.unit.gateway import turn_events as ev
from tests.unit.gateway.conftest import Clock, Open
from tests.unit.gateway.log_calls import ANNA, BERT, DAY, LEASE, OWNER, append, begin, finish, new_turn, whole


async def test_a_turn_begins_with_its_first_event(log: SqliteTurnLog) -> None:
    begun = await begin(log)
    assert begun.started is not None and begun.row.live and begun.row.last_seq == 1
    row, events = await log.read(begun.row.name, 0, 10)
    assert row == begun.row
    assert [event.seq for event in events] == [1]
    assert events[0].turn == begun.row.name
    assert events[0].started.conversation == begun.row.conversation
    assert events[0].started.resume_expire_time.ToSeconds() == 2_000_000_000
    conversation = await log.conversation(ANNA, begun.row.conversation)
    assert (conversation.turn_count, conversation.live_turn) == (1, begun.row.name)


async def test_the_question_is_stored_with_what_follows_and_names_its_conversation(log: SqliteTurnLog, tmp_path: Path) -> None:
    begun = await begin(log, question="How does Zebulon store oil?")
    assert not any(b"Zebulon" in path.read_bytes() for path in tmp_path.iterdir()), "nobody has said that it may be kept"
    assert (await log.conversation(ANNA, begun.row.conversation)).title == ""
    kept = "  How\n does   [NAME] store oil?  " + "x" * 100
    await append(log, begun.row.name, ev.stage(), question=kept)
    await finish(log, begun.row.name, after=2)
    _, events = await log.read(begun.row.name, 0, 10)
    assert (events[0].started.question, events[0].started.assistant) == (kept, "assistants/default")
    title = ("How does [NAME] store oil? " + "x" * 100)[:80]
    assert (await log.conversation(ANNA, begun.row.conversation)).title == title
    await whole(log, question="And where?", conversation=begun.row.conversation)
    assert (await log.conversation(ANNA, begun.row.conversation)).title == title
    assert not any(b"Zebulon" in path.read_bytes() for path in tmp_path.iterdir())


async def test_names_are_random_and_long(log: SqliteTurnLog) -> None:
    names = {(await begin(log)).row.name for _ in range(20)}
    assert len(names) == 20
    assert all(len(name) == len("conversations//turns/") + 64 for name in names)


async def test_events_are_appended_and_read_in_pieces(log: SqliteTurnLog) -> None:
    turn = (await begin(log)).row.name
    await append(log, turn, ev.stage(), ev.found(ev.evidence()), ev.delta(0, "a"))
    await append(log, turn, ev.finished(), after=4)
    for after in range(6):
        row, events = await log.read(turn, after, 100)
        assert [event.seq for event in events] == list(range(after + 1, 6))
    assert not row.live and row.finish_time is not None and row.last_seq == 5
    assert [event.seq for event in (await log.read(turn, 1, 2))[1]] == [2, 3]


@pytest.mark.parametrize(("owner", "after"), [("p2", 1), ("p1", 0), ("p1", 2)])
async def test_only_the_owner_appends_and_only_at_the_end(log: SqliteTurnLog, owner: str, after: int) -> None:
    turn = (await begin(log)).row.name
    with pytest.raises(LeaseLostError):
        await append(log, turn, ev.stage(), after=after, owner=owner)
    row, events = await log.read(turn, 0, 10)
    assert row.last_seq == len(events) == 1


async def test_nothing_is_appended_after_the_end(log: SqliteTurnLog) -> None:
    turn = await whole(log)
    with pytest.raises(LeaseLostError):
        await append(log, turn, ev.stage(), after=2)
    with pytest.raises(LeaseLostError):
        await log.renew(turn, "p1", LEASE)


async def test_a_batch_that_cannot_be_stored_leaves_nothing_behind(log: SqliteTurnLog) -> None:
    turn = (await begin(log)).row.name
    events = ev.numbered([ev.stage(), ev.delta(0, "x")], 2, turn)
    events[1].seq = 2
    with pytest.raises(MeshError) as caught:
        await log.append(turn, "p1", 1, events)
    assert caught.value.reason == "STORE_UNAVAILABLE"
    row, stored = await log.read(turn, 0, 10)
    assert row.last_seq == len(stored) == 1
    await finish(log, turn)


async def test_two_logs_of_one_file_append_each_seq_once(open_log: Open) -> None:
    first, second = open_log(), open_log()
    turn = (await begin(first)).row.name
    results = await asyncio.gather(
        *(append(one, turn, ev.stage()) for one in (first, second) for _ in range(10)), return_exceptions=True
    )
    assert results.count(None) == 1
    assert all(isinstance(result, LeaseLostError) for result in results if result is not None)
    assert len((await second.read(turn, 0, 100))[1]) == 2


async def test_a_lease_that_is_renewed_is_not_taken_over(log: SqliteTurnLog, clock: Clock) -> None:
    turn = (await begin(log)).row.name
    for _ in range(5):
        clock.now += LEASE - 1
        row = await log.renew(turn, "p1", LEASE)
        assert row.live
        assert await log.take_over("p2", LEASE) == []
    with pytest.raises(LeaseLostError):
        await log.renew(turn, "p2", LEASE)


async def test_a_lease_that_ran_out_is_taken_over_once(open_log: Open, clock: Clock) -> None:
    first, second = open_log(), open_log()
    turn = (await begin(first)).row.name
    over = await whole(first)
    clock.now += LEASE + 1
    taken = await asyncio.gather(first.take_over("p2", LEASE), second.take_over("p3", LEASE))
    assert sorted(len(rows) for rows in taken) == [0, 1]
    winner = "p2" if taken[0] else "p3"
    with pytest.raises(LeaseLostError):
        await append(first, turn, ev.stage())
    with pytest.raises(LeaseLostError):
        await first.renew(turn, "p1", LEASE)
    await append(second, turn, ev.finished(t.OUTCOME_FAILED), owner=winner)
    assert (await first.read(over, 0, 10))[0].last_seq == 2


async def test_one_live_turn_a_conversation(log: SqliteTurnLog) -> None:
    begun = await begin(log)
    with pytest.raises(MeshError) as caught:
        await begin(log, conversation=begun.row.conversation)
    assert caught.value.reason == "TURN_IN_PROGRESS"
    assert caught.value.metadata == {"turn": begun.row.name}
    await begin(log)
    await finish(log, begun.row.name)
    second = await begin(log, conversation=begun.row.conversation)
    assert second.row.conversation == begun.row.conversation


async def test_questions_that_come_together_begin_one_turn(open_log: Open) -> None:
    logs = [open_log(), open_log()]
    first = await begin(logs[0])
    await finish(logs[0], first.row.name)
    tries = [begin(log, conversation=first.row.conversation) for log in logs for _ in range(8)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(result, BegunTurn) for result in results) == 1
    assert {result.reason for result in results if isinstance(result, MeshError)} == {"TURN_IN_PROGRESS"}


async def test_a_conversation_is_full_in_the_end(open_log: Open) -> None:
    log = open_log(max_turns=2)
    conversation = (await whole(log)).partition("/turns/")[0]
    await whole(log, conversation=conversation)
    with pytest.raises(MeshError) as caught:
        await begin(log, conversation=conversation)
    assert (caught.value.reason, caught.value.metadata) == ("CONVERSATION_FULL", {"limit_turns": "2"})


async def test_the_longest_unused_conversation_goes_first(open_log: Open) -> None:
    log = open_log(max_conversations=2)
    first, second = [(await whole(log)).partition("/turns/")[0] for _ in range(2)]
    bystander = await log.begin(BERT, new_turn(), "p1", LEASE)
    await whole(log, conversation=first)
    third = (await whole(log)).partition("/turns/")[0]
    assert [one.name for _, one in await log.conversations(ANNA, None, 10)] == [third, first]
    with pytest.raises(MeshError):
        await log.conversation(ANNA, second)
    await log.conversation(BERT, bystander.row.conversation)


async def test_the_same_request_finds_its_turn(log: SqliteTurnLog) -> None:
    first = await begin(log, request_id="r1")
    again = await begin(log, request_id="r1")
    assert first.started is not None and again.started is None
    assert again.row == first.row
    await finish(log, first.row.name)
    after = await begin(log, request_id="r1")
    assert after.started is None and not after.row.live
    assert (await log.conversation(ANNA, first.row.conversation)).turn_count == 1


async def test_another_body_is_refused_and_changes_nothing(log: SqliteTurnLog) -> None:
    first = await begin(log, request_id="r1")
    with pytest.raises(MeshError) as caught:
        await begin(log, request_id="r1", body="c")
    assert (caught.value.reason, caught.value.metadata) == ("REQUEST_ID_REUSED", {"request_id": "r1"})
    assert (await begin(log, request_id="r1")).started is None
    assert len(await log.conversations(ANNA, None, 10)) == 1
    assert first.started is not None


async def test_a_request_id_belongs_to_its_principal(log: SqliteTurnLog) -> None:
    first = await begin(log, request_id="r1")
    second = await begin(log, who=BERT, request_id="r1", body="c")
    other = Principal(tenant="other", subject=ANNA.subject)
    third = await begin(log, who=other, request_id="r1", body="d")
    assert first.started is not None and second.started is not None and third.started is not None


async def test_a_request_id_is_kept_for_a_day(log: SqliteTurnLog, clock: Clock) -> None:
    first = await begin(log, request_id="r1")
    clock.now += DAY - 5
    assert (await begin(log, request_id="r1")).started is None
    clock.now += 6
    later = await begin(log, request_id="r1", body="c")
    assert later.started is not None and later.row.name != first.row.name


async def test_a_request_goes_with_its_conversation(log: SqliteTurnLog) -> None:
    first = await begin(log, request_id="r1")
    await log.delete_conversation(ANNA, first.row.conversation)
    assert (await begin(log, request_id="r1", body="c")).started is not None


async def test_nobody_sees_what_is_anothers(log: SqliteTurnLog) -> None:
    begun = await begin(log)
    for who in (BERT, OWNER, Principal(tenant="other", subject=ANNA.subject)):
        calls = [
            log.find(who, begun.row.name),
            log.conversation(who, begun.row.conversation),
            log.turns(who, begun.row.conversation, 0, 10),
            log.delete_conversation(who, begun.row.conversation),
            log.begin(who, new_turn(conversation=begun.row.conversation), "p1", LEASE),
        ]
        for call in calls:
            with pytest.raises(MeshError, match="NOT_FOUND"):
                await call
        assert await log.conversations(who, None, 10) == []
    assert (await log.find(ANNA, begun.row.name)) == begun.row


async def test_conversations_page_by_use(log: SqliteTurnLog, clock: Clock) -> None:
    made = [(await whole(log)).partition("/turns/")[0] for _ in range(5)]
    await whole(log, conversation=made[1])
    expected = [made[1], made[4], made[3], made[2], made[0]]
    seen: list[str] = []
    after = None
    while page := await log.conversations(ANNA, after, 2):
        seen += [one.name for _, one in page]
        after = (page[-1][0], page[-1][1].name)
    assert seen == expected


async def test_conversations_of_one_moment_are_all_paged(log: SqliteTurnLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "_clock", lambda: 1_795_000_000.0)
    made = {(await begin(log)).row.conversation for _ in range(7)}
    seen: list[str] = []
    after = None
    while page := await log.conversations(ANNA, after, 2):
        seen += [one.name for _, one in page]
        after = (page[-1][0], page[-1][1].name)
    assert len(seen) == 7 and set(seen) == made


async def test_turns_page_from_the_oldest(log: SqliteTurnLog) -> None:
    names = [await whole(log)]
    conversation = names[0].partition("/turns/")[0]
    names += [await whole(log, conversation=conversation) for _ in range(4)]
    seen: list[str] = []
    after = 0.0
    while page := await log.turns(ANNA, conversation, after, 2):
        seen += [row.name for row in page]
        after = page[-1].create_time
    assert seen == names


async def test_history_is_of_finished_turns_before(log: SqliteTurnLog) -> None:
    first = await whole(log, question="1?")
    conversation = first.partition("/turns/")[0]
    for question in ("2?", "3?"):
        await whole(log, question=question, conversation=conversation)
    live = await begin(log, question="4?", conversation=conversation)
    logs = await log.history(conversation, live.row.name, 2)
    assert [fold(events).question for events in logs] == ["2?", "3?"]
    assert len(await log.history(conversation, live.row.name, 10)) == 3
