"""Drafts: from what the answerer picks, or from a reviewed text, to the steps of `StreamGenerate`.

Knows coordinates (passage -> canonical text of the document, sentence -> draft) and the order of steps; no model and no wire.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ragmesh.evidence.v1 import evidence_pb2
from ragmesh.evidence.v1.text_pb2 import TextRange
from ragmesh.generator.v1 import generator_service_pb2 as pb

from services.generator.models import Picked

_JOINT = " "


class OutsideEvidenceError(ValueError):
    """A range does not lie inside the passage that it is said to lie in: a defect of the model."""


def canonical_ranges(evidence: evidence_pb2.Evidence, begin: int, end: int) -> list[TextRange]:
    """Where bytes [begin, end) of `evidence.text` stand in the canonical text of its document.

    Raises:
        OutsideEvidenceError: the range does not lie inside the text.
    """
    found = []
    offset = 0  # of the current span inside `text`, which is the concatenation of all spans
    for span in evidence.spans:
        length = span.end - span.start
        first, last = max(begin, offset), min(end, offset + length)
        if first < last:
            found.append(TextRange(start=span.start + first - offset, end=span.start + last - offset))
        offset += length
    if not 0 <= begin < end <= offset:
        raise OutsideEvidenceError(f"bytes {begin}-{end} of a passage of {offset}")
    return found


class Draft:
    """The text of a draft as it grows, and its segments."""

    def __init__(self) -> None:
        self._size = 0
        self.parts: list[str] = []
        """The segments' texts, in order."""

    def _add(self, text: str) -> tuple[pb.StreamGenerateResponse, TextRange, int]:
        joint = _JOINT if self.parts else ""
        whole = joint + text
        part = TextRange(start=self._size, end=self._size + len(whole.encode()))
        self._size = part.end
        self.parts.append(text)
        step = pb.StreamGenerateResponse(text=pb.GeneratedText(text=whole))
        return step, part, part.start + len(joint.encode())

    def template(self, template_id: str, text: str) -> Iterator[pb.StreamGenerateResponse]:
        """A reviewed text as one segment."""
        step, part, _ = self._add(text)
        yield step
        segment = evidence_pb2.Segment(range=part, origin=evidence_pb2.ORIGIN_TEMPLATE, template_id=template_id)
        yield pb.StreamGenerateResponse(segment_end=segment)

    def copied(self, evidence: Sequence[evidence_pb2.Evidence], picked: Picked) -> Iterator[pb.StreamGenerateResponse]:
        """A sentence of the evidence as one segment with one claim. The joint before it is not part of the claim.

        Raises:
            OutsideEvidenceError: the sentence does not lie inside its passage.
        """
        if not 0 <= picked.passage < len(evidence):
            raise OutsideEvidenceError(f"passage {picked.passage} of {len(evidence)}")
        source = evidence[picked.passage]
        begin, end = picked.sentence
        quotes = canonical_ranges(source, begin, end)
        step, part, start = self._add(source.text.encode()[begin:end].decode())
        claim = evidence_pb2.Claim(
            range=TextRange(start=start, end=part.end),
            refs=[evidence_pb2.EvidenceRef(evidence=source.name, quotes=quotes)],
            support=evidence_pb2.SUPPORT_FULL,
            origin=evidence_pb2.ORIGIN_COPIED,
        )
        if picked.span is not None and begin <= picked.span[0] < picked.span[1] <= end:
            highlight = TextRange(start=start + picked.span[0] - begin, end=start + picked.span[1] - begin)
            claim.highlight.CopyFrom(highlight)
        yield step
        segment = evidence_pb2.Segment(range=part, origin=evidence_pb2.ORIGIN_COPIED, claims=[claim])
        yield pb.StreamGenerateResponse(segment_end=segment)
