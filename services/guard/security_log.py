"""The security log: one entry for each text that was not simply let through. Rule, action and request id, hardly ever words.

Also the counters on the span of the call, for all that it judged. Knows verdicts; decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry import trace
from ragmesh.guard.v1 import guard_service_pb2 as pb

from services.guard.judge import Sighting
from services.mesh import context
from services.mesh.log import get_logger

_log = get_logger(__name__)
_MAX_WORDS = 120


def record(kind: str, verdict: pb.Verdict, seen: Sequence[Sighting] = (), *, with_text: bool = False, subject: str = "") -> None:
    """Write down `verdict` on a `kind` of text (question, passage, draft); nothing where it passed without a finding.

    Args:
        kind: what was judged.
        verdict: what was concluded.
        seen: what it rests on, for the words.
        with_text: whether the matched words are written down too.
        subject: name of the document, where the text is of one.
    """
    if verdict.action == pb.ACTION_ALLOW:
        return
    extra = {"words": [item.words[:_MAX_WORDS] for item in seen]} if with_text else {}
    _log.info(
        "guard.verdict",
        kind=kind,
        action=_short(pb.Action.Name(verdict.action)),
        category=_short(pb.Category.Name(verdict.category)),
        rules=[finding.rule for finding in verdict.findings if finding.rule],
        views=sorted({finding.view for finding in verdict.findings if finding.view}),
        subject=subject or None,
        request=context.request_id(),
        **extra,
    )


def count(verdicts: Sequence[pb.Verdict]) -> None:
    """Put the gravest of `verdicts` and how much was seen on the span of the call."""
    span = trace.get_current_span()
    gravest = max(verdicts, key=lambda verdict: verdict.action)
    span.set_attribute("ragmesh.guard.action", _short(pb.Action.Name(gravest.action)))
    if gravest.category:
        span.set_attribute("ragmesh.guard.category", _short(pb.Category.Name(gravest.category)))
    span.set_attribute("ragmesh.guard.findings", sum(len(verdict.findings) for verdict in verdicts))
    span.set_attribute("ragmesh.guard.blocked", sum(verdict.action == pb.ACTION_BLOCK for verdict in verdicts))


def _short(name: str) -> str:
    return name.partition("_")[2].lower()
