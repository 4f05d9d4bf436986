"""What the guard counts: verdicts, on the span of the call and as metrics; and how long its checks take. Decides nothing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

from opentelemetry import trace
from ragmesh.guard.v1 import guard_service_pb2 as pb

from services.guard.provenance import short
from services.mesh import metrics

_VERDICTS = metrics.counter("ragmesh.guard.verdicts", "{verdict}", "Verdicts of the guard.")
_SECONDS = metrics.histogram(
    "ragmesh.guard.check.duration",
    "s",
    "How long the texts of one call took to be judged.",
    (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
)


def count(kind: str, verdicts: Sequence[pb.Verdict]) -> None:
    """Count `verdicts` on a `kind` of text (question, passage, draft), and put the gravest and what was seen on the span."""
    told = Counter((verdict.action, verdict.category) for verdict in verdicts) if metrics.exported() else {}
    for (action, category), number in told.items():
        _VERDICTS.tell(
            number,
            ragmesh__guard__kind=kind,
            ragmesh__guard__action=short(pb.Action.Name(action)),
            ragmesh__guard__category=short(pb.Category.Name(category)),
        )
    span = trace.get_current_span()
    if not span.is_recording():
        return
    gravest = max(verdicts, key=lambda verdict: verdict.action)
    span.set_attribute("ragmesh.guard.action", short(pb.Action.Name(gravest.action)))
    if gravest.category:
        span.set_attribute("ragmesh.guard.category", short(pb.Category.Name(gravest.category)))
    if gravest.policy_digest:
        span.set_attribute("ragmesh.guard.policy", gravest.policy_digest[:16])
    span.set_attribute("ragmesh.guard.findings", sum(len(verdict.findings) for verdict in verdicts))
    span.set_attribute("ragmesh.guard.blocked", sum(verdict.action == pb.ACTION_BLOCK for verdict in verdicts))


def took(kind: str, began: float) -> None:
    """Measure what began at `time.perf_counter()` as a check of a `kind` of text."""
    _SECONDS.tell(time.perf_counter() - began, ragmesh__guard__kind=kind)
