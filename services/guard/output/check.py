"""The check of a draft as it grows: segments decided whole, in order, and mapped to what was released before.

The only place that knows both coordinates, of the draft and of the released text. Fed by the servicer, message by message.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from ragmesh.evidence.v1 import evidence_pb2
from ragmesh.evidence.v1.text_pb2 import TextRange
from ragmesh.guard.v1 import guard_service_pb2 as pb

from services.guard.output.facts import compact
from services.guard.output.faithfulness import COPY, Judgement
from services.guard.output.findings import finding
from services.guard.output.quality import Answered, confidence, factors, quality
from services.guard.output.segments import Decision, SegmentCheck
from services.guard.provenance import short
from services.mesh.errors import MeshError

MAX_UNREVIEWED_BYTES = 16 * 1024
MAX_RELEASED_BYTES = 64 * 1024
MAX_DRAFT_BYTES = 256 * 1024
MAX_SEGMENTS = 512
_MAX_FINDINGS = 32
_WHITE = b" \t\n\r"


class OutputCheck:
    """Checks one draft.

    Args:
        segments: decides about a segment.
        max_released_bytes: more than that is withheld.
    """

    def __init__(self, segments: SegmentCheck, *, max_released_bytes: int = MAX_RELEASED_BYTES) -> None:
        self._segments = segments
        self._max_released = max_released_bytes
        self._unreviewed = b""
        self._reviewed = 0
        self._released = 0
        self._released_segments = 0
        self._withheld_segments = 0
        self._findings: list[pb.Finding] = []
        self._refused: pb.Category.ValueType | None = None
        self._composed: list[tuple[TextRange, int]] = []
        """What was released as composed since the last copy: its range, and how many letters and digits it has."""
        self._answered = Answered()
        self._open: dict[Hashable, TextRange] = {}
        """Claims that were released UNVERIFIED, by the keys under which an answer may still come."""

    def text(self, text: str) -> None:
        """Take the next text of the draft.

        Raises:
            MeshError: REQUEST_TOO_LARGE where too much of it is unreviewed, or the draft has no end.
        """
        self._unreviewed += text.encode()
        if len(self._unreviewed) > MAX_UNREVIEWED_BYTES:
            raise _too_large("too much of the draft is unreviewed", "limit_bytes", MAX_UNREVIEWED_BYTES)
        if self._reviewed + len(self._unreviewed) > MAX_DRAFT_BYTES:
            raise _too_large("the draft is too long", "limit_bytes", MAX_DRAFT_BYTES)

    async def segment(self, segment: evidence_pb2.Segment) -> list[pb.CheckOutputResponse]:
        """Decide about the segment that ends where the draft's segments have come to. What was released before may be taken back.

        Raises:
            MeshError: INVALID_REQUEST where it does not join on, or ends past the text; REQUEST_TOO_LARGE where there are too many.
        """
        if self._released_segments + self._withheld_segments >= MAX_SEGMENTS:
            raise _too_large("the draft has too many segments", "limit_segments", MAX_SEGMENTS)
        start, end = segment.range.start, segment.range.end
        if start != self._reviewed or not start < end <= start + len(self._unreviewed):
            violation = ("segment_end.range", f"must begin at {self._reviewed} and end inside the text of the draft")
            raise MeshError("INVALID_REQUEST", "a segment does not join on to the one before", violations=[violation])
        data = self._unreviewed[: end - start]
        if end - start < len(self._unreviewed) and self._unreviewed[end - start] & 0xC0 == 0x80:
            violation = ("segment_end.range", "splits a code point")
            raise MeshError("INVALID_REQUEST", "a segment splits a code point", violations=[violation])
        self._unreviewed = self._unreviewed[end - start :]
        self._reviewed = end
        number = self._released_segments + self._withheld_segments + 1
        decision = await self._segments.check(segment, data)
        # What joins a segment to the one before has nothing to join where none was released.
        joint = 0 if self._released else len(data) - len(data.lstrip(_WHITE))
        size = len(_joined(data, decision)) if decision.copies else len(data) - joint
        if decision.refused is None and self._released + size > self._max_released:
            decision = Decision(pb.CATEGORY_TOO_LONG)
        if decision.refused is not None:
            answers = [self._withhold(start, end, decision.refused, decision.findings)]
            return [*answers, *self._take_back(decision)]
        if decision.copies:
            return [self._release_copies(segment, data, decision)]
        return [self._release(segment, decision.shown or data, joint, decision, number)]

    async def finish(self) -> list[pb.CheckOutputResponse]:
        """The end of the draft: what never became a segment is withheld, late judgements are told, then the verdict on the
        whole."""
        answers = []
        if self._unreviewed.strip(_WHITE):
            end = self._reviewed + len(self._unreviewed)
            answers.append(self._withhold(self._reviewed, end, pb.CATEGORY_UNSUPPORTED, []))
        self._unreviewed = b""
        answers += self._late(await self._segments.faithfulness.late())
        verdict = pb.Verdict(action=pb.ACTION_ALLOW, findings=self._findings)
        if self._refused is not None:
            verdict.action = pb.ACTION_FLAG if self._released else pb.ACTION_BLOCK
            verdict.category = self._refused
        elif self._findings:
            verdict.action = pb.ACTION_FLAG
            verdict.category = self._findings[0].category
        finished = pb.OutputFinished(
            verdict=verdict,
            released_bytes=self._released,
            released_segments=self._released_segments,
            withheld_segments=self._withheld_segments,
        )
        if self._answered.released:
            finished.confidence.CopyFrom(confidence(factors(self._answered, self._segments.draft)))
            finished.quality.CopyFrom(quality(self._answered, self._segments.draft))
        faithfulness = self._segments.faithfulness
        if faithfulness.degraded:
            finished.degraded.add(part=pb.CHECK_PART_VERIFIER, reason=faithfulness.degraded)
        if faithfulness.ref is not None:
            finished.models.append(faithfulness.ref)
        return [*answers, pb.CheckOutputResponse(finished=finished)]

    def close(self) -> None:
        """Nobody reads on: stop waiting for anything."""
        self._segments.faithfulness.close()

    def _late(self, found: dict[Hashable, Judgement]) -> list[pb.CheckOutputResponse]:
        """What became known about claims after they were released as UNVERIFIED."""
        answers = []
        for key, judgement in found.items():
            place = self._open.get(key)
            if place is None:
                continue
            if judgement.verdict == evidence_pb2.CLAIM_VERDICT_CONTRADICTED:
                answers.append(self._retract(place, pb.CATEGORY_UNSUPPORTED))
                model, score = self._segments.faithfulness.ref, judgement.contradicted or 0.0
                threshold = self._segments.faithfulness.contradicted_from
                self._note([finding("faithfulness.late", pb.CATEGORY_UNSUPPORTED, score=score, threshold=threshold, model=model)])
            elif judgement.verdict == evidence_pb2.CLAIM_VERDICT_VERIFIED:
                annotated = pb.Annotated(range=place, verdict=judgement.verdict, score=judgement.supported)
                answers.append(pb.CheckOutputResponse(annotated=annotated))
        return answers

    def _take_back(self, decision: Decision) -> list[pb.CheckOutputResponse]:
        """What was released before and turns out to be the beginning of what is withheld now."""
        answers, left = [], decision.leaked_before
        while left > 0 and self._composed and decision.refused is not None:
            place, letters = self._composed.pop()
            left -= letters
            answers.append(self._retract(place, decision.refused))
        return answers

    def _retract(self, place: TextRange, category: pb.Category.ValueType) -> pb.CheckOutputResponse:
        self._answered.taken_back += 1
        if self._refused is None:
            self._refused = category
        return pb.CheckOutputResponse(retracted=pb.OutputRetracted(range=place, category=category))

    def _release(
        self, segment: evidence_pb2.Segment, data: bytes, joint: int, decision: Decision, number: int
    ) -> pb.CheckOutputResponse:
        first = segment.range.start + joint
        shift = self._released - first
        judgements = decision.judgements or [COPY] * len(segment.claims)
        claims = [
            _released_claim(claim, shift, segment.origin, judgement)
            for claim, judgement in zip(segment.claims, judgements, strict=True)
        ]
        for place, (claim, judgement) in enumerate(zip(claims, judgements, strict=True)):
            if judgement.verdict == evidence_pb2.CLAIM_VERDICT_UNVERIFIED:
                self._open[(number, place)] = claim.range
        released = pb.Released(
            draft_range=TextRange(start=first, end=segment.range.end),
            start=self._released,
            text=data[joint:].decode(),
            claims=claims,
        )
        return self._out(released, decision, segment.origin)

    def _release_copies(self, segment: evidence_pb2.Segment, data: bytes, decision: Decision) -> pb.CheckOutputResponse:
        """What a segment cites in its place, each with a claim of its own."""
        text = _joined(data, decision)
        lead = 0 if self._released else len(text) - len(text.lstrip(_WHITE))
        at = self._released + len(text) - len(text.lstrip(_WHITE)) - lead
        claims = []
        for copy in decision.copies:
            end = at + len(copy.text.encode())
            claims.append(
                evidence_pb2.Claim(
                    range=TextRange(start=at, end=end),
                    refs=[copy.ref],
                    support=COPY.support,
                    verdict=COPY.verdict,
                    origin=evidence_pb2.ORIGIN_COPIED,
                )
            )
            at = end + 1
        released = pb.Released(draft_range=segment.range, start=self._released, text=text[lead:].decode(), claims=claims)
        return self._out(released, decision, evidence_pb2.ORIGIN_COPIED)

    def _out(self, released: pb.Released, decision: Decision, origin: evidence_pb2.Origin.ValueType) -> pb.CheckOutputResponse:
        size = len(released.text.encode())
        if origin == evidence_pb2.ORIGIN_COMPOSED:
            place = TextRange(start=self._released, end=self._released + size)
            self._composed.append((place, len(compact(released.text))))
        else:
            self._composed = []
        self._segments.released(released.text, decision, origin)
        judgements = [COPY] * len(decision.copies) if decision.copies else decision.judgements
        cited = [ref.evidence for claim in released.claims for ref in claim.refs]
        # What gave way to copies leaves no doubt behind.
        self._answered.add(released.text, judgements, [] if decision.copies else decision.findings, cited)
        self._released += size
        self._released_segments += 1
        self._note(decision.findings)
        return pb.CheckOutputResponse(released=released)

    def _withhold(
        self, start: int, end: int, category: pb.Category.ValueType, findings: list[pb.Finding]
    ) -> pb.CheckOutputResponse:
        found = findings or [finding(f"draft.{short(pb.Category.Name(category))}", category)]
        self._note(found)
        self._withheld_segments += 1
        self._answered.withheld += 1
        if self._refused is None:
            self._refused = category
        verdict = pb.Verdict(action=pb.ACTION_BLOCK, category=category, findings=found)
        return pb.CheckOutputResponse(withheld=pb.Withheld(draft_range=TextRange(start=start, end=end), verdict=verdict))

    def _note(self, findings: Sequence[pb.Finding]) -> None:
        self._findings += findings[: _MAX_FINDINGS - len(self._findings)]


def _moved(range_: TextRange, shift: int) -> TextRange:
    """A range of the draft in released coordinates; white space of it that was left out before the first word is no longer in
    it."""
    return TextRange(start=max(0, range_.start + shift), end=range_.end + shift)


def _released_claim(
    claim: evidence_pb2.Claim, shift: int, origin: evidence_pb2.Origin.ValueType, judgement: Judgement
) -> evidence_pb2.Claim:
    moved = evidence_pb2.Claim(
        range=_moved(claim.range, shift), refs=claim.refs, support=judgement.support, verdict=judgement.verdict, origin=origin
    )
    if claim.HasField("highlight"):
        moved.highlight.CopyFrom(_moved(claim.highlight, shift))
    return moved


def _joined(data: bytes, decision: Decision) -> bytes:
    """The copies that take the place of a segment, joined on as the segment was."""
    joint = data[: len(data) - len(data.lstrip(_WHITE))] or b" "
    return joint + " ".join(copy.text for copy in decision.copies).encode()


def _too_large(text: str, name: str, limit: int) -> MeshError:
    return MeshError("REQUEST_TOO_LARGE", text, metadata={name: str(limit)})
