"""Traces: W3C context in and out, spans of the mesh, an exporter that can be switched while the process runs, for metrics too.

The edge makes the sampling decision; here it is only followed, and made where a call came without one. Where to export to, and how
much of what starts here, stands in `{run_dir}/telemetry.json`, which is read again when it changes. Knows no service.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import orjson
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import Link, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import Attributes, AttributeValue
from pydantic import BaseModel, Field, ValidationError

from services.mesh import metrics

_PROPAGATOR = TraceContextTextMapPropagator()
_EXPORT_TIMEOUT_SECONDS = 1  # a dead collector holds a flush for this long, not for the default ten seconds
_EXPORT_DELAY_MILLIS = 300
_QUEUE_SPANS = 4096
_OPEN_SECONDS = 5.0


class TelemetryState(BaseModel):
    """What `telemetry.json` holds."""

    endpoint: str | None = None
    """`host:port` of an OTLP gRPC receiver. None: nothing is exported."""

    ratio: float = Field(default=0.05, ge=0, le=1)
    """Share of the turns that begin here without a decision of the edge that are sampled."""

    metrics: bool = True
    """Whether the receiver takes metrics as well as spans."""


class SwitchableSampler(Sampler):
    """A ratio that may change while the process runs."""

    def __init__(self) -> None:
        self._sampler = TraceIdRatioBased(0.0)

    def set_ratio(self, ratio: float) -> None:
        """From now on `ratio` of the root spans are sampled."""
        self._sampler = TraceIdRatioBased(ratio)

    def should_sample(
        self,
        parent_context: otel_context.Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: trace.TraceState | None = None,
    ) -> SamplingResult:
        """As `opentelemetry.sdk.trace.sampling.Sampler` has it."""
        return self._sampler.should_sample(parent_context, trace_id, name, kind, attributes, links)

    def get_description(self) -> str:
        """As `opentelemetry.sdk.trace.sampling.Sampler` has it."""
        return f"Switchable({self._sampler.get_description()})"


class Exporting:
    """Batches of spans to one endpoint.

    What exports is loaded with the first span, on a thread of its own: that takes a tenth of a service's start, and most send none.
    """

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._lock = threading.Lock()
        self._waiting: deque[ReadableSpan] = deque(maxlen=_QUEUE_SPANS)
        self._opening: threading.Thread | None = None
        self._batch: BatchSpanProcessor | None = None

    def add(self, span: ReadableSpan) -> None:
        """Send `span` with the next batch."""
        with self._lock:
            if self._batch is None:
                self._waiting.append(span)
                if self._opening is None:
                    self._opening = threading.Thread(target=self._open, name="telemetry-open", daemon=True)
                    self._opening.start()
                return
        self._batch.on_end(span)

    def _open(self) -> None:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        exporter = OTLPSpanExporter(endpoint=self._endpoint, insecure=True, timeout=_EXPORT_TIMEOUT_SECONDS)
        batch = BatchSpanProcessor(exporter, max_queue_size=_QUEUE_SPANS, schedule_delay_millis=_EXPORT_DELAY_MILLIS)
        with self._lock:
            for span in self._waiting:
                batch.on_end(span)
            self._waiting.clear()
            self._batch = batch

    def _opened(self) -> BatchSpanProcessor | None:
        if self._opening is not None:
            self._opening.join(_OPEN_SECONDS)
        return self._batch

    def flush(self, timeout_millis: int) -> bool:
        """Export what is left; False where that did not go in time."""
        batch = self._opened()
        return batch is None or batch.force_flush(timeout_millis)

    def close(self) -> None:
        """Export what is left and end."""
        batch = self._opened()
        if batch is not None:
            batch.shutdown()  # type: ignore[no-untyped-call]


class SwitchableProcessor(SpanProcessor):
    """Hands spans to a batch exporter that may be replaced while the process runs, or to none."""

    def __init__(self) -> None:
        self._endpoint: str | None = None
        self._exporting: Exporting | None = None

    def set_endpoint(self, endpoint: str | None) -> None:
        """From now on spans go to `endpoint`, or nowhere. The former exporter is flushed beside, so that nobody waits."""
        if endpoint == self._endpoint:
            return
        former, self._exporting = self._exporting, None if endpoint is None else Exporting(endpoint)
        self._endpoint = endpoint
        if former is not None:
            threading.Thread(target=former.close, name="telemetry-flush", daemon=True).start()

    def on_start(self, span: Span, parent_context: otel_context.Context | None = None) -> None:
        """As `opentelemetry.sdk.trace.SpanProcessor` has it."""

    def on_end(self, span: ReadableSpan) -> None:
        """As `opentelemetry.sdk.trace.SpanProcessor` has it."""
        if self._exporting is not None:
            self._exporting.add(span)

    def shutdown(self) -> None:
        """Export what is left and end."""
        if self._exporting is not None:
            self._exporting.close()

    def force_flush(self, timeout_millis: int = 1000) -> bool:
        """Export what is left; False where that did not go in time."""
        return self._exporting is None or self._exporting.flush(timeout_millis)


class Telemetry:
    """The tracing of one process, and the state file that steers it."""

    def __init__(self, service: str, state_file: Path) -> None:
        self._service = service
        self._state_file = state_file
        self._seen: tuple[int, int] | None = None
        self._sampler = SwitchableSampler()
        self._processor = SwitchableProcessor()
        self.provider = TracerProvider(
            sampler=ParentBased(self._sampler),
            resource=Resource.create({"service.name": service, "service.namespace": "ragmesh"}),
            shutdown_on_exit=False,
        )
        self.provider.add_span_processor(self._processor)
        # Looked up once: that takes as long as the span itself.
        self.tracer = self.provider.get_tracer("ragmesh")

    def refresh(self) -> None:
        """Read the state file again if it changed. An unreadable one changes nothing: telemetry never breaks a call."""
        try:
            stat = self._state_file.stat()
            seen = (stat.st_mtime_ns, stat.st_size)
            if seen == self._seen:
                return
            state = TelemetryState.model_validate(orjson.loads(self._state_file.read_bytes()))
        except FileNotFoundError:
            seen, state = (0, 0), TelemetryState(endpoint=None, ratio=0.0)
            if self._seen == seen:
                return
        except (OSError, orjson.JSONDecodeError, ValidationError):
            return
        self._seen = seen
        self._sampler.set_ratio(state.ratio if state.endpoint else 0.0)
        self._processor.set_endpoint(state.endpoint)
        metrics.export(self._service, state.endpoint if state.metrics else None)

    def close(self) -> None:
        """Export what is left and end."""
        self._processor.shutdown()
        metrics.close()


_active: Telemetry | None = None


def configure(service: str, state_file: Path) -> Telemetry:
    """Set up tracing of the process: the spans of `service`."""
    global _active
    _active = Telemetry(service, state_file)
    _active.refresh()
    return _active


def tracer() -> trace.Tracer:
    """The tracer of the process; one that records nothing before `configure`."""
    if _active is None:
        return trace.NoOpTracer()
    return _active.tracer


@contextmanager
def span(name: str, kind: SpanKind = SpanKind.INTERNAL, **attributes: AttributeValue) -> Iterator[trace.Span]:
    """A span around the block. Attribute names use `__` where the registry has a dot: `ragmesh__store="documents"`."""
    named = {key.replace("__", "."): value for key, value in attributes.items()}
    with tracer().start_as_current_span(name, kind=kind, attributes=named) as opened:
        yield opened


@contextmanager
def unattached_span(name: str, kind: SpanKind, **attributes: AttributeValue) -> Iterator[dict[str, str]]:
    """A span around the block that is not made the current one; yields the trace context to send with the call.

    For async generators: what they attach would be seen by whoever reads them, and be taken off in another context.
    """
    named = {key.replace("__", "."): value for key, value in attributes.items()}
    opened = tracer().start_span(name, kind=kind, attributes=named)
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, trace.set_span_in_context(opened))
    try:
        yield carrier
    finally:
        opened.end()


def extract(metadata: Mapping[str, str | bytes]) -> otel_context.Context:
    """The trace context that a call came with."""
    return _PROPAGATOR.extract(metadata)


def unsampled(carried: otel_context.Context) -> bool:
    """Whether it was decided before the call that nothing of its trace is kept."""
    found = trace.get_current_span(carried).get_span_context()
    return found.is_valid and not found.trace_flags.sampled


def inject() -> dict[str, str]:
    """The trace context to send with a call; empty where there is none."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier


def current_trace_id() -> str:
    """Id of the current trace, 32 lower-case hex digits; empty where there is none."""
    found = trace.get_current_span().get_span_context()
    return trace.format_trace_id(found.trace_id) if found.is_valid else ""
