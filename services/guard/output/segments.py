"""The check of one finished segment of a draft: is it what its origin says, and may it be shown?

Decides about bytes and claims in draft coordinates; knows neither the stream nor what was released before.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

from ragmesh.evidence.v1 import evidence_pb2
from ragmesh.guard.v1 import guard_service_pb2 as pb

from services.guard.judge import Judge
from services.guard.output.quotes import Passages, QuoteError, on_boundaries
from services.mesh.assistant import Assistant

_WHITE = b" \t\n\r"


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done with a segment."""

    refused: pb.Category.ValueType | None = None
    """Why it is withheld; None where it is released."""
    findings: list[pb.Finding] = field(default_factory=list)
    support: evidence_pb2.Support.ValueType = evidence_pb2.SUPPORT_UNSPECIFIED
    """What each of its claims gets when it is released."""
    verdict: evidence_pb2.ClaimVerdict.ValueType = evidence_pb2.CLAIM_VERDICT_UNSPECIFIED


class SegmentCheck:
    """Checks the segments of one draft.

    Args:
        judge: the rules for output.
        passages: the evidence of the turn.
        assistant: whose reviewed texts count.
        release_unverified: whether composed text that nothing verified is released, marked as such.
    """

    def __init__(self, judge: Judge, passages: Passages, assistant: Assistant, *, release_unverified: bool) -> None:
        self._judge = judge
        self._passages = passages
        self._templates: Mapping[str, Mapping[str, str]] = assistant.templates
        self._release_unverified = release_unverified

    def check(self, segment: evidence_pb2.Segment, data: bytes) -> Decision:
        """Decide about `segment`, whose bytes are `data`; its claims count in the draft, `data` begins at its range."""
        if segment.origin == evidence_pb2.ORIGIN_TEMPLATE:
            return self._template(segment, data)
        if not data.strip(_WHITE):
            return Decision(pb.CATEGORY_GARBAGE)
        if not self._claims_stand(segment, data):
            return Decision(pb.CATEGORY_CITATION_MISMATCH)
        text = data.decode()
        if any(unicodedata.category(character) in ("Cc", "Cs", "Cn", "Co") and character not in "\t\n\r" for character in text):
            return Decision(pb.CATEGORY_MALFORMED)
        verdict, _ = self._judge.draft(text)
        findings = list(verdict.findings)
        if verdict.action == pb.ACTION_BLOCK:
            return Decision(verdict.category, findings)
        if segment.origin == evidence_pb2.ORIGIN_COPIED:
            if not self._is_copy(segment, data):
                return Decision(pb.CATEGORY_CITATION_MISMATCH, findings)
            return Decision(None, findings, evidence_pb2.SUPPORT_FULL, evidence_pb2.CLAIM_VERDICT_VERIFIED)
        if not self._release_unverified:
            return Decision(pb.CATEGORY_UNSUPPORTED, findings)
        return Decision(None, findings, evidence_pb2.SUPPORT_UNSPECIFIED, evidence_pb2.CLAIM_VERDICT_UNVERIFIED)

    def _template(self, segment: evidence_pb2.Segment, data: bytes) -> Decision:
        reviewed = self._templates.get(segment.template_id, {})
        if segment.claims or data.strip(_WHITE).decode() not in reviewed.values():
            return Decision(pb.CATEGORY_UNSUPPORTED)
        return Decision()

    def _claims_stand(self, segment: evidence_pb2.Segment, data: bytes) -> bool:
        """Whether claims lie inside the segment on code points, short answers inside claims, and all references resolve."""
        base = segment.range.start
        for claim in segment.claims:
            start, end = claim.range.start, claim.range.end
            if start >= end or not on_boundaries(data, start - base, end - base):
                return False
            if claim.HasField("highlight"):
                first, last = claim.highlight.start, claim.highlight.end
                if not (start <= first < last <= end and on_boundaries(data, first - base, last - base)):
                    return False
            try:
                for ref in claim.refs:
                    self._passages.cited(ref)
            except QuoteError:
                return False
        return True

    def _is_copy(self, segment: evidence_pb2.Segment, data: bytes) -> bool:
        """Whether claims cover all but white space, each word for word what every one of its references cites."""
        reached = 0
        for claim in sorted(segment.claims, key=lambda claim: claim.range.start):
            start, end = claim.range.start - segment.range.start, claim.range.end - segment.range.start
            if start < reached or data[reached:start].strip(_WHITE) or not claim.refs:
                return False
            if any(self._passages.cited(ref) != data[start:end] for ref in claim.refs):
                return False
            reached = end
        return not data[reached:].strip(_WHITE) and reached > 0
