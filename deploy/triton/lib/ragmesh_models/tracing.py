"""One OpenTelemetry span for each traced request, sent by the model itself.

A request is traced when its `traceparent` parameter has the sampled flag and RAGMESH_OTLP_ENDPOINT is set; otherwise nothing of
OpenTelemetry is even imported, which keeps some 25 MB out of each model. This module does not know Triton's types.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping
from typing import Any

ENDPOINT_VARIABLE = "RAGMESH_OTLP_ENDPOINT"
_TRACEPARENT = re.compile(r"^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$")
_EXPORT_DELAY_MS = 200
_EXPORT_TIMEOUT_S = 1
_QUEUE = 2_048


def sampled_traceparent(parameters: str) -> str | None:
    """The traceparent among a request's parameters (JSON text), if it is well formed and asks for a trace."""
    if "traceparent" not in parameters:
        return None
    value = json.loads(parameters).get("traceparent")
    if not isinstance(value, str) or not _TRACEPARENT.match(value) or not int(value[-2:], 16) & 1:
        return None
    return value


class Tracer:
    """Exports spans named `triton.<model>`; does nothing where no endpoint is set."""

    def __init__(self, model: str, endpoint: str | None = None) -> None:
        self._model = model
        self._tracer: Any = None
        self._provider: Any = None
        endpoint = endpoint or os.environ.get(ENDPOINT_VARIABLE)
        if endpoint:
            self._start(endpoint)

    def _start(self, endpoint: str) -> None:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        # Only what the tracer is asked for is ever started, so that the SDK's own sampler has nothing left to decide.
        self._provider = TracerProvider(resource=Resource.create({"service.name": "triton"}), shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=endpoint, insecure=not endpoint.startswith("https"), timeout=_EXPORT_TIMEOUT_S)
        self._provider.add_span_processor(
            BatchSpanProcessor(exporter, max_queue_size=_QUEUE, schedule_delay_millis=_EXPORT_DELAY_MS)
        )
        self._tracer = self._provider.get_tracer("ragmesh_models")

    @property
    def enabled(self) -> bool:
        return self._tracer is not None

    def record(self, parameters: str, began_ns: int, attributes: Mapping[str, str | int | float | bool], error: str = "") -> None:
        """One finished span, from `began_ns` (time.time_ns) to now."""
        if self._tracer is None:
            return
        parent = sampled_traceparent(parameters)
        if parent is None:
            return
        from opentelemetry.trace import SpanKind, Status, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        context = TraceContextTextMapPropagator().extract({"traceparent": parent})
        span = self._tracer.start_span(
            f"triton.{self._model}",
            context=context,
            kind=SpanKind.SERVER,
            start_time=began_ns,
            attributes={"gen_ai.request.model": self._model, **attributes},
        )
        if error:
            span.set_status(Status(StatusCode.ERROR, error))
        span.end(end_time=time.time_ns())

    def close(self) -> None:
        if self._provider is not None:
            self._provider.shutdown()
