"""One OpenTelemetry span for each traced request, sent by the model itself.

A request is traced when its `traceparent` parameter has the sampled flag and RAGMESH_OTLP_ENDPOINT is set. Before the first one
nothing of OpenTelemetry is even imported, which keeps some 25 MB out of each model and a quarter second out of its start; then a
thread of its own does it, so that no request waits. This module does not know Triton's types.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

ENDPOINT_VARIABLE = "RAGMESH_OTLP_ENDPOINT"
_TRACEPARENT = re.compile(r"^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$")
_EXPORT_DELAY_MS = 200
_EXPORT_TIMEOUT_S = 1
_CLOSE_S = 3
_QUEUE = 2_048


def sampled_traceparent(parameters: str) -> str | None:
    """The traceparent among a request's parameters (JSON text), if it is well formed and asks for a trace."""
    if "traceparent" not in parameters:
        return None
    value = json.loads(parameters).get("traceparent")
    if not isinstance(value, str) or not _TRACEPARENT.match(value) or not int(value[-2:], 16) & 1:
        return None
    return value


@dataclass(frozen=True, slots=True)
class _Finished:
    """A span that is over."""

    parent: str
    began_ns: int
    ended_ns: int
    attributes: Mapping[str, str | int | float | bool]
    error: str


class Tracer:
    """Exports spans named `triton.<model>`; does nothing where no endpoint is set."""

    def __init__(self, model: str, endpoint: str | None = None) -> None:
        self._model = model
        self._endpoint = endpoint or os.environ.get(ENDPOINT_VARIABLE) or ""
        # Bounded: what comes while the exporter is being loaded, or too fast for it, is dropped. None ends the thread.
        self._finished: queue.Queue[_Finished | None] = queue.Queue(_QUEUE)
        self._thread: threading.Thread | None = None

    @property
    def enabled(self) -> bool:
        return bool(self._endpoint)

    def record(self, parameters: str, began_ns: int, attributes: Mapping[str, str | int | float | bool], error: str = "") -> None:
        """One finished span, from `began_ns` (time.time_ns) to now. From one thread at a time."""
        parent = sampled_traceparent(parameters) if self.enabled else None
        if parent is None:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._export, name="tracing", daemon=True)
            self._thread.start()
        with contextlib.suppress(queue.Full):
            self._finished.put_nowait(_Finished(parent, began_ns, time.time_ns(), attributes, error))

    def _export(self) -> None:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace import SpanKind, Status, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        # Only what the tracer is asked for is ever started, so that the SDK's own sampler has nothing left to decide.
        provider = TracerProvider(resource=Resource.create({"service.name": "triton"}), shutdown_on_exit=False)
        secure = self._endpoint.startswith("https")
        exporter = OTLPSpanExporter(endpoint=self._endpoint, insecure=not secure, timeout=_EXPORT_TIMEOUT_S)
        provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=_QUEUE, schedule_delay_millis=_EXPORT_DELAY_MS))
        tracer, propagator = provider.get_tracer("ragmesh_models"), TraceContextTextMapPropagator()
        while (one := self._finished.get()) is not None:
            span = tracer.start_span(
                f"triton.{self._model}",
                context=propagator.extract({"traceparent": one.parent}),
                kind=SpanKind.SERVER,
                start_time=one.began_ns,
                attributes={"gen_ai.request.model": self._model, **one.attributes},
            )
            if one.error:
                span.set_status(Status(StatusCode.ERROR, one.error))
            span.end(end_time=one.ended_ns)
        provider.shutdown()

    def close(self) -> None:
        """Exports what is left, in bounded time."""
        if self._thread is not None:
            with contextlib.suppress(queue.Full):
                self._finished.put_nowait(None)
            self._thread.join(_CLOSE_S)
