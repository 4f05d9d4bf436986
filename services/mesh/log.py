"""Structured logs: one JSON object a line on standard output. Knows no service."""

from __future__ import annotations

import logging
import sys
from typing import cast

import orjson
from opentelemetry import trace

# structlog loads rich, and with it Pygments and attrs, where they are installed: a sixth of a service's start, for a renderer of
# terminals that no service uses.
_hides_rich = "rich" not in sys.modules and "structlog" not in sys.modules
if _hides_rich:
    sys.modules["rich"] = None  # type: ignore[assignment]  # "cannot be imported", says the import system of None
import structlog  # noqa: E402

if _hides_rich:
    del sys.modules["rich"]
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger  # noqa: E402


def _trace_ids(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        event["trace_id"] = trace.format_trace_id(span.trace_id)
    return event


def configure(level: str, service: str) -> None:
    """Set up logging of the process. Called once, before anything logs."""
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _trace_ids,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.BytesLoggerFactory(sys.stdout.buffer),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    # Libraries log through the standard library; only what is wrong is worth a line.
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    logging.getLogger("opentelemetry").setLevel(logging.ERROR)


def get_logger(name: str) -> FilteringBoundLogger:
    """A logger that names its module."""
    return cast(FilteringBoundLogger, structlog.get_logger(module=name))
