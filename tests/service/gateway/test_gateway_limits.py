"""How much a turn may hold, how much may be unreviewed, how many may run: at the limit and beyond it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from ragmesh.gateway.v1 import turn_pb2 as t
from ragmesh.generator.v1 import generator_service_pb2 as gen
from ragmesh.guard.v1 import guard_service_pb2 as guard

from services.gateway.fold import fold
from tests.service.gateway import fake_services as fake
from tests.service.gateway.visitors import GatewayUnderTest, Visitor
from tests.unit.gateway import turn_events as ev
from tests.unit.gateway.waiting import until

TEXT = "".join(fake.SENTENCES)


async def test_too_long_a_draft_ends_the_turn_and_keeps_what_fits(gateway: GatewayUnderTest, anna: Visitor) -> None:
    sentence = "x" * 8191 + "."

    async def long(_: gen.StreamGenerateRequest) -> fake.Steps:
        yield fake.decided()
        async for step in fake.sentences(*[sentence] * 10_000, cites=None):
            yield step

    gateway.generator.script = long
    stream = await anna.asked()
    assert (stream.finished.outcome, stream.finished.failure.reason) == (t.OUTCOME_FAILED, "TURN_TOO_LARGE")
    assert len(fold(stream.seen).text) == 64 * 1024
    await until(lambda: gateway.generator.drafts.live == 0, "the generator's call ends")
    assert gateway.generator.drafts.cancelled == 1


async def test_too_many_events_end_the_turn(gateway: GatewayUnderTest, anna: Visitor) -> None:
    async def many(_: gen.StreamGenerateRequest) -> fake.Steps:
        yield fake.decided()
        async for step in fake.sentences(*["x."] * 1100):
            yield step
        yield fake.done()

    gateway.generator.script = many
    stream = await anna.asked()
    assert (stream.finished.outcome, stream.finished.failure.reason) == (t.OUTCOME_FAILED, "TURN_TOO_LARGE")
    assert len(stream.seen) <= 2000
    assert await anna.turn(stream.turn) == fold(stream.seen)


async def test_the_generator_waits_while_too_much_is_unreviewed(gateway: GatewayUnderTest, anna: Visitor) -> None:
    sentence, gate, most = "y" * 1023 + ".", asyncio.Event(), 0

    async def decide(guard_: fake.FakeGuard, requests: AsyncIterator[guard.CheckOutputRequest]) -> fake.Decisions:
        ends: asyncio.Queue[guard.CheckOutputRequest | None] = asyncio.Queue()
        drafted = 0

        async def read() -> None:
            nonlocal most, drafted
            async for request in requests:
                drafted += len(request.text.text)
                most = max(most, drafted - shown)
                if request.HasField("segment_end"):
                    ends.put_nowait(request)
            ends.put_nowait(None)

        shown = 0
        reading = asyncio.create_task(read())
        await gate.wait()
        while (request := await ends.get()) is not None:
            start = request.segment_end.range.start
            shown += len(sentence)
            yield fake.released(sentence.encode(), start, start)
        await reading
        yield fake.concluded()

    async def long(_: gen.StreamGenerateRequest) -> fake.Steps:
        yield fake.decided()
        async for step in fake.sentences(*[sentence] * 60, cites=None):
            yield step
        yield fake.done()

    gateway.guard.decide, gateway.generator.script = decide, long
    asking = asyncio.create_task(anna.asked())
    await until(lambda: most == 16 * 1024, "16 KiB are at the guard")
    sent: list[int] = []

    def settled() -> bool:
        sent.append(most)
        return len(sent) > 60 and len(set(sent[-50:])) == 1

    await until(settled, "nothing more comes")
    assert most == 16 * 1024, "not a byte more than 16 KiB is unreviewed"
    gate.set()
    stream = await asking
    assert stream.finished.outcome == t.OUTCOME_ANSWERED
    assert len(fold(stream.seen).text) == 60 * 1024
    assert most == 16 * 1024


async def test_a_sentence_without_an_end_fails_at_once(gateway: GatewayUnderTest, anna: Visitor) -> None:
    async def endless(_: gen.StreamGenerateRequest) -> fake.Steps:
        yield fake.decided()
        async for step in fake.sentences(fake.SENTENCES[0]):
            yield step
        while True:
            yield fake.wrote("z" * 1000)

    gateway.generator.script = endless
    stream = await anna.asked()
    assert (stream.finished.outcome, stream.finished.failure.reason) == (t.OUTCOME_FAILED, "TURN_TOO_LARGE")
    assert fold(stream.seen).text == fake.SENTENCES[0]
    await until(lambda: gateway.generator.drafts.cancelled == 1, "the generator's call is cancelled")


@pytest.mark.parametrize("question", ["a\x00b\x07\x1b[31mc\u202e?", "😀" * 2048, " \n", "' OR 1=1; --", "\u0301", "ｈｉ\ufeff"])
async def test_any_text_reaches_the_guard_as_it_is(gateway: GatewayUnderTest, anna: Visitor, question: str) -> None:
    stream = await anna.asked(question)
    assert gateway.guard.input.requests[0].text == question
    assert stream.seen[0].started.question == question
    assert (await anna.turn(stream.turn)).question == question


async def test_sixty_four_turns_at_once(gateway: GatewayUnderTest) -> None:
    visitors = [gateway.visitor(ev.visitor(f"v{n % 8}")) for n in range(8)]
    streams = await asyncio.gather(*(visitors[n % 8].asked(f"Question {n}?") for n in range(64)))
    for n, stream in enumerate(streams):
        turn = fold(stream.seen)
        assert (turn.question, turn.text) == (f"Question {n}?", TEXT)
        assert stream.finished.outcome == t.OUTCOME_ANSWERED
        assert [event.seq for event in stream.seen if not event.HasField("heartbeat")] == list(range(1, turn.last_seq + 1))
    assert len({stream.turn for stream in streams}) == 64
