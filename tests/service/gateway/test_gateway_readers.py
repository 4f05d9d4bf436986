"""Readers come and go: leaving, resuming, stopping, waiting, asking twice."""

from __future__ import annotations

import asyncio
import time
import uuid
from pathlib import Path

import pytest
from ragmesh.gateway.v1 import gateway_service_pb2 as g
from ragmesh.gateway.v1 import turn_pb2 as t
from ragmesh.generator.v1 import generator_service_pb2 as gen
from ragmesh.retriever.v1 import retriever_service_pb2 as ret

from services.gateway.fold import fold
from services.mesh.errors import MeshError
from tests.service.gateway import fake_services as fake
from tests.service.gateway.conftest import Start
from tests.service.gateway.visitors import GatewayUnderTest, Visitor, failure
from tests.unit.gateway.turn_events import evidence, visitor
from tests.unit.gateway.waiting import until

TEXT = "".join(fake.SENTENCES)


class Gate:
    """A draft that stands still after its first sentence, until it is let go."""

    def __init__(self, gateway: GatewayUnderTest) -> None:
        self.open = asyncio.Event()
        gateway.generator.script = self.script

    async def script(self, _: gen.StreamGenerateRequest) -> fake.Steps:
        yield fake.decided()
        async for step in fake.sentences(fake.SENTENCES[0]):
            yield step
        await self.open.wait()
        async for step in fake.sentences(fake.SENTENCES[1], start=len(fake.SENTENCES[0].encode())):
            yield step
        yield fake.done()


async def test_resumed_from_any_seq_it_is_exactly_the_rest(anna: Visitor) -> None:
    stream = await anna.asked()
    for after in range(len(stream.seen) + 1):
        assert await anna.resume(stream.turn, after).rest() == stream.seen[after:]
    assert await anna.resume(stream.turn, 2**32 - 1).rest() == []


async def test_resumed_from_any_seq_of_a_live_turn(gateway: GatewayUnderTest, anna: Visitor) -> None:
    gate = Gate(gateway)
    stream = anna.ask()
    await stream.until("claim")
    so_far = len(stream.seen)
    readers = [asyncio.create_task(anna.resume(stream.turn, after).rest()) for after in range(so_far + 1)]
    early = anna.resume(stream.turn)
    await early.until("claim")
    gate.open.set()
    whole = await stream.rest()
    assert await early.rest() == whole
    for after, rest in enumerate(await asyncio.gather(*readers)):
        assert rest == whole[after:]
    assert fold(whole).text == TEXT


async def test_a_client_that_leaves_ends_no_turn(gateway: GatewayUnderTest, anna: Visitor) -> None:
    gate = Gate(gateway)
    stream = anna.ask()
    await stream.until("claim")
    stream.call.cancel()
    gate.open.set()
    rest = await anna.resume(stream.turn, stream.seen[-1].seq).rest()
    whole = stream.seen + rest
    assert [event.seq for event in whole] == list(range(1, len(whole) + 1))
    assert whole[-1].finished.outcome == t.OUTCOME_ANSWERED
    assert fold(whole).text == TEXT
    assert gateway.generator.drafts.cancelled == 0


async def test_a_client_that_leaves_with_its_question_on_the_way_leaves_a_turn_that_ends(
    gateway: GatewayUnderTest, anna: Visitor
) -> None:
    for pauses in range(40):
        stream = anna.ask(f"{pauses}?", request_id=str(uuid.uuid4()))
        reading = asyncio.create_task(stream.rest())
        for _ in range(pauses):
            await asyncio.sleep(0)
        stream.call.cancel()
        reading.cancel()
        await asyncio.wait([reading])

    async def all_over() -> bool:
        found = await anna.call("ListConversations", g.ListConversationsRequest(page_size=200))
        return not any(conversation.live_turn for conversation in found.conversations)

    assert await until(all_over, "every turn that began ends", 5) < 4, "by its own work, not by a lease that ran out"
    found = await anna.call("ListConversations", g.ListConversationsRequest(page_size=200))
    for conversation in found.conversations:
        turns = (await anna.call("ListTurns", g.ListTurnsRequest(parent=conversation.name))).turns
        assert [turn.finished.outcome for turn in turns] == [t.OUTCOME_ANSWERED]


async def test_nobody_reads_and_the_work_stops(start_gateway: Start) -> None:
    gateway = await start_gateway(abandon_seconds=0.3)
    anna = gateway.visitor(visitor("anna"))
    Gate(gateway)
    stream = anna.ask()
    await stream.until("claim")
    stream.call.cancel()
    await until(lambda: gateway.generator.drafts.cancelled == 1, "the generator's call is cancelled")
    await until(lambda: gateway.guard.output.live == 0, "the guard's call ends")
    turn = await anna.turn(stream.turn)
    assert turn.finished.outcome == t.OUTCOME_STOPPED
    assert turn.text == fake.SENTENCES[0]


async def test_a_reader_that_takes_nothing_is_still_a_reader(start_gateway: Start) -> None:
    gateway = await start_gateway(abandon_seconds=0.3, heartbeat_seconds=0.05)
    anna = gateway.visitor(visitor("anna"))
    gate = Gate(gateway)
    stream = anna.ask()
    await stream.until("claim")
    began = time.monotonic()
    while time.monotonic() - began < 1.0:
        assert (await anna.turn(stream.turn)).finished.outcome == t.OUTCOME_UNSPECIFIED
        await asyncio.sleep(0.05)
    gate.open.set()
    await stream.rest()
    assert stream.finished.outcome == t.OUTCOME_ANSWERED


async def test_a_reader_that_takes_nothing_and_leaves_is_seen_to_leave(start_gateway: Start) -> None:
    gateway = await start_gateway(abandon_seconds=0.3)
    anna = gateway.visitor(visitor("anna"))
    # More than fits into the window of the connection: the gateway is left waiting in the middle of its writing.
    passages = [evidence(f"ev_{n}", text="p" * 32_000) for n in range(1, 33)]
    gateway.retriever.found = ret.SearchResponse(evidence=passages, documents_searched=63)
    Gate(gateway)
    stream = anna.ask()
    await stream.until("understood")
    await until(lambda: gateway.generator.drafts.live == 1, "the draft is begun")
    stream.call.cancel()
    await until(lambda: gateway.generator.drafts.cancelled == 1, "the generator's call is cancelled")
    assert (await anna.turn(stream.turn)).finished.outcome == t.OUTCOME_STOPPED


async def test_stopped_in_the_middle(gateway: GatewayUnderTest, anna: Visitor) -> None:
    Gate(gateway)
    stream = anna.ask()
    await stream.until("claim")
    began = time.monotonic()
    stopped = await anna.stop(stream.turn)
    assert time.monotonic() - began < 1.0, "at once"
    assert stopped.finished.outcome == t.OUTCOME_STOPPED
    assert stopped.text == fake.SENTENCES[0]
    await until(lambda: gateway.generator.drafts.cancelled == 1, "the generator's call is cancelled", 1)
    await until(lambda: gateway.guard.output.live == 0, "the guard's call ends", 1)
    await stream.rest()
    assert fold(stream.seen) == stopped
    assert await anna.stop(stream.turn) == stopped, "a turn that is over stays as it is"


@pytest.mark.parametrize("stage", ["guard", "retriever"])
async def test_stopped_before_anything_is_written(gateway: GatewayUnderTest, anna: Visitor, stage: str) -> None:
    if stage == "guard":
        gateway.guard.check = fake.hang
        recorder = gateway.guard.input
    else:
        gateway.retriever.search = fake.hang
        recorder = gateway.retriever.searches
    stream = anna.ask()
    await stream.until("started")
    await until(lambda: recorder.live == 1, f"{stage} is asked")
    stopped = await anna.stop(stream.turn)
    assert stopped.finished.outcome == t.OUTCOME_STOPPED
    await until(lambda: recorder.cancelled == 1, f"the call of {stage} is cancelled", 1)
    assert stopped.finished.timings[0].stage == t.STAGE_CHECKING


async def test_stopped_by_many_at_once(gateway: GatewayUnderTest, anna: Visitor) -> None:
    Gate(gateway)
    stream = anna.ask()
    await stream.until("claim")
    stopped = await asyncio.gather(*(anna.stop(stream.turn) for _ in range(10)))
    assert all(turn == stopped[0] for turn in stopped)
    assert stopped[0].finished.outcome == t.OUTCOME_STOPPED


async def test_a_turn_ends_itself_before_the_deadline(gateway: GatewayUnderTest, anna: Visitor) -> None:
    Gate(gateway)
    began = time.monotonic()
    stream = anna.ask(timeout=1.5)
    await stream.rest()
    elapsed = time.monotonic() - began
    assert (stream.finished.outcome, stream.finished.failure.reason) == (t.OUTCOME_FAILED, "DEADLINE_EXCEEDED")
    assert 0.9 <= elapsed < 1.5
    assert fold(stream.seen).text == fake.SENTENCES[0]
    await until(lambda: gateway.generator.drafts.cancelled == 1, "the generator's call is cancelled", 1)


async def test_a_silent_guard_costs_its_share_of_the_time(gateway: GatewayUnderTest, anna: Visitor) -> None:
    gateway.guard.check = fake.hang
    began = time.monotonic()
    stream = anna.ask(timeout=1.5)
    await stream.rest()
    assert (stream.finished.outcome, stream.finished.failure.reason) == (t.OUTCOME_FAILED, "DEADLINE_EXCEEDED")
    assert 0.4 <= time.monotonic() - began < 1.5


async def test_too_little_time_begins_no_turn(anna: Visitor) -> None:
    error = await failure(anna.asked(timeout=0.3))
    assert error.reason == "DEADLINE_EXCEEDED"
    assert not (await anna.call("ListConversations", g.ListConversationsRequest())).conversations


async def test_a_caller_without_a_deadline_gets_the_default(start_gateway: Start) -> None:
    gateway = await start_gateway(turn_seconds=0.9)
    anna = gateway.visitor(visitor("anna"))
    Gate(gateway)
    stream = anna.ask(timeout=None)
    await stream.rest()
    assert stream.finished.failure.reason == "DEADLINE_EXCEEDED"


async def test_a_reader_with_little_time_does_not_end_the_turn(gateway: GatewayUnderTest, anna: Visitor) -> None:
    gate = Gate(gateway)
    stream = anna.ask()
    await stream.until("claim")
    with pytest.raises(MeshError) as caught:
        await anna.resume(stream.turn, timeout=0.3).rest()
    assert caught.value.reason == "DEADLINE_EXCEEDED"
    gate.open.set()
    await stream.rest()
    assert stream.finished.outcome == t.OUTCOME_ANSWERED


async def test_heartbeats(start_gateway: Start) -> None:
    gateway = await start_gateway(heartbeat_seconds=0.1)
    anna = gateway.visitor(visitor("anna"))
    gate = Gate(gateway)
    stream = anna.ask()
    await stream.until("claim")
    last, began = stream.seen[-1].seq, time.monotonic()
    for _ in range(3):
        assert (await stream.until("heartbeat")).seq == last
    assert 0.25 <= time.monotonic() - began < 2.0
    gate.open.set()
    whole = await stream.rest()
    stored = [event for event in whole if not event.HasField("heartbeat")]
    assert await anna.resume(stream.turn).rest() == stored
    assert fold(whole) == fold(stored)


async def test_the_same_request_attaches(gateway: GatewayUnderTest, anna: Visitor) -> None:
    gate = Gate(gateway)
    again = str(uuid.uuid4())
    first = anna.ask(request_id=again)
    await first.until("claim")
    second = anna.ask(request_id=again)
    await second.until("claim")
    third = asyncio.create_task(anna.answer(request_id=again))
    assert second.seen == first.seen
    gate.open.set()
    assert await second.rest() == await first.rest()
    assert await third == fold(first.seen)
    assert (await anna.asked(request_id=again)).seen == first.seen
    assert (await anna.asked(request_id=again.upper())).seen == first.seen
    assert len(gateway.generator.drafts.requests) == 1


async def test_the_same_request_many_times_at_once_is_one_turn(gateway: GatewayUnderTest, anna: Visitor) -> None:
    again = str(uuid.uuid4())
    streams = await asyncio.gather(*(anna.asked(request_id=again) for _ in range(16)))
    assert all(stream.seen == streams[0].seen for stream in streams)
    assert len(gateway.generator.drafts.requests) == 1
    assert len((await anna.call("ListConversations", g.ListConversationsRequest())).conversations) == 1


@pytest.mark.parametrize("field", ["question", "conversation"])
async def test_the_same_request_with_another_body_is_refused(anna: Visitor, field: str) -> None:
    first = await anna.asked()
    identifier = str(uuid.uuid4())
    await anna.asked(request_id=identifier)
    other = {"question": "Something else?"} if field == "question" else {"conversation": first.seen[0].started.conversation}
    error = await failure(anna.asked(request_id=identifier, **other))
    assert (error.reason, error.metadata) == ("REQUEST_ID_REUSED", {"request_id": identifier})


async def test_different_bodies_at_once_under_one_request_id_make_one_turn(anna: Visitor) -> None:
    identifier = str(uuid.uuid4())
    results = await asyncio.gather(*(anna.asked(f"Question {n}?", request_id=identifier) for n in range(8)), return_exceptions=True)
    errors = [result for result in results if isinstance(result, MeshError)]
    assert len(errors) == 7 and {error.reason for error in errors} == {"REQUEST_ID_REUSED"}


async def test_one_live_turn_a_conversation(gateway: GatewayUnderTest, anna: Visitor) -> None:
    gate = Gate(gateway)
    stream = anna.ask()
    started = await stream.until("started")
    conversation = started.started.conversation
    error = await failure(anna.asked("and then?", conversation=conversation))
    assert (error.reason, error.metadata) == ("TURN_IN_PROGRESS", {"turn": stream.turn})
    found = (await anna.call("GetConversation", g.GetConversationRequest(name=conversation))).conversation
    assert (found.live_turn, found.turn_count) == (stream.turn, 1)
    gate.open.set()
    await stream.rest()
    assert (await anna.asked("and then?", conversation=conversation)).finished.outcome == t.OUTCOME_ANSWERED


async def test_the_resume_window_passes(start_gateway: Start) -> None:
    gateway = await start_gateway(resume_seconds=0.2)
    anna = gateway.visitor(visitor("anna"))
    stream = await anna.asked()

    async def passed() -> bool:
        try:
            await anna.resume(stream.turn).rest()
        except MeshError as error:
            assert (error.reason, error.metadata) == ("RESUME_WINDOW_PASSED", {"turn": stream.turn})
            return True
        return False

    assert await until(passed, "the window passes") >= 0.1
    assert (await anna.turn(stream.turn)).text == TEXT


async def test_closing_the_gateway_leaves_nothing_running(start_gateway: Start, folder: Path) -> None:
    gateway = await start_gateway()
    anna = gateway.visitor(visitor("anna"))
    Gate(gateway)
    streams = [anna.ask(f"{n}?") for n in range(4)]
    for stream in streams:
        await stream.until("claim")
    readers = [asyncio.create_task(stream.rest()) for stream in streams]
    await gateway.stop()
    await asyncio.wait(readers)
    for reader in readers:
        error = reader.exception()
        assert error is None or isinstance(error, MeshError)
    names = [task.get_name() for task in asyncio.all_tasks()]
    assert not [name for name in names if name.startswith(("turn ", "hub-", "begin"))]
    await until(lambda: gateway.generator.drafts.live == gateway.guard.output.live == 0, "the calls end")
    again = await start_gateway()
    later = again.visitor(visitor("anna"))
    for stream in streams:
        turn = await later.turn(stream.turn)
        assert (turn.finished.outcome, turn.finished.failure.reason) == (t.OUTCOME_FAILED, "TURN_INTERRUPTED")
        assert turn.text == fake.SENTENCES[0]
