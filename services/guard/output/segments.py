"""The check of one finished segment of a draft: is it what its origin says, does its evidence carry it, and may it be shown?

Decides about bytes and claims in draft coordinates; knows neither the stream nor what the released text looks like.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

from ragmesh.evidence.v1 import evidence_pb2
from ragmesh.guard.v1 import guard_service_pb2 as pb

from services.guard.judge import Judge
from services.guard.output.draft import Draft
from services.guard.output.faithfulness import COPY, Claimed, Faithfulness, Judgement
from services.guard.output.findings import finding, grave, is_ours
from services.guard.output.patterns import OVERRULED, Patterns
from services.guard.output.quotes import QuoteError, on_boundaries
from services.guard.privacy.masking import starred

_WHITE = b" \t\n\r"
_SIGNS = ".,;:!?()[]'\"“”„«»‘’–—-*_#>•|"


@dataclass(frozen=True, slots=True)
class Copy:
    """Words of the evidence that take the place of a claim."""

    text: str
    ref: evidence_pb2.EvidenceRef


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done with a segment."""

    refused: pb.Category.ValueType | None = None
    """Why it is withheld; None where it is released."""
    findings: list[pb.Finding] = field(default_factory=list)
    judgements: Sequence[Judgement] = ()
    """What each of its claims gets when it is released, in their order."""
    copies: Sequence[Copy] = ()
    """What is released in its place."""
    shown: bytes = b""
    """What is released of a segment whose personal data is starred: as many bytes, so that no range moves. Empty: its own bytes."""
    leaked_before: int = 0
    """Letters and digits of a leak that stand in what was released before."""


def _readable(text: str) -> bool:
    """Whether a text has no control characters but tabs and line ends, and no code points that stand for nothing."""
    shown = text.replace("\n", "").replace("\t", "").replace("\r", "")
    return shown.isprintable() or not any(unicodedata.category(sign) in ("Cc", "Cs", "Cn", "Co") for sign in shown)


class SegmentCheck:
    """Checks the segments of one draft, in order.

    Args:
        judge: the rules for output.
        draft: what the draft is judged against.
        faithfulness: judges composed claims.
    """

    def __init__(self, judge: Judge, draft: Draft, faithfulness: Faithfulness) -> None:
        self._judge = judge
        self.draft = draft
        self.faithfulness = faithfulness
        self.patterns = Patterns(draft)
        self._number = 0
        self._shown: set[bytes] = set()

    async def check(self, segment: evidence_pb2.Segment, data: bytes) -> Decision:
        """Decide about `segment`, whose bytes are `data`; its claims count in the draft, `data` begins at its range."""
        self._number += 1
        if segment.origin == evidence_pb2.ORIGIN_TEMPLATE:
            return self._template(segment, data)
        if not data.strip(_WHITE):
            return Decision(pb.CATEGORY_GARBAGE)
        if not self._claims_stand(segment, data):
            return Decision(pb.CATEGORY_CITATION_MISMATCH)
        text = data.decode()
        if not _readable(text):
            return Decision(pb.CATEGORY_MALFORMED)
        verdict, _ = self._judge.draft(text)
        findings = list(verdict.findings)
        if verdict.action == pb.ACTION_BLOCK and any(self.draft.withholds(one, True) for one in findings):
            return Decision(verdict.category, findings)
        if segment.origin == evidence_pb2.ORIGIN_COPIED:
            return self._copied(segment, data, text, findings)
        return await self._composed(segment, data, text, findings)

    def released(self, text: str, decision: Decision, origin: evidence_pb2.Origin.ValueType) -> None:
        """What was decided about the last segment has left as `text`."""
        composed = origin != evidence_pb2.ORIGIN_COPIED and not decision.copies
        self.patterns.released(text, composed=composed and origin != evidence_pb2.ORIGIN_TEMPLATE)
        self._shown.add(text.strip().encode())

    def _copied(self, segment: evidence_pb2.Segment, data: bytes, text: str, findings: list[pb.Finding]) -> Decision:
        if not self._is_copy(segment, data):
            return Decision(pb.CATEGORY_CITATION_MISMATCH, findings)
        findings += self.patterns.copied(text)
        refused = self._refused(findings)
        if refused is not None:
            return Decision(refused.category, findings)
        return Decision(None, findings, [COPY] * len(segment.claims))

    async def _composed(self, segment: evidence_pb2.Segment, data: bytes, text: str, findings: list[pb.Finding]) -> Decision:
        names = [ref.evidence for claim in segment.claims for ref in claim.refs]
        private = self.draft.private(text, names)
        findings += self.patterns.composed(text, names, private)
        refused = self._refused(findings)
        if refused is not None:
            return Decision(refused.category, findings, leaked_before=self.patterns.leaked_before)
        shown = starred(text, private).encode() if private else b""
        claims, outside = self._claimed(segment, shown or data)
        judged = await self.faithfulness.judge([*claims, *outside])
        judged = [self._doubted(one, findings) for one in judged]
        against = next((one for one in judged if one.verdict == evidence_pb2.CLAIM_VERDICT_CONTRADICTED), None)
        if against is not None:
            denied = self._by_model("faithfulness.contradicted", against.contradicted, self.faithfulness.contradicted_from, True)
            return Decision(pb.CATEGORY_UNSUPPORTED, [denied, *findings], judged)
        open_ = [one for one in judged if one.verdict != evidence_pb2.CLAIM_VERDICT_VERIFIED]
        if not open_ and claims:
            return Decision(None, findings, judged[: len(claims)], shown=shown)
        worst = min((one.supported for one in open_ if one.supported is not None), default=None)
        noted = [self._by_model("faithfulness.unverified", worst, self.faithfulness.supported_from, False), *findings]
        if self.draft.release_unverified:
            return Decision(None, noted, judged[: len(claims)], shown=shown)
        copies = self._copies(segment)
        if copies:
            return Decision(None, noted, copies=copies)
        return Decision(pb.CATEGORY_UNSUPPORTED, noted, judged)

    def _refused(self, findings: Sequence[pb.Finding]) -> pb.Finding | None:
        return next((one for one in findings if is_ours(one) and self.draft.withholds(one, grave(one))), None)

    def _by_model(self, rule: str, score: float | None, threshold: float, weighty: bool) -> pb.Finding:
        model = self.faithfulness.ref if score is not None else None
        return finding(rule, pb.CATEGORY_UNSUPPORTED, grave=weighty, score=score or 0.0, threshold=threshold, model=model)

    def _doubted(self, one: Judgement, findings: Sequence[pb.Finding]) -> Judgement:
        """`one`, but for support that a finding about the same words speaks against."""
        if one.verdict != evidence_pb2.CLAIM_VERDICT_VERIFIED or one is COPY:
            return one
        if any(item.rule.startswith("hallucination.") and item.rule not in OVERRULED for item in findings):
            return Judgement(evidence_pb2.CLAIM_VERDICT_UNVERIFIED, evidence_pb2.SUPPORT_PARTIAL, one.supported, one.contradicted)
        return one

    def _claimed(self, segment: evidence_pb2.Segment, data: bytes) -> tuple[list[Claimed], list[Claimed]]:
        """The claims of a segment, and the words outside of them, which claim something too."""
        base = segment.range.start
        claims: list[Claimed] = []
        outside: list[Claimed] = []
        reached = 0
        names = [ref.evidence for claim in segment.claims for ref in claim.refs]
        for number, claim in enumerate(segment.claims):
            text = data[claim.range.start - base : claim.range.end - base].decode()
            cited = [ref.evidence for ref in claim.refs]
            claims.append(self._one(number, text, cited))
        for start, end in [
            *sorted((claim.range.start - base, claim.range.end - base) for claim in segment.claims),
            (len(data),) * 2,
        ]:
            text = data[reached:start].decode(errors="ignore").strip(_SIGNS + " \t\r\n") if start > reached else ""
            if sum(map(str.isalpha, text)) > 2:
                outside.append(self._one(-1 - len(outside), text, names))
            reached = max(reached, end)
        return claims, outside

    def _one(self, number: int, text: str, names: Sequence[str]) -> Claimed:
        return Claimed((self._number, number), text, *self.draft.beside(names))

    def _copies(self, segment: evidence_pb2.Segment) -> list[Copy]:
        """What the claims cite, word for word, where each cites something; nothing is shown twice."""
        found: dict[bytes, Copy] = {}
        for claim in segment.claims:
            if not claim.refs:
                return []
            words = self.draft.passages.cited(claim.refs[0])
            if words.strip() not in self._shown:
                found.setdefault(words.strip(), Copy(words.decode().strip(), claim.refs[0]))
        if any(self._judge.draft(copy.text)[0].action == pb.ACTION_BLOCK for copy in found.values()):
            return []
        return list(found.values())

    def _template(self, segment: evidence_pb2.Segment, data: bytes) -> Decision:
        reviewed = self.draft.templates.get(segment.template_id, {})
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
                    self.draft.passages.cited(ref)
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
            if any(self.draft.passages.cited(ref) != data[start:end] for ref in claim.refs):
                return False
            reached = end
        return not data[reached:].strip(_WHITE) and reached > 0
