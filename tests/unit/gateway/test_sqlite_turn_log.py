"""The turn log in SQLite: who may begin what, who may append, what is kept and what is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from ragmesh.gateway.v1 import turn_pb2 as t
from ragmesh.identity.v1.principal_pb2 import Principal

from services.gateway.fold import fold
from services.gateway.sqlite_log import SqliteTurnLog
from services.gateway.turn_log import BegunTurn, LeaseLostError, NewTurn
from services.mesh.errors import MeshError
from tests.unit.gateway import turn_events as ev

LEASE, DAY = 6.0, 86_400.0
ANNA, BERT = ev.visitor("anna"), ev.visitor("bert")
OWNER = Principal(tenant="default", subject="users/local", roles=["visitor"])


class Clock:
    """Seconds since the epoch, as a test sets them."""

    def __init__(self) -> None:
        self.now = 1_795_000_000.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


Open = Callable[..., SqliteTurnLog]


@pytest.fixture
async def open_log(tmp_path: Path, clock: Clock) -> AsyncIterator[Open]:
    opened = []

    def make(max_turns: int = 100, max_conversations: int = 100) -> SqliteTurnLog:
        log = SqliteTurnLog(
            tmp_path / "turns.db",
            max_turns=max_turns,
            max_conversations=max_conversations,
            resume_seconds=600,
            retention_days=30,
            clock=clock,
        )
        opened.append(log)
        return log

    yield make
    for log in opened:
        await log.close()


@pytest.fixture
def log(open_log: Open) -> SqliteTurnLog:
    return open_log()


def _new(question: str = "How is oil stored?", conversation: str = "", request_id: str = "", body: str = "b") -> NewTurn:
    return NewTurn("assistants/default", question, conversation, request_id, body, resume_expire_time=2_000_000_000.0)


async def _begin(log: SqliteTurnLog, who: Principal = ANNA, owner: str = "p1", **new: str) -> BegunTurn:
    return await log.begin(who, _new(**new), owner, LEASE)


async def _append(log: SqliteTurnLog, turn: str, *events: t.TurnEvent, after: int = 1, owner: str = "p1") -> None:
    await log.append(turn, owner, after, ev.numbered(events, after + 1, turn))


async def _finish(log: SqliteTurnLog, turn: str, after: int = 1) -> None:
    await _append(log, turn, ev.finished(), after=after)


async def _whole(log: SqliteTurnLog, question: str = "How is oil stored?", conversation: str = "") -> str:
    begun = await _begin(log, question=question, conversation=conversation)
    await _finish(log, begun.row.name)
    return begun.row.name


async def test_a_turn_begins_with_its_first_event(log: SqliteTurnLog) -> None:
    begun = await _begin(log, question="  How\n is   oil stored?  " + "x" * 100)
    assert begun.created and begun.row.live and begun.row.last_seq == 1
    row, events = await log.read(begun.row.name, 0, 10)
    assert row == begun.row
    assert [event.seq for event in events] == [1]
    assert events[0].turn == begun.row.name
    assert events[0].started.question.startswith("  How\n")
    assert events[0].started.conversation == begun.row.conversation
    assert events[0].started.resume_expire_time.ToSeconds() == 2_000_000_000
    conversation = await log.conversation(ANNA, begun.row.conversation)
    assert conversation.title == ("How is oil stored? " + "x" * 100)[:80]
    assert (conversation.turn_count, conversation.live_turn) == (1, begun.row.name)


async def test_names_are_random_and_long(log: SqliteTurnLog) -> None:
    names = {(await _begin(log)).row.name for _ in range(20)}
    assert len(names) == 20
    assert all(len(name) == len("conversations//turns/") + 64 for name in names)


async def test_events_are_appended_and_read_in_pieces(log: SqliteTurnLog) -> None:
    turn = (await _begin(log)).row.name
    await _append(log, turn, ev.stage(), ev.found(ev.evidence()), ev.delta(0, "a"))
    await _append(log, turn, ev.finished(), after=4)
    for after in range(6):
        row, events = await log.read(turn, after, 100)
        assert [event.seq for event in events] == list(range(after + 1, 6))
    assert not row.live and row.finish_time is not None and row.last_seq == 5
    assert [event.seq for event in (await log.read(turn, 1, 2))[1]] == [2, 3]


@pytest.mark.parametrize(("owner", "after"), [("p2", 1), ("p1", 0), ("p1", 2)])
async def test_only_the_owner_appends_and_only_at_the_end(log: SqliteTurnLog, owner: str, after: int) -> None:
    turn = (await _begin(log)).row.name
    with pytest.raises(LeaseLostError):
        await _append(log, turn, ev.stage(), after=after, owner=owner)
    row, events = await log.read(turn, 0, 10)
    assert row.last_seq == len(events) == 1


async def test_nothing_is_appended_after_the_end(log: SqliteTurnLog) -> None:
    turn = await _whole(log)
    with pytest.raises(LeaseLostError):
        await _append(log, turn, ev.stage(), after=2)
    with pytest.raises(LeaseLostError):
        await log.renew(turn, "p1", LEASE)


async def test_a_batch_that_cannot_be_stored_leaves_nothing_behind(log: SqliteTurnLog) -> None:
    turn = (await _begin(log)).row.name
    events = ev.numbered([ev.stage(), ev.delta(0, "x")], 2, turn)
    events[1].seq = 2
    with pytest.raises(MeshError) as caught:
        await log.append(turn, "p1", 1, events)
    assert caught.value.reason == "STORE_UNAVAILABLE"
    row, stored = await log.read(turn, 0, 10)
    assert row.last_seq == len(stored) == 1
    await _finish(log, turn)


async def test_two_logs_of_one_file_append_each_seq_once(open_log: Open) -> None:
    first, second = open_log(), open_log()
    turn = (await _begin(first)).row.name
    results = await asyncio.gather(
        *(_append(one, turn, ev.stage()) for one in (first, second) for _ in range(10)), return_exceptions=True
    )
    assert results.count(None) == 1
    assert all(isinstance(result, LeaseLostError) for result in results if result is not None)
    assert len((await second.read(turn, 0, 100))[1]) == 2


async def test_a_lease_that_is_renewed_is_not_taken_over(log: SqliteTurnLog, clock: Clock) -> None:
    turn = (await _begin(log)).row.name
    for _ in range(5):
        clock.now += LEASE - 1
        row = await log.renew(turn, "p1", LEASE)
        assert row.live
        assert await log.take_over("p2", LEASE) == []
    with pytest.raises(LeaseLostError):
        await log.renew(turn, "p2", LEASE)


async def test_a_lease_that_ran_out_is_taken_over_once(open_log: Open, clock: Clock) -> None:
    first, second = open_log(), open_log()
    turn = (await _begin(first)).row.name
    over = await _whole(first)
    clock.now += LEASE + 1
    taken = await asyncio.gather(first.take_over("p2", LEASE), second.take_over("p3", LEASE))
    assert sorted(len(rows) for rows in taken) == [0, 1]
    winner = "p2" if taken[0] else "p3"
    with pytest.raises(LeaseLostError):
        await _append(first, turn, ev.stage())
    with pytest.raises(LeaseLostError):
        await first.renew(turn, "p1", LEASE)
    await _append(second, turn, ev.finished(t.OUTCOME_FAILED), owner=winner)
    assert (await first.read(over, 0, 10))[0].last_seq == 2


async def test_one_live_turn_a_conversation(log: SqliteTurnLog) -> None:
    begun = await _begin(log)
    with pytest.raises(MeshError) as caught:
        await _begin(log, conversation=begun.row.conversation)
    assert caught.value.reason == "TURN_IN_PROGRESS"
    assert caught.value.metadata == {"turn": begun.row.name}
    await _begin(log)
    await _finish(log, begun.row.name)
    second = await _begin(log, conversation=begun.row.conversation)
    assert second.row.conversation == begun.row.conversation


async def test_questions_that_come_together_begin_one_turn(open_log: Open) -> None:
    logs = [open_log(), open_log()]
    first = await _begin(logs[0])
    await _finish(logs[0], first.row.name)
    tries = [_begin(log, conversation=first.row.conversation) for log in logs for _ in range(8)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(result, BegunTurn) for result in results) == 1
    assert {result.reason for result in results if isinstance(result, MeshError)} == {"TURN_IN_PROGRESS"}


async def test_a_conversation_is_full_in_the_end(open_log: Open) -> None:
    log = open_log(max_turns=2)
    conversation = (await _whole(log)).partition("/turns/")[0]
    await _whole(log, conversation=conversation)
    with pytest.raises(MeshError) as caught:
        await _begin(log, conversation=conversation)
    assert (caught.value.reason, caught.value.metadata) == ("CONVERSATION_FULL", {"limit_turns": "2"})


async def test_the_longest_unused_conversation_goes_first(open_log: Open) -> None:
    log = open_log(max_conversations=2)
    first, second = [(await _whole(log)).partition("/turns/")[0] for _ in range(2)]
    bystander = await log.begin(BERT, _new(), "p1", LEASE)
    await _whole(log, conversation=first)
    third = (await _whole(log)).partition("/turns/")[0]
    assert [one.name for _, one in await log.conversations(ANNA, None, 10)] == [third, first]
    with pytest.raises(MeshError):
        await log.conversation(ANNA, second)
    await log.conversation(BERT, bystander.row.conversation)


async def test_the_same_request_finds_its_turn(log: SqliteTurnLog) -> None:
    first = await _begin(log, request_id="r1")
    again = await _begin(log, request_id="r1")
    assert first.created and not again.created
    assert again.row == first.row
    await _finish(log, first.row.name)
    after = await _begin(log, request_id="r1")
    assert not after.created and not after.row.live
    assert (await log.conversation(ANNA, first.row.conversation)).turn_count == 1


async def test_another_body_is_refused_and_changes_nothing(log: SqliteTurnLog) -> None:
    first = await _begin(log, request_id="r1")
    with pytest.raises(MeshError) as caught:
        await _begin(log, request_id="r1", body="c")
    assert (caught.value.reason, caught.value.metadata) == ("REQUEST_ID_REUSED", {"request_id": "r1"})
    assert not (await _begin(log, request_id="r1")).created
    assert len(await log.conversations(ANNA, None, 10)) == 1
    assert first.created


async def test_a_request_id_belongs_to_its_principal(log: SqliteTurnLog) -> None:
    first = await _begin(log, request_id="r1")
    second = await _begin(log, who=BERT, request_id="r1", body="c")
    other = Principal(tenant="other", subject=ANNA.subject)
    third = await _begin(log, who=other, request_id="r1", body="d")
    assert first.created and second.created and third.created


async def test_a_request_id_is_kept_for_a_day(log: SqliteTurnLog, clock: Clock) -> None:
    first = await _begin(log, request_id="r1")
    clock.now += DAY - 5
    assert not (await _begin(log, request_id="r1")).created
    clock.now += 6
    later = await _begin(log, request_id="r1", body="c")
    assert later.created and later.row.name != first.row.name


async def test_a_request_goes_with_its_conversation(log: SqliteTurnLog) -> None:
    first = await _begin(log, request_id="r1")
    await log.delete_conversation(ANNA, first.row.conversation)
    assert (await _begin(log, request_id="r1", body="c")).created


async def test_nobody_sees_what_is_anothers(log: SqliteTurnLog) -> None:
    begun = await _begin(log)
    for who in (BERT, OWNER, Principal(tenant="other", subject=ANNA.subject)):
        calls = [
            log.find(who, begun.row.name),
            log.conversation(who, begun.row.conversation),
            log.turns(who, begun.row.conversation, 0, 10),
            log.delete_conversation(who, begun.row.conversation),
            log.begin(who, _new(conversation=begun.row.conversation), "p1", LEASE),
        ]
        for call in calls:
            with pytest.raises(MeshError, match="NOT_FOUND"):
                await call
        assert await log.conversations(who, None, 10) == []
    assert (await log.find(ANNA, begun.row.name)) == begun.row


async def test_conversations_page_by_use(log: SqliteTurnLog, clock: Clock) -> None:
    made = [(await _whole(log)).partition("/turns/")[0] for _ in range(5)]
    await _whole(log, conversation=made[1])
    expected = [made[1], made[4], made[3], made[2], made[0]]
    seen: list[str] = []
    after = None
    while page := await log.conversations(ANNA, after, 2):
        seen += [one.name for _, one in page]
        after = (page[-1][0], page[-1][1].name)
    assert seen == expected


async def test_conversations_of_one_moment_are_all_paged(log: SqliteTurnLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "_clock", lambda: 1_795_000_000.0)
    made = {(await _begin(log)).row.conversation for _ in range(7)}
    seen: list[str] = []
    after = None
    while page := await log.conversations(ANNA, after, 2):
        seen += [one.name for _, one in page]
        after = (page[-1][0], page[-1][1].name)
    assert len(seen) == 7 and set(seen) == made


async def test_turns_page_from_the_oldest(log: SqliteTurnLog) -> None:
    names = [await _whole(log)]
    conversation = names[0].partition("/turns/")[0]
    names += [await _whole(log, conversation=conversation) for _ in range(4)]
    seen: list[str] = []
    after = 0.0
    while page := await log.turns(ANNA, conversation, after, 2):
        seen += [row.name for row in page]
        after = page[-1].create_time
    assert seen == names


async def test_history_is_of_finished_turns_before(log: SqliteTurnLog) -> None:
    first = await _whole(log, question="1?")
    conversation = first.partition("/turns/")[0]
    for question in ("2?", "3?"):
        await _whole(log, question=question, conversation=conversation)
    live = await _begin(log, question="4?", conversation=conversation)
    logs = await log.history(conversation, live.row.name, 2)
    assert [fold(events).question for events in logs] == ["2?", "3?"]
    assert len(await log.history(conversation, live.row.name, 10)) == 3


async def test_a_retraction_blanks_what_is_stored(log: SqliteTurnLog, tmp_path: Path) -> None:
    turn = (await _begin(log)).row.name
    await _append(log, turn, ev.delta(0, "Öl kühl GEHEI"), ev.delta(15, "MNIS lagern €"))
    before = fold((await log.read(turn, 0, 100))[1])
    await _append(log, turn, ev.retracted(10, 19), after=3)
    events = (await log.read(turn, 0, 100))[1]
    assert [event.delta.text for event in events if event.HasField("delta")] == ["Öl kühl " + " " * 5, " " * 4 + " lagern €"]
    assert len(fold(events).text.encode()) == len(before.text.encode())
    assert fold(events).text == "Öl kühl " + " " * 9 + " lagern €"


async def test_a_retraction_that_cuts_a_character_still_takes_back(log: SqliteTurnLog) -> None:
    turn = (await _begin(log)).row.name
    await _append(log, turn, ev.delta(0, "aü€z"), ev.retracted(2, 4))
    assert fold((await log.read(turn, 0, 100))[1]).text == "a     z"


async def test_a_rating_is_kept_and_the_last_word_counts(log: SqliteTurnLog) -> None:
    turn = await _whole(log)
    assert await log.rating(turn) is None
    await log.rate(turn, t.Rating(thumb=t.THUMB_DOWN, comment="wrong"))
    await log.rate(turn, t.Rating(thumb=t.THUMB_UP))
    assert await log.rating(turn) == t.Rating(thumb=t.THUMB_UP)
    assert await log.rating("conversations/c/turns/none") is None


async def test_stop_and_touch_are_seen_by_the_owner(log: SqliteTurnLog, clock: Clock) -> None:
    turn = (await _begin(log)).row.name
    row = await log.renew(turn, "p1", LEASE)
    assert not row.stop_requested
    clock.now += 3
    await log.touch(turn)
    await log.request_stop(turn)
    renewed = await log.renew(turn, "p1", LEASE)
    assert renewed.stop_requested
    assert renewed.last_read_time >= row.last_read_time + 3


async def test_passages_are_kept_for_the_resume_window(log: SqliteTurnLog, clock: Clock) -> None:
    begun = await _begin(log)
    await _append(log, begun.row.name, ev.found(ev.evidence()), ev.delta(0, "Cool."), ev.claimed(ev.claim(0, 5)))
    await _finish(log, begun.row.name, after=4)
    live = (await _begin(log)).row.name
    await _append(log, live, ev.found(ev.evidence()))
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
    old = (await _whole(log)).partition("/turns/")[0]
    own = await log.begin(OWNER, _new(), "p1", LEASE)
    clock.now += 20 * DAY
    young = (await _whole(log)).partition("/turns/")[0]
    clock.now += 11 * DAY
    await log.tidy()
    assert [one.name for _, one in await log.conversations(ANNA, None, 10)] == [young]
    assert len(await log.conversations(OWNER, None, 10)) == 1
    with pytest.raises(MeshError):
        await log.conversation(ANNA, old)
    assert own.created


def _on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


async def test_deleted_is_gone_for_good(log: SqliteTurnLog, tmp_path: Path) -> None:
    secret = "where does Zebulon keep the oil"
    begun = await _begin(log, question=secret)
    await _append(log, begun.row.name, ev.delta(0, "In Quixotes cellar. "), ev.found(ev.evidence(text="Quixotes ledger")))
    await _finish(log, begun.row.name, after=3)
    await log.rate(begun.row.name, t.Rating(comment="Zebulon says so"))
    kept = await _whole(log, question="What is Pumpernickel?")
    assert b"Zebulon" in _on_disk(tmp_path) and b"Quixote" in _on_disk(tmp_path)
    assert await log.delete_conversation(ANNA, begun.row.conversation) == 1
    left = _on_disk(tmp_path)
    assert b"Zebulon" not in left and b"Quixote" not in left
    assert b"Pumpernickel" in left
    with pytest.raises(MeshError, match="TURN_NOT_FOUND"):
        await log.read(begun.row.name, 0, 10)
    with pytest.raises(LeaseLostError):
        await _append(log, begun.row.name, ev.stage(), after=4)
    assert (await log.read(kept, 0, 10))[0].last_seq == 2


async def test_retracted_and_forgotten_text_leaves_the_disk_with_the_next_tidying(
    log: SqliteTurnLog, clock: Clock, tmp_path: Path
) -> None:
    turn = (await _begin(log)).row.name
    await _append(log, turn, ev.found(ev.evidence(text="Quixotes ledger")), ev.delta(0, "Zebulon. "), ev.retracted(0, 8))
    await _finish(log, turn, after=4)
    clock.now += 700
    await log.tidy()
    left = _on_disk(tmp_path)
    assert b"Zebulon" not in left and b"Quixote" not in left


async def test_a_log_that_is_opened_again_has_everything(open_log: Open) -> None:
    first = open_log()
    turn = (await _begin(first)).row.name
    await _append(first, turn, ev.stage(), ev.delta(0, "a"))
    second = open_log()
    row, events = await second.read(turn, 0, 10)
    assert row.live and [event.seq for event in events] == [1, 2, 3]
