"""Spans of real calls, sent to a real OTLP receiver in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from opentelemetry.trace import SpanKind
from ragmesh.generator.v1 import generator_service_pb2 as generator_pb2

from bench.otlp_receiver import OtlpReceiver, ReceivedSpan
from services.mesh import context, telemetry
from services.mesh.errors import MeshError
from services.mesh.identity import principal_metadata
from tests.service.mesh.chassis import COUNT_REQUEST, SECONDS, VISITOR, Served, bare_failure, failure, serving, until

pytestmark = pytest.mark.usefixtures("as_visitor")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
# OTLP counts kinds from 1 where the API counts from 0.
SERVER = SpanKind.SERVER.value + 1


@dataclass
class Traced:
    """A receiver, the telemetry of this process, and the file that steers it."""

    receiver: OtlpReceiver
    state: telemetry.Telemetry
    file: Path

    def write(self, **state: Any) -> None:
        """Change the state file, as the supervisor does."""
        self.file.write_bytes(orjson.dumps(state))
        self.state.refresh()

    async def spans(self, count: int) -> list[ReceivedSpan]:
        """The spans, once there are `count`."""
        await asyncio.to_thread(self.state._processor.force_flush)
        await until(lambda: len(self.receiver.spans) >= count)
        return self.receiver.spans


@pytest.fixture
async def traced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Traced]:
    """Everything is sampled and sent to the receiver."""
    monkeypatch.setattr(telemetry, "_active", None)
    async with OtlpReceiver() as receiver:
        file = tmp_path / "telemetry.json"
        file.write_bytes(orjson.dumps({"endpoint": receiver.endpoint, "ratio": 1.0}))
        state = telemetry.configure("generator", file)
        yield Traced(receiver, state, file)
        await asyncio.to_thread(state.close)


async def test_a_call_is_a_server_span_with_its_outcome(served: Served, traced: Traced) -> None:
    await served.stub.CountTokens(COUNT_REQUEST, timeout=SECONDS)
    (span,) = await traced.spans(1)
    assert span.service == "generator"
    assert span.name == "ragmesh.generator.v1.GeneratorService/CountTokens"
    assert span.kind == SERVER
    assert span.attributes["rpc.system"] == "grpc"
    assert span.attributes["rpc.service"] == "ragmesh.generator.v1.GeneratorService"
    assert span.attributes["rpc.method"] == "CountTokens"
    assert span.attributes["rpc.grpc.status_code"] == "OK"
    assert not span.error


async def test_the_trace_goes_on_from_caller_to_child(tmp_path: Path, served: Served, traced: Traced) -> None:
    async with serving(tmp_path / "hub") as hub:

        async def ask(request: Any, _: Any) -> Any:
            with telemetry.span("hub.stage", ragmesh__stage="asking"):
                return await served.stub.CountTokens(request, timeout=context.budget().share(0.5))

        hub.servicer.on_count = ask
        await hub.stub.CountTokens(COUNT_REQUEST, timeout=SECONDS)
    spans = sorted(await traced.spans(3), key=lambda span: span.start)
    assert len({span.trace_id for span in spans}) == 1
    outer, stage, inner = spans
    assert (stage.name, stage.attributes["ragmesh.stage"]) == ("hub.stage", "asking")
    assert stage.parent_id == outer.span_id
    assert inner.parent_id == stage.span_id


async def test_a_sampled_caller_is_followed(served: Served, traced: Traced) -> None:
    traced.write(endpoint=traced.receiver.endpoint, ratio=0.0)
    metadata = [principal_metadata(VISITOR), ("traceparent", f"00-{TRACE}-{PARENT}-01")]
    await served.raw_stub.CountTokens(COUNT_REQUEST, timeout=SECONDS, metadata=metadata)
    (span,) = await traced.spans(1)
    assert (span.trace_id, span.parent_id) == (TRACE, PARENT)


async def test_a_caller_that_is_not_sampled_is_followed_too(served: Served, traced: Traced) -> None:
    metadata = [principal_metadata(VISITOR), ("traceparent", f"00-{TRACE}-{PARENT}-00")]
    await served.raw_stub.CountTokens(COUNT_REQUEST, timeout=SECONDS, metadata=metadata)
    await served.stub.CountTokens(COUNT_REQUEST, timeout=SECONDS)
    (span,) = await traced.spans(1)
    assert span.trace_id != TRACE


async def test_what_is_not_sampled_still_names_its_trace(served: Served, traced: Traced) -> None:
    seen: list[tuple[str, dict[str, str]]] = []

    async def count(request: Any, _: Any) -> Any:
        seen.append((telemetry.current_trace_id(), telemetry.inject()))
        with telemetry.span("stage"):
            return generator_pb2.CountTokensResponse(counts=[0] * len(request.texts))

    served.servicer.on_count = count
    metadata = [principal_metadata(VISITOR), ("traceparent", f"00-{TRACE}-{PARENT}-00")]
    await served.raw_stub.CountTokens(COUNT_REQUEST, timeout=SECONDS, metadata=metadata)
    ((trace_id, sent),) = seen
    assert trace_id == TRACE
    assert sent["traceparent"] == f"00-{TRACE}-{PARENT}-00"
    await served.stub.CountTokens(COUNT_REQUEST, timeout=SECONDS)
    assert all(span.trace_id != TRACE for span in await traced.spans(2))


async def test_a_failure_of_ours_is_an_error_and_a_mistake_of_the_caller_is_none(served: Served, traced: Traced) -> None:
    async def count(_: Any, __: Any) -> Any:
        raise MeshError(reason, "x")

    served.servicer.on_count = count
    for reason, wrong in (("INTERNAL", True), ("DOCUMENT_NOT_FOUND", False)):
        traced.receiver.spans.clear()
        await failure(served.stub.CountTokens(COUNT_REQUEST, timeout=SECONDS))
        (span,) = await traced.spans(1)
        assert span.attributes["error.type"] == reason
        assert span.error is wrong


async def test_a_call_that_its_caller_gave_up_ends_its_span(served: Served, traced: Traced) -> None:
    async def count(_: Any, __: Any) -> Any:
        await asyncio.Event().wait()

    served.servicer.on_count = count
    await bare_failure(served.stub.CountTokens(COUNT_REQUEST, timeout=0.05))
    (span,) = await traced.spans(1)
    assert span.attributes["rpc.grpc.status_code"] in {"CANCELLED", "DEADLINE_EXCEEDED"}


async def test_sampling_changes_without_a_restart(served: Served, traced: Traced) -> None:
    traced.write(endpoint=traced.receiver.endpoint, ratio=0.0)
    await served.stub.CountTokens(COUNT_REQUEST, timeout=SECONDS)
    traced.write(endpoint=traced.receiver.endpoint, ratio=1.0)
    await served.stub.CountTokens(COUNT_REQUEST, timeout=SECONDS)
    assert len(await traced.spans(1)) == 1


async def test_the_receiver_changes_without_a_restart(served: Served, traced: Traced) -> None:
    async with OtlpReceiver() as second:
        await served.stub.CountTokens(COUNT_REQUEST, timeout=SECONDS)
        await traced.spans(1)
        traced.write(endpoint=second.endpoint, ratio=1.0)
        await served.stub.CountTokens(COUNT_REQUEST, timeout=SECONDS)
        await asyncio.to_thread(traced.state._processor.force_flush)
        await until(lambda: len(second.spans) == 1)
        assert len(traced.receiver.spans) == 1


async def test_a_receiver_that_is_gone_holds_nothing_up(served: Served, traced: Traced) -> None:
    async with OtlpReceiver() as gone:
        endpoint = gone.endpoint
    traced.write(endpoint=endpoint, ratio=1.0)
    async with asyncio.timeout(1.0):
        for _ in range(20):
            await served.stub.CountTokens(COUNT_REQUEST, timeout=SECONDS)


async def test_no_span_holds_the_text_of_a_request(served: Served, traced: Traced) -> None:
    await served.stub.CountTokens(type(COUNT_REQUEST)(texts=["my secret illness"]), timeout=SECONDS)
    spans = await traced.spans(1)
    assert "secret" not in str(spans)
