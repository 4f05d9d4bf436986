"""A real OTLP gRPC receiver in this process: keeps the spans and metrics that it is sent, for benches and tests.

Knows OTLP, not what they mean.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_pb
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_rpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as rpc

_MAX_SPANS = 200_000


@dataclass(frozen=True, slots=True)
class ReceivedSpan:
    """One span, as far as it is looked at. Times are nanoseconds since the epoch."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    start: int
    end: int
    error: bool
    attributes: dict[str, Any] = field(hash=False)

    @property
    def millis(self) -> float:
        """How long it took."""
        return (self.end - self.start) / 1e6


@dataclass(frozen=True, slots=True)
class ReceivedPoint:
    """What an instrument came to under one set of attributes, since its process began to export."""

    service: str
    name: str
    unit: str
    attributes: dict[str, Any] = field(hash=False)
    count: int
    """Of a histogram how many measurements, of a counter what it came to."""
    total: float
    bounds: tuple[float, ...] = ()


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return getattr(value, kind) if kind else None


class OtlpReceiver:
    """Receives traces on a free loopback port; `endpoint` says which."""

    def __init__(self) -> None:
        self.spans: list[ReceivedSpan] = []
        self.points: dict[tuple[str, str, str], ReceivedPoint] = {}
        """The latest of each service, instrument and set of attributes."""
        self.endpoint = ""
        self._server: grpc.aio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = grpc.aio.server()
        rpc.add_TraceServiceServicer_to_server(self, self._server)
        metrics_rpc.add_MetricsServiceServicer_to_server(_Metrics(self.points), self._server)
        self.endpoint = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        await self._server.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._server is not None:
            await self._server.stop(None)

    async def Export(self, request: Any, _: Any) -> Any:
        """As the OTLP trace service has it."""
        for resource in request.resource_spans:
            names = {item.key: _value(item.value) for item in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    if len(self.spans) < _MAX_SPANS:
                        self.spans.append(_received(str(names.get("service.name", "")), span))
        return pb.ExportTraceServiceResponse()

    def trace(self, trace_id: str) -> list[ReceivedSpan]:
        """Spans of one trace, by start."""
        return sorted((span for span in self.spans if span.trace_id == trace_id), key=lambda span: span.start)

    async def wait(self, found: Callable[[list[ReceivedSpan]], bool], seconds: float) -> None:
        """Wait until `found(spans)`.

        Raises:
            TimeoutError: it did not come true in time.
        """
        end = time.monotonic() + seconds
        while not found(self.spans):
            if time.monotonic() > end:
                raise TimeoutError(f"{len(self.spans)} spans came, not those that were waited for")
            await asyncio.sleep(0.05)


class _Metrics(metrics_rpc.MetricsServiceServicer):
    def __init__(self, points: dict[tuple[str, str, str], ReceivedPoint]) -> None:
        self._points = points

    async def Export(self, request: Any, _: Any) -> Any:
        """As the OTLP metrics service has it; sums and histograms."""
        for resource in request.resource_metrics:
            names = {item.key: _value(item.value) for item in resource.resource.attributes}
            for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                for point in getattr(metric, metric.WhichOneof("data")).data_points:
                    made = _received_point(str(names.get("service.name", "")), metric, point)
                    if len(self._points) < _MAX_SPANS:
                        self._points[made.service, made.name, repr(sorted(made.attributes.items()))] = made
        return metrics_pb.ExportMetricsServiceResponse()


def _received_point(service: str, metric: Any, point: Any) -> ReceivedPoint:
    attributes = {item.key: _value(item.value) for item in point.attributes}
    if metric.WhichOneof("data") == "histogram":
        return ReceivedPoint(service, metric.name, metric.unit, attributes, point.count, point.sum, tuple(point.explicit_bounds))
    total = getattr(point, point.WhichOneof("value"))
    return ReceivedPoint(service, metric.name, metric.unit, attributes, int(total), float(total))


def _received(service: str, span: Any) -> ReceivedSpan:
    return ReceivedSpan(
        service=service,
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        kind=span.kind,
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        error=span.status.code == 2,
        attributes={item.key: _value(item.value) for item in span.attributes},
    )


def union_millis(spans: list[ReceivedSpan], start: int, end: int) -> float:
    """Milliseconds of [start, end] that at least one of `spans` covers."""
    covered = 0
    reached = start
    for span in sorted(spans, key=lambda item: item.start):
        begin, stop = max(span.start, reached), min(span.end, end)
        if stop > begin:
            covered += stop - begin
            reached = stop
    return covered / 1e6
