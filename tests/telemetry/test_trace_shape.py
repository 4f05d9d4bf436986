"""One turn is one trace, from the edge to the model: spans and edges asserted after real traffic."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
from ragmesh.gateway.v1 import gateway_service_pb2 as g
from ragmesh.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub

from bench.otlp_receiver import ReceivedSpan
from tests.conftest import MeshThread

QUESTION = "Does CBD interact with blood thinners?"


# The guard and Triton are called more than once, and each call's spans come when they come.
_LAST = frozenset({"ragmesh.guard.v1.GuardService/CheckOutput", "triton.embedder", "triton.answerer"})


async def _trace(
    mesh_thread: MeshThread,
    metadata: tuple[tuple[str, str], ...] = (),
    question: str = QUESTION,
    last: frozenset[str] = _LAST,
) -> list[ReceivedSpan]:
    async with grpc.aio.insecure_channel(mesh_thread.mesh.grpc_target) as channel:
        answer = await GatewayServiceStub(channel).Answer(g.AnswerRequest(question=question), timeout=30, metadata=metadata)
    trace_id = answer.turn.finished.trace_id
    parts = {"envoy", "triton", "guard", "generator", "gateway"}

    def complete(spans: Sequence[ReceivedSpan]) -> bool:
        mine = [span for span in spans if span.trace_id == trace_id]
        ids = {span.span_id for span in mine}
        # Each process sends its spans when it likes: none may still wait for the one above it, but for the topmost.
        whole = sum(span.parent_id not in ids for span in mine) == 1
        return whole and parts <= {span.service for span in mine} and last <= {span.name for span in mine}

    await mesh_thread.receiver.wait(complete, 20)
    return mesh_thread.receiver.trace(trace_id)


def _ancestors(trace: list[ReceivedSpan], span: ReceivedSpan) -> list[str]:
    by_id = {item.span_id: item for item in trace}
    names = []
    while span.parent_id in by_id:
        span = by_id[span.parent_id]
        names.append(f"{span.service}:{span.name}")
    return names


async def test_a_turn_is_one_trace_from_the_edge_to_the_model(mesh_thread: MeshThread) -> None:
    trace = await _trace(mesh_thread)
    roots = [span for span in trace if not span.parent_id]
    assert [root.service for root in roots] == ["envoy"]
    spans = {f"{span.service}:{span.name}": span for span in trace}
    answer = "gateway:ragmesh.gateway.v1.GatewayService/Answer"
    generate = "generator:ragmesh.generator.v1.GeneratorService/StreamGenerate"
    search = "retriever:ragmesh.retriever.v1.RetrieverService/Search"
    for served, stage in [
        ("guard:ragmesh.guard.v1.GuardService/CheckInput", "gateway:turn.check"),
        (search, "gateway:turn.search"),
        (generate, "gateway:turn.write"),
        ("guard:ragmesh.guard.v1.GuardService/CheckOutput", "gateway:turn.write"),
    ]:
        above = _ancestors(trace, spans[served])
        assert above[0] == stage
        assert answer in above
    assert generate in _ancestors(trace, spans["triton:triton.answerer"])
    assert search in _ancestors(trace, spans["triton:triton.embedder"])
    assert any("ragmesh.store" in span.attributes for span in trace)
    assert not any(span.error for span in trace)


async def test_the_model_that_tells_small_talk_is_in_the_trace(mesh_thread: MeshThread) -> None:
    trace = await _trace(mesh_thread, question="Hey, how are you doing today?", last=frozenset({"triton.intent"}))
    spans = {f"{span.service}:{span.name}": span for span in trace}
    assert "guard:ragmesh.guard.v1.GuardService/CheckInput" in _ancestors(trace, spans["triton:triton.intent"])


async def test_a_clients_own_trace_context_is_not_followed(mesh_thread: MeshThread) -> None:
    foreign = "0af7651916cd43dd8448eb211c80319c"
    trace = await _trace(mesh_thread, (("traceparent", f"00-{foreign}-b7ad6b7169203331-00"),))
    assert trace
    assert trace[0].trace_id != foreign


async def test_no_span_holds_the_text_of_a_question_or_an_answer(mesh_thread: MeshThread) -> None:
    trace = await _trace(mesh_thread)
    told = " ".join(str(value) for span in trace for value in span.attributes.values()).lower()
    assert "blood thinner" not in told
    assert "warfarin" not in told
