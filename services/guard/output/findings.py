"""Findings about drafts as the contract has them: rule, category, severity, place, score, threshold, and the digest of what found
it.

Knows no text beyond its places.
"""

from __future__ import annotations

from pathlib import Path

from ragmesh.evidence.v1.model_pb2 import ModelRef
from ragmesh.evidence.v1.text_pb2 import TextRange
from ragmesh.guard.v1 import guard_service_pb2 as pb

from services.guard.provenance import digest_of

_PACKAGE = Path(__file__).parent
VIEW = "original"
_SEVERITIES = {True: pb.SEVERITY_HIGH, False: pb.SEVERITY_MEDIUM}


def digest() -> str:
    """SHA-256 over the methods of this package and their tables: what found something is named by it."""
    return digest_of(_PACKAGE)


def finding(
    rule: str,
    category: pb.Category.ValueType,
    *,
    text: str = "",
    start: int = 0,
    end: int | None = None,
    grave: bool = True,
    score: float = 1.0,
    threshold: float = 1.0,
    model: ModelRef | None = None,
    view: str = VIEW,
) -> pb.Finding:
    """A finding in `text`, at characters [start, end) of it, as a range in bytes; the whole of it where `end` is None.

    `grave` findings keep a text from leaving; the others are recorded, and keep a claim from being VERIFIED.
    """
    found = pb.Finding(
        rule=rule,
        category=category,
        severity=_SEVERITIES[grave],
        view=view,
        score=score,
        threshold=threshold,
        digest=model.weights_sha256 if model is not None else digest(),
    )
    if model is not None:
        found.model.CopyFrom(model)
    if end is not None and end > start:
        first = len(text[:start].encode())
        found.range.CopyFrom(TextRange(start=first, end=first + len(text[start:end].encode())))
    return found


def is_ours(found: pb.Finding) -> bool:
    """Whether the methods of this package or their model found it, and not the rules."""
    return found.HasField("model") or found.digest == digest()


def grave(found: pb.Finding) -> bool:
    """Whether a finding keeps a text from leaving."""
    return found.severity == pb.SEVERITY_HIGH
