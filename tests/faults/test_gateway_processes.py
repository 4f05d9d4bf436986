"""Gateways that are killed, paused and stopped, alone and side by side: what was stored is kept, and every turn ends."""

from __future__ import annotations

import asyncio
import signal
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from ragmesh.gateway.v1 import turn_pb2 as t
from ragmesh.generator.v1 import generator_service_pb2 as gen

from services.gateway.fold import fold
from services.mesh.errors import MeshError
from tests.service.gateway import fake_services as fake
from tests.service.gateway.processes import GatewayProcess, Host
from tests.service.gateway.visitors import Stream, failure
from tests.unit.gateway.turn_events import visitor
from tests.unit.gateway.waiting import until

ANNA = visitor("anna")
LEASE = 2.5
# A lease that ran out is seen at the next look of a keeper, once a second; the rest is a busy machine.
ENDS_WITHIN = LEASE + 1.0 + 4.0
SETTINGS = {"HEARTBEAT_SECONDS": "0.2"}
SHORT = {**SETTINGS, "LEASE_SECONDS": str(LEASE)}
FIRST, SECOND = fake.SENTENCES


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    with tempfile.TemporaryDirectory(prefix="gw") as name:
        made = Host(Path(name))
        await made.services.start()
        try:
            yield made
        finally:
            await made.close()


@pytest.fixture
def gate(host: Host) -> asyncio.Event:
    """Drafts stand still after their first sentence until it is set."""
    opened = asyncio.Event()

    async def script(_: gen.StreamGenerateRequest) -> fake.Steps:
        yield fake.decided()
        async for step in fake.sentences(FIRST):
            yield step
        await opened.wait()
        async for step in fake.sentences(SECOND, start=len(FIRST.encode())):
            yield step
        yield fake.done()

    host.services.generator.script = script
    return opened


async def _two(host: Host, settings: dict[str, str] = SETTINGS) -> tuple[GatewayProcess, GatewayProcess]:
    a, b = host.gateway("a", **settings), host.gateway("b", **settings)
    # Together, on a folder where nothing is yet: the first of everything is made once.
    await asyncio.gather(a.start(), b.start())
    return a, b


async def _written_to(gateway: GatewayProcess, request_id: str = "") -> Stream:
    stream = gateway.visitor(ANNA).ask(request_id=request_id)
    await stream.until("claim")
    return stream


def _stored(stream: Stream) -> list[t.TurnEvent]:
    return [event for event in stream.seen if not event.HasField("heartbeat")]


def _interrupted(turn: t.Turn) -> None:
    assert (turn.finished.outcome, turn.finished.failure.reason) == (t.OUTCOME_FAILED, "TURN_INTERRUPTED")
    assert turn.finished.failure.retryable
    assert turn.text == FIRST
    assert len(turn.claims) == len(turn.evidence) == 1


async def test_a_killed_gateway_comes_back_with_everything(host: Host, gate: asyncio.Event) -> None:
    first = host.gateway("gateway", **SHORT)
    await first.start()
    asker = first.visitor(ANNA)
    over = asyncio.create_task(asker.asked("Before?"))
    gate.set()
    before = await over
    gate.clear()
    identifier = str(uuid.uuid4())
    stream = await _written_to(first, request_id=identifier)
    killed = time.monotonic()
    await first.kill()
    with pytest.raises(MeshError) as caught:
        await stream.rest()
    assert caught.value.reason == "SERVICE_UNAVAILABLE"
    await until(lambda: host.services.generator.drafts.live == 0, "the work ends with its owner")

    second = host.gateway("gateway", **SHORT)
    await second.start()
    back = second.visitor(ANNA)
    restarted = time.monotonic()
    rest = await back.resume(stream.turn, _stored(stream)[-1].seq).rest()
    assert time.monotonic() - max(restarted, killed) < ENDS_WITHIN
    rest = [event for event in rest if not event.HasField("heartbeat")]
    assert [event.WhichOneof("event") for event in rest] == ["finished"]
    whole = _stored(stream) + rest
    assert [event.seq for event in whole] == list(range(1, len(whole) + 1))
    _interrupted(fold(whole))
    assert await back.turn(stream.turn) == fold(whole)
    assert await back.turn(before.turn) == fold(_stored(before))
    again = await back.asked(request_id=identifier)
    assert _stored(again) == whole
    gate.set()
    following = await back.asked("And now?", conversation=whole[0].started.conversation)
    assert following.finished.outcome == t.OUTCOME_ANSWERED
    assert [item.text for item in host.services.guard.input.requests[-1].history] == [whole[0].started.question, FIRST.strip()]
    assert await failure(second.visitor(visitor("bert")).turn(stream.turn))


async def test_readers_and_stops_through_another_process(host: Host, gate: asyncio.Event) -> None:
    a, b = await _two(host)
    stream = await _written_to(a)
    reader = b.visitor(ANNA)
    elsewhere = reader.resume(stream.turn)
    await elsewhere.until("claim")
    await elsewhere.until("heartbeat")
    assert _stored(elsewhere) == _stored(stream)
    conversation = stream.seen[0].started.conversation
    error = await failure(reader.asked("and then?", conversation=conversation))
    assert (error.reason, error.metadata) == ("TURN_IN_PROGRESS", {"turn": stream.turn})

    began = time.monotonic()
    stopped = await reader.stop(stream.turn)
    assert time.monotonic() - began < 5
    assert (stopped.finished.outcome, stopped.text) == (t.OUTCOME_STOPPED, FIRST)
    await until(lambda: host.services.generator.drafts.cancelled == 1, "the generator's call is cancelled")
    await elsewhere.rest()
    await stream.rest()
    assert fold(_stored(elsewhere)) == fold(_stored(stream)) == stopped


async def test_the_same_request_through_another_process(host: Host, gate: asyncio.Event) -> None:
    a, b = await _two(host)
    identifier = str(uuid.uuid4())
    first = await _written_to(a, request_id=identifier)
    second = await _written_to(b, request_id=identifier)
    gate.set()
    await asyncio.gather(first.rest(), second.rest())
    assert _stored(first) == _stored(second)
    assert first.finished.outcome == t.OUTCOME_ANSWERED
    assert len(host.services.generator.drafts.requests) == 1
    together = str(uuid.uuid4())
    streams = [process.visitor(ANNA).ask("Together?", request_id=together) for process in (a, b) * 4]
    await asyncio.gather(*(stream.rest() for stream in streams))
    assert all(_stored(stream) == _stored(streams[0]) for stream in streams)
    assert len(host.services.generator.drafts.requests) == 2


async def test_a_reader_elsewhere_sees_the_end_of_what_a_killed_owner_left(host: Host, gate: asyncio.Event) -> None:
    a, b = await _two(host, SHORT)
    stream = await _written_to(a)
    elsewhere = b.visitor(ANNA).resume(stream.turn)
    await elsewhere.until("claim")
    killed = time.monotonic()
    await a.kill()
    await elsewhere.rest()
    assert time.monotonic() - killed < ENDS_WITHIN
    _interrupted(fold(_stored(elsewhere)))


async def test_an_owner_that_wakes_up_too_late_adds_nothing(host: Host, gate: asyncio.Event) -> None:
    a, b = await _two(host, SHORT)
    stream = await _written_to(a)
    elsewhere = b.visitor(ANNA).resume(stream.turn)
    a.send(signal.SIGSTOP)
    try:
        await elsewhere.rest()
        _interrupted(fold(_stored(elsewhere)))
        gate.set()
    finally:
        a.send(signal.SIGCONT)
    await stream.rest()
    await until(lambda: host.services.generator.drafts.live == 0, "the owner gives up its work")
    assert _stored(stream) == _stored(elsewhere)
    again = a.visitor(ANNA).resume(stream.turn)
    await again.rest()
    assert _stored(again) == _stored(elsewhere)
    assert (await a.visitor(ANNA).asked("And now?")).finished.outcome == t.OUTCOME_ANSWERED


async def test_sigterm_ends_turns_as_interrupted_and_the_process_in_order(host: Host, gate: asyncio.Event) -> None:
    a, b = await _two(host)
    stream = await _written_to(a)
    a.send(signal.SIGTERM)
    await stream.rest()
    assert stream.finished.failure.reason == "TURN_INTERRUPTED"  # its reader hears it, and not only who reads it later
    assert await a.ended() == 0
    _interrupted(await b.visitor(ANNA).turn(stream.turn))
    await until(lambda: host.services.generator.drafts.live == 0, "the generator's call ends")
    assert "Traceback" not in a.log_text(), a.log_text()


async def test_sigterm_lets_a_turn_that_ends_in_time_end(host: Host, gate: asyncio.Event) -> None:
    gateway = host.gateway("gateway", **{**SETTINGS, "DRAIN_SECONDS": "10"})
    await gateway.start()
    stream = await _written_to(gateway)
    began = time.monotonic()
    gateway.send(signal.SIGTERM)
    late = gateway.visitor(ANNA)

    async def refused() -> bool:
        try:
            await late.asked("Too late?", timeout=2)
        except MeshError as error:
            return error.reason in ("DRAINING", "SERVICE_UNAVAILABLE")
        return False

    await until(refused, "new questions are refused")
    gate.set()
    await stream.rest()
    assert stream.finished.outcome == t.OUTCOME_ANSWERED
    assert await gateway.ended() == 0
    assert time.monotonic() - began < 9, "it does not wait for nothing"
