"""Spans of the models through real Triton: one a sampled request, child of the caller's span, sent over OTLP gRPC."""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
import tritonclient.grpc as triton
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from ragmesh_models.tracing import sampled_traceparent

from tests.service import triton_calls
from tests.service.triton_fixture import RunningTriton, running_triton

ARRIVES_WITHIN_S = 10.0
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps (service name, span) of whatever is exported."""

    def __init__(self) -> None:
        self.spans: queue.Queue[tuple[str, Any]] = queue.Queue()

    def Export(self, request: Any, context: grpc.ServicerContext) -> Any:
        for resource in request.resource_spans:
            names = [a.value.string_value for a in resource.resource.attributes if a.key == "service.name"]
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.spans.put((names[0], span))
        return trace_service_pb2.ExportTraceServiceResponse()


@pytest.fixture(scope="module")
def collector() -> Iterator[tuple[Collector, str]]:
    received = Collector()
    server = grpc.server(ThreadPoolExecutor(max_workers=2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(received, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield received, f"http://127.0.0.1:{port}"
    server.stop(grace=None).wait()


@pytest.fixture(scope="module")
def traced_triton(collector: tuple[Collector, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningTriton]:
    with running_triton(tmp_path_factory.mktemp("traced"), otlp_endpoint=collector[1]) as server:
        yield server


def call(server: RunningTriton, model: str, traceparent: str, text: str = "What is a bridge?") -> None:
    parameters = {"traceparent": traceparent}
    if model == "answerer":
        triton_calls.answer(
            server.grpc, triton_calls.answerer_inputs(text, ["A bridge is a road over water."]), parameters=parameters
        )
        return
    with triton.InferenceServerClient(server.grpc) as client:
        if model == "tokenizer":
            triton_calls.tokenize(client, [text], parameters=parameters)
        elif model == "intent":
            client.infer(model, [triton_calls.bytes_input("text", [text], [1, 1])], parameters=parameters)
        else:
            triton_calls.embed(client, [text], parameters=parameters)


@pytest.mark.parametrize("model", ["tokenizer", "embedder", "answerer", "intent"])
def test_a_sampled_request_is_one_child_span(traced_triton: RunningTriton, collector: tuple[Collector, str], model: str) -> None:
    call(traced_triton, model, f"00-{'1' * 32}-{PARENT}-00")  # not sampled: must not arrive before the next one
    call(traced_triton, model, f"00-{TRACE}-{PARENT}-01")
    service, span = collector[0].spans.get(timeout=ARRIVES_WITHIN_S)
    assert service == "triton"
    assert span.name == f"triton.{model}"
    assert span.trace_id.hex() == TRACE
    assert span.parent_span_id.hex() == PARENT
    assert span.kind == span.SPAN_KIND_SERVER
    assert 0 < span.start_time_unix_nano < span.end_time_unix_nano
    attributes = {a.key: a.value.string_value or a.value.int_value for a in span.attributes}
    assert attributes["gen_ai.request.model"] == model
    assert attributes["ragmesh.batch_size"] == 1
    assert collector[0].spans.empty()


def test_a_cancelled_request_stops_between_two_passages(traced_triton: RunningTriton, collector: tuple[Collector, str]) -> None:
    """The model's own span says that it stopped. A cancel may overtake its request: then it is tried again."""
    heavy = triton_calls.answerer_inputs("How many sat there?", [f"{n} members sat in parliament. " * 32 for n in range(60)])
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with triton.InferenceServerClient(traced_triton.grpc) as client:
            client.start_stream(callback=lambda result, error: None)
            client.async_stream_infer("answerer", heavy, parameters={"traceparent": f"00-{TRACE}-{PARENT}-01"})
            # Whoever is answered after it knows that the request has arrived.
            call(traced_triton, "answerer", f"00-{'1' * 32}-{PARENT}-00")
            client.stop_stream(cancel_requests=True)
        with contextlib.suppress(queue.Empty):
            _, span = collector[0].spans.get(timeout=ARRIVES_WITHIN_S)
            attributes = {a.key: a.value for a in span.attributes}
            if attributes["ragmesh.cancelled"].bool_value:
                assert attributes["ragmesh.passages_read"].int_value < 60
                return
    raise AssertionError("no request was stopped by its cancellation")


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ("{}", None),
        ('{"traceparent": "00-' + "a" * 32 + "-" + "b" * 16 + '-01"}', "00-" + "a" * 32 + "-" + "b" * 16 + "-01"),
        ('{"traceparent": "00-' + "a" * 32 + "-" + "b" * 16 + '-00"}', None),
        ('{"traceparent": "garbage"}', None),
        ('{"traceparent": 5}', None),
    ],
)
def test_only_a_well_formed_sampled_parent_counts(parameters: str, found: str | None) -> None:
    assert sampled_traceparent(parameters) == found
