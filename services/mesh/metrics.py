"""Metrics: counters and histograms that a service declares, sent by OpenTelemetry to where its spans go.

An instrument is declared when its module is loaded, and counts once there is an endpoint: until then a look at one variable is all
that it costs, and nothing of OpenTelemetry's metrics is loaded. Each instrument keeps a limited number of attribute sets, so that
no caller can fill the memory of a collector. Knows no service.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry.sdk.resources import Resource

MAX_ATTRIBUTE_SETS = 512
"""Of one instrument; what is told of others is counted under `OVERFLOW` together."""
OVERFLOW = {"otel.metric.overflow": True}
"""As OpenTelemetry's specification of cardinality limits has it."""
_EXPORT_INTERVAL_MILLIS = 10_000
_EXPORT_TIMEOUT_SECONDS = 1  # a dead collector holds the end of a process for this long
_WAITING = 4096
"""Measurements that are kept while what exports is being loaded."""
_OPEN_SECONDS = 5.0

Attributes = dict[str, str]


class Instrument:
    """What is counted or measured.

    Args:
        name: as docs/telemetry.md has it.
        unit: of UCUM: `s`, `{verdict}`.
        description: one sentence.
        make: makes it of a meter of OpenTelemetry; gives back what takes a measurement and its attributes.
    """

    def __init__(self, name: str, unit: str, description: str, make: Callable[[Any, Instrument], Callable[..., None]]) -> None:
        self.name = name
        self.unit = unit
        self.description = description
        self.make = make
        self._known: set[tuple[tuple[str, str], ...]] = set()

    def bounded(self, attributes: Attributes) -> dict[str, Any]:
        """`attributes`, or `OVERFLOW` where they are new and there are `MAX_ATTRIBUTE_SETS` already."""
        key = tuple(sorted(attributes.items()))
        if key not in self._known:
            if len(self._known) >= MAX_ATTRIBUTE_SETS:
                return dict(OVERFLOW)
            self._known.add(key)
        return dict(attributes)

    def tell(self, value: float, **attributes: str) -> None:
        """Count or measure `value`. Attribute names use `__` where the registry has a dot: `ragmesh__guard__action="block"`."""
        exporting = _exporting
        if exporting is not None:
            named = {name.replace("__", "."): value for name, value in attributes.items()}
            exporting.tell(self, value, self.bounded(named))


_declared: dict[str, Instrument] = {}


def _declare(instrument: Instrument) -> Instrument:
    if instrument.name in _declared:
        raise ValueError(f"{instrument.name} is declared twice")
    _declared[instrument.name] = instrument
    return instrument


def counter(name: str, unit: str, description: str) -> Instrument:
    """Declare what only grows.

    Raises:
        ValueError: there is an instrument of this name.
    """
    return _declare(
        Instrument(name, unit, description, lambda meter, own: meter.create_counter(own.name, own.unit, own.description).add)
    )


def histogram(name: str, unit: str, description: str, boundaries: Sequence[float]) -> Instrument:
    """Declare what is measured; `boundaries` are the upper ends of its buckets, rising.

    Raises:
        ValueError: there is an instrument of this name.
    """

    def make(meter: Any, own: Instrument) -> Callable[..., None]:
        made = meter.create_histogram(own.name, own.unit, own.description, explicit_bucket_boundaries_advisory=list(boundaries))
        taken: Callable[..., None] = made.record
        return taken

    return _declare(Instrument(name, unit, description, make))


class Exporting:
    """Measurements of one process to one endpoint. What exports is loaded with the first of them, on a thread of its own."""

    def __init__(self, service: str, endpoint: str) -> None:
        self._service = service
        self.endpoint = endpoint
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Instrument, float, dict[str, Any]]] = deque(maxlen=_WAITING)
        self._opening: threading.Thread | None = None
        self._takes: dict[str, Callable[..., None]] | None = None
        self._provider: Any = None

    def tell(self, instrument: Instrument, value: float, attributes: dict[str, Any]) -> None:
        """Send `value` with the next export."""
        takes = self._takes
        if takes is not None and instrument.name in takes:
            takes[instrument.name](value, attributes)
            return
        with self._lock:
            if self._takes is not None:
                self._take(instrument, value, attributes)
                return
            self._waiting.append((instrument, value, attributes))
            if self._opening is None:
                self._opening = threading.Thread(target=self._open, name="metrics-open", daemon=True)
                self._opening.start()

    def _take(self, instrument: Instrument, value: float, attributes: dict[str, Any]) -> None:
        assert self._takes is not None
        if instrument.name not in self._takes:
            self._takes[instrument.name] = instrument.make(self._provider.get_meter("ragmesh"), instrument)
        self._takes[instrument.name](value, attributes)

    def _open(self) -> None:
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

        exporter = OTLPMetricExporter(endpoint=self.endpoint, insecure=True, timeout=_EXPORT_TIMEOUT_SECONDS)
        reader = PeriodicExportingMetricReader(exporter, _EXPORT_INTERVAL_MILLIS, _EXPORT_TIMEOUT_SECONDS * 1000)
        resource = Resource.create({"service.name": self._service, "service.namespace": "ragmesh"})
        provider = MeterProvider([reader], resource, shutdown_on_exit=False)
        with self._lock:
            self._provider, self._takes = provider, {}
            for waiting in self._waiting:
                self._take(*waiting)
            self._waiting.clear()

    def _opened(self) -> Any:
        if self._opening is not None:
            self._opening.join(_OPEN_SECONDS)
        return self._provider

    def flush(self, timeout_millis: int = 1000) -> bool:
        """Export what was told; False where that did not go in time."""
        provider = self._opened()
        return provider is None or bool(provider.force_flush(timeout_millis))

    def close(self) -> None:
        """Export what is left and end."""
        provider = self._opened()
        if provider is not None:
            provider.shutdown(timeout_millis=_EXPORT_TIMEOUT_SECONDS * 1000)


_exporting: Exporting | None = None


def export(service: str, endpoint: str | None) -> None:
    """From now on measurements of `service` go to `endpoint`, or nowhere. The former export ends beside, so that nobody waits."""
    global _exporting
    former = _exporting
    if (former.endpoint if former is not None else None) == endpoint:
        return
    _exporting = None if endpoint is None else Exporting(service, endpoint)
    if former is not None:
        threading.Thread(target=former.close, name="metrics-close", daemon=True).start()


def exported() -> bool:
    """Whether anybody is told."""
    return _exporting is not None


def flush(timeout_millis: int = 1000) -> bool:
    """Export what was told; False where that did not go in time."""
    return _exporting is None or _exporting.flush(timeout_millis)


def close() -> None:
    """Export what is left and end."""
    global _exporting
    former, _exporting = _exporting, None
    if former is not None:
        former.close()
