"""First link, `telemetry`: a server span around the call and one line in the log when it ends."""

from __future__ import annotations

import time
from typing import Any, ClassVar

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from services.mesh import context, telemetry
from services.mesh.interceptors.call import Call, Link, Proceed
from services.mesh.log import get_logger

_log = get_logger("services.mesh.rpc")

# What a caller did wrong is no failure of the service that said so (OpenTelemetry's semantic conventions for gRPC servers).
_SERVER_FAULTS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})


class TelemetryLink(Link):
    """Span and log line of a call."""

    name: ClassVar[str] = "telemetry"

    async def around(self, call: Call, proceed: Proceed) -> Any:
        """Open the span that the caller's trace goes on with; close it by the typed outcome."""
        carried = telemetry.extract(call.metadata)
        if telemetry.unsampled(carried):
            # Nobody will see a span: the caller's stands in for it, so that the log and what is called from here name the trace.
            token = otel_context.attach(carried)
            try:
                return await proceed(call)
            finally:
                self._end(call, trace.INVALID_SPAN)
                otel_context.detach(token)
        service, _, method = call.method[1:].rpartition("/")
        with telemetry.tracer().start_as_current_span(
            call.method[1:],
            context=carried,
            kind=SpanKind.SERVER,
            attributes={"rpc.system": "grpc", "rpc.service": service, "rpc.method": method},
            record_exception=False,
            set_status_on_exception=False,
        ) as opened:
            try:
                return await proceed(call)
            finally:
                self._end(call, opened)

    @staticmethod
    def _end(call: Call, opened: trace.Span) -> None:
        code = call.error.code.name if call.error else "CANCELLED" if call.cancelled else "OK"
        opened.set_attribute("rpc.grpc.status_code", code)
        if call.error is not None:
            opened.set_attribute("error.type", call.error.reason)
            if code in _SERVER_FAULTS:
                opened.set_status(Status(StatusCode.ERROR, call.error.reason))
        _log.info(
            "rpc",
            method=call.method,
            code=code,
            reason=call.error.reason if call.error else None,
            ms=round((time.monotonic() - call.began) * 1000, 2),
            received=call.received,
            sent=call.sent,
            peer=call.peer,
            request=context.request_id(),
        )
