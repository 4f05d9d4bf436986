"""What fails beside the gateway, and what it makes of that: always `finished`, never a hang, nothing unreviewed shown."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from ragmesh.gateway.v1 import turn_pb2 as t
from ragmesh.generator.v1 import generator_service_pb2 as gen
from ragmesh.guard.v1 import guard_service_pb2 as guard

from services.gateway.fold import fold
from services.mesh.errors import MeshError
from tests.service.gateway import fake_services as fake
from tests.service.gateway.visitors import GatewayUnderTest, Visitor
from tests.unit.gateway.waiting import until


def _failed(stream: object) -> tuple[str, bool]:
    ended: t.TurnFinished = stream.finished  # type: ignore[attr-defined]
    assert ended.outcome == t.OUTCOME_FAILED
    assert ended.failure.message
    return ended.failure.reason, ended.failure.retryable


async def test_without_its_guard_nothing_is_asked_of_anybody(gateway: GatewayUnderTest, anna: Visitor) -> None:
    await gateway.services.stop("guard")
    stream = await anna.asked()
    assert _failed(stream) == ("SERVICE_UNAVAILABLE", True)
    assert stream.kinds() == ["started", "stage", "finished"]
    assert gateway.retriever.searches.requests == gateway.generator.drafts.requests == []
    await gateway.services.start("guard")

    async def answers() -> bool:
        return (await anna.asked()).finished.outcome == t.OUTCOME_ANSWERED

    await until(answers, "a guard that is back is found")


async def test_without_the_retriever_nothing_is_drafted(gateway: GatewayUnderTest, anna: Visitor) -> None:
    await gateway.services.stop("retriever")
    assert _failed(await anna.asked()) == ("SERVICE_UNAVAILABLE", True)
    assert gateway.generator.drafts.requests == []


async def test_without_the_generator_evidence_is_kept(gateway: GatewayUnderTest, anna: Visitor) -> None:
    await gateway.services.stop("generator")
    stream = await anna.asked()
    assert _failed(stream) == ("SERVICE_UNAVAILABLE", True)
    assert len(fold(stream.seen).evidence) == 1
    await until(lambda: gateway.guard.output.live == 0, "the guard's call ends")


@pytest.mark.parametrize("reason", ["MODEL_UNAVAILABLE", "DEADLINE_EXCEEDED", "OVERLOADED"])
async def test_typed_errors_are_passed_on(gateway: GatewayUnderTest, anna: Visitor, reason: str) -> None:
    async def fail(_: gen.StreamGenerateRequest) -> fake.Steps:
        raise MeshError(reason, "the model answerer fell silent")
        yield

    gateway.generator.script = fail
    assert _failed(await anna.asked()) == (reason, True)


async def test_a_defect_elsewhere_shows_nothing_of_itself(gateway: GatewayUnderTest, anna: Visitor) -> None:
    async def fail(_: object) -> guard.CheckInputResponse:
        raise RuntimeError("/etc/secret at 0x7f")

    gateway.guard.check = fail
    stream = await anna.asked()
    assert _failed(stream) == ("INTERNAL", False)
    assert "secret" not in stream.finished.failure.message


async def test_a_generator_that_dies_in_the_middle_leaves_what_was_released(gateway: GatewayUnderTest, anna: Visitor) -> None:
    async def die(_: gen.StreamGenerateRequest) -> fake.Steps:
        yield fake.decided()
        async for step in fake.sentences(fake.SENTENCES[0]):
            yield step
        yield fake.wrote(" Half a sen")
        raise MeshError("MODEL_UNAVAILABLE", "the model answerer ended early")

    gateway.generator.script = die
    stream = await anna.asked()
    assert _failed(stream) == ("MODEL_UNAVAILABLE", True)
    turn = fold(stream.seen)
    assert turn.text == fake.SENTENCES[0] and len(turn.claims) == 1
    assert await anna.turn(stream.turn) == turn
    assert turn.finished.verdict == t.OVERALL_VERDICT_VERIFIED


async def test_a_generator_that_is_stopped_in_the_middle(gateway: GatewayUnderTest, anna: Visitor) -> None:
    async def stand_still(_: gen.StreamGenerateRequest) -> fake.Steps:
        yield fake.decided()
        async for step in fake.sentences(fake.SENTENCES[0]):
            yield step
        await fake.hang(None)

    gateway.generator.script = stand_still
    stream = anna.ask()
    await stream.until("claim")
    await gateway.services.stop("generator")
    await stream.rest()
    assert _failed(stream) == ("SERVICE_UNAVAILABLE", True)
    assert fold(stream.seen).text == fake.SENTENCES[0]


async def test_a_guard_that_is_stopped_in_the_middle(gateway: GatewayUnderTest, anna: Visitor) -> None:
    async def stand_still(_: gen.StreamGenerateRequest) -> fake.Steps:
        yield fake.decided()
        async for step in fake.sentences(fake.SENTENCES[0]):
            yield step
        await fake.hang(None)

    gateway.generator.script = stand_still
    stream = anna.ask()
    await stream.until("claim")
    await gateway.services.stop("guard")
    await stream.rest()
    assert _failed(stream) == ("SERVICE_UNAVAILABLE", True)
    assert fold(stream.seen).text == fake.SENTENCES[0]
    await until(lambda: gateway.generator.drafts.cancelled == 1, "the generator's call is cancelled")


async def test_a_guard_that_fails_in_the_middle_ends_the_drafting(gateway: GatewayUnderTest, anna: Visitor) -> None:
    async def decide(_: fake.FakeGuard, requests: AsyncIterator[guard.CheckOutputRequest]) -> fake.Decisions:
        async for decision in fake.release_all(_, requests):
            yield decision
            raise MeshError("MODEL_UNAVAILABLE", "the verifier fell silent")

    async def endless(_: gen.StreamGenerateRequest) -> fake.Steps:
        yield fake.decided()
        async for step in fake.sentences(*["Word. "] * 100_000):
            yield step

    gateway.guard.decide, gateway.generator.script = decide, endless
    stream = await anna.asked()
    # gRPC forgets the status of a call that ends while its writer writes: then only that it broke off is known.
    assert _failed(stream) in [("MODEL_UNAVAILABLE", True), ("SERVICE_UNAVAILABLE", True)]
    assert fold(stream.seen).text == "Word. "
    await until(lambda: gateway.generator.drafts.cancelled == 1, "the generator's call is cancelled")


async def test_a_generator_that_stops_without_saying_so(gateway: GatewayUnderTest, anna: Visitor) -> None:
    async def cut(_: gen.StreamGenerateRequest) -> fake.Steps:
        yield fake.decided()
        async for step in fake.sentences(fake.SENTENCES[0]):
            yield step

    gateway.generator.script = cut
    stream = await anna.asked()
    assert _failed(stream) == ("INTERNAL", False)
    assert fold(stream.seen).text == fake.SENTENCES[0]


async def test_a_guard_that_stops_without_saying_so(gateway: GatewayUnderTest, anna: Visitor) -> None:
    async def cut(_: fake.FakeGuard, requests: AsyncIterator[guard.CheckOutputRequest]) -> fake.Decisions:
        async for decision in fake.release_all(_, requests):
            if not decision.HasField("finished"):
                yield decision

    gateway.guard.decide = cut
    assert _failed(await anna.asked()) == ("INTERNAL", False)


async def test_a_guard_that_leaves_early_is_no_end(gateway: GatewayUnderTest, anna: Visitor) -> None:
    async def leave(_: fake.FakeGuard, requests: AsyncIterator[guard.CheckOutputRequest]) -> fake.Decisions:
        async for decision in fake.release_all(_, requests):
            yield decision
            return

    async def endless(_: gen.StreamGenerateRequest) -> fake.Steps:
        yield fake.decided()
        async for step in fake.sentences(*["Word. "] * 100_000):
            yield step

    gateway.guard.decide, gateway.generator.script = leave, endless
    stream = await anna.asked()
    assert stream.finished.outcome == t.OUTCOME_FAILED
    await until(lambda: gateway.generator.drafts.cancelled == 1, "the generator's call is cancelled")


async def test_an_empty_draft_is_no_answer(gateway: GatewayUnderTest, anna: Visitor) -> None:
    async def nothing(_: gen.StreamGenerateRequest) -> fake.Steps:
        yield fake.decided()
        yield fake.done()

    gateway.generator.script = nothing
    assert _failed(await anna.asked()) == ("INTERNAL", False)


async def test_released_text_with_a_gap_is_a_defect(gateway: GatewayUnderTest, anna: Visitor) -> None:
    async def gap(_: fake.FakeGuard, requests: AsyncIterator[guard.CheckOutputRequest]) -> fake.Decisions:
        async for request in requests:
            if request.HasField("segment_end"):
                yield fake.released(b"out of nowhere", 0, 99)
        yield fake.concluded()

    gateway.guard.decide = gap
    stream = await anna.asked()
    assert _failed(stream) == ("INTERNAL", False)
    assert fold(stream.seen).text == ""


async def test_readiness_follows_the_services(gateway: GatewayUnderTest) -> None:
    (gateway.settings.data_dir / "keys").mkdir(exist_ok=True)
    (gateway.settings.data_dir / "keys" / "session.pem").write_text("a key")

    async def ready() -> bool:
        return await gateway.server.ready()

    async def not_ready() -> bool:
        return not await gateway.server.ready()

    await until(ready, "the gateway is ready")
    for name in ("guard", "retriever", "generator"):
        await gateway.services.stop(name)
        await until(not_ready, f"the gateway is not ready without {name}")
        await gateway.services.start(name)
        await until(ready, f"the gateway is ready with {name} again")
