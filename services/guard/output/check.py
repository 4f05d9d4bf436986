"""The check of a draft as it grows: segments decided whole, in order, and mapped to what was released before.

The only place that knows both coordinates, of the draft and of the released text. Fed by the servicer, message by message.
"""

from __future__ import annotations

from ragmesh.evidence.v1 import evidence_pb2
from ragmesh.evidence.v1.text_pb2 import TextRange
from ragmesh.guard.v1 import guard_service_pb2 as pb

from services.guard.output.segments import Decision, SegmentCheck
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

    def segment(self, segment: evidence_pb2.Segment) -> pb.CheckOutputResponse:
        """Decide about the segment that ends where the draft's segments have come to.

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
        decision = self._segments.check(segment, data)
        # What joins a segment to the one before has nothing to join where none was released.
        joint = 0 if self._released else len(data) - len(data.lstrip(_WHITE))
        if decision.refused is None and self._released + len(data) - joint > self._max_released:
            decision = Decision(pb.CATEGORY_TOO_LONG)
        if decision.refused is not None:
            return self._withhold(start, end, decision.refused, decision.findings)
        return self._release(segment, data, joint, decision)

    def finish(self) -> list[pb.CheckOutputResponse]:
        """The end of the draft: what never became a segment is withheld, then the verdict on the whole."""
        answers = []
        if self._unreviewed.strip(_WHITE):
            end = self._reviewed + len(self._unreviewed)
            answers.append(self._withhold(self._reviewed, end, pb.CATEGORY_UNSUPPORTED, []))
        self._unreviewed = b""
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
        return [*answers, pb.CheckOutputResponse(finished=finished)]

    def _release(self, segment: evidence_pb2.Segment, data: bytes, joint: int, decision: Decision) -> pb.CheckOutputResponse:
        first = segment.range.start + joint
        shift = self._released - first
        claims = [_released_claim(claim, shift, segment.origin, decision) for claim in segment.claims]
        released = pb.Released(
            draft_range=TextRange(start=first, end=segment.range.end),
            start=self._released,
            text=data[joint:].decode(),
            claims=claims,
        )
        self._released += len(data) - joint
        self._released_segments += 1
        self._note(decision.findings)
        return pb.CheckOutputResponse(released=released)

    def _withhold(
        self, start: int, end: int, category: pb.Category.ValueType, findings: list[pb.Finding]
    ) -> pb.CheckOutputResponse:
        found = findings or [pb.Finding(category=category, severity=pb.SEVERITY_HIGH)]
        self._note(found)
        self._withheld_segments += 1
        if self._refused is None:
            self._refused = category
        verdict = pb.Verdict(action=pb.ACTION_BLOCK, category=category, findings=found)
        return pb.CheckOutputResponse(withheld=pb.Withheld(draft_range=TextRange(start=start, end=end), verdict=verdict))

    def _note(self, findings: list[pb.Finding]) -> None:
        self._findings += findings[: _MAX_FINDINGS - len(self._findings)]


def _moved(range_: TextRange, shift: int) -> TextRange:
    return TextRange(start=range_.start + shift, end=range_.end + shift)


def _released_claim(
    claim: evidence_pb2.Claim, shift: int, origin: evidence_pb2.Origin.ValueType, decision: Decision
) -> evidence_pb2.Claim:
    moved = evidence_pb2.Claim(
        range=_moved(claim.range, shift), refs=claim.refs, support=decision.support, verdict=decision.verdict, origin=origin
    )
    if claim.HasField("highlight"):
        moved.highlight.CopyFrom(_moved(claim.highlight, shift))
    return moved


def _too_large(text: str, name: str, limit: int) -> MeshError:
    return MeshError("REQUEST_TOO_LARGE", text, metadata={name: str(limit)})
