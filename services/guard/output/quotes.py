"""Evidence as something that can be quoted: canonical coordinates of a document mapped to the bytes of a passage.

Knows spans and UTF-8; not drafts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ragmesh.evidence.v1.evidence_pb2 import Evidence, EvidenceRef
from ragmesh.evidence.v1.text_pb2 import TextRange


class QuoteError(ValueError):
    """A reference does not resolve; the message says why, without any text."""


def on_boundaries(data: bytes, start: int, end: int) -> bool:
    """Whether [start, end) lies inside UTF-8 `data` with both ends on code point boundaries."""
    return 0 <= start <= end <= len(data) and all(place == len(data) or data[place] & 0xC0 != 0x80 for place in (start, end))


class Passage:
    """One Evidence.

    Raises:
        QuoteError: `spans` are not in order or do not add up to `text`.
    """

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self._data = evidence.text.encode()
        self._spans: list[tuple[int, int, int]] = []
        offset = 0
        reached = 0
        for span in evidence.spans:
            if span.start < reached or span.end <= span.start:
                raise QuoteError("the spans of the evidence are not in order")
            self._spans.append((span.start, span.end, offset))
            offset += span.end - span.start
            reached = span.end
        if offset != len(self._data):
            raise QuoteError("the spans of the evidence do not add up to its text")

    def cut(self, quotes: Iterable[TextRange]) -> bytes:
        """The words at `quotes`, ranges of the canonical text, joined in their order.

        Raises:
            QuoteError: a quote leaves the spans, is empty, or splits a code point.
        """
        return b"".join(self._one(quote.start, quote.end) for quote in quotes)

    def _one(self, start: int, end: int) -> bytes:
        if start >= end:
            raise QuoteError("a quote is empty")
        pieces = []
        for first, last, offset in self._spans:
            if first <= start < last:
                stop = min(end, last)
                begin = offset + start - first
                pieces.append((begin, begin + stop - start))
                start = stop
                if start == end:
                    break
        if start != end:
            raise QuoteError("a quote lies outside of the evidence")
        if not all(on_boundaries(self._data, *piece) for piece in (pieces[0], pieces[-1])):
            raise QuoteError("a quote splits a code point")
        return b"".join(self._data[begin:stop] for begin, stop in pieces)


class Passages:
    """All evidence of a turn, by name.

    Raises:
        QuoteError: two have one name, or one is not sound.
    """

    def __init__(self, evidence: Sequence[Evidence]) -> None:
        self._by_name = {item.name: Passage(item) for item in evidence}
        if len(self._by_name) != len(evidence):
            raise QuoteError("two passages have one name")

    def __len__(self) -> int:
        return len(self._by_name)

    def named(self, names: Iterable[str]) -> list[Evidence]:
        """The evidence of these names, all of it where none is named; names that there are not are passed over."""
        wanted = list(dict.fromkeys(names)) or list(self._by_name)
        return [self._by_name[name].evidence for name in wanted if name in self._by_name]

    def cited(self, ref: EvidenceRef) -> bytes:
        """The words that `ref` cites.

        Raises:
            QuoteError: it does not resolve.
        """
        passage = self._by_name.get(ref.evidence)
        if passage is None:
            raise QuoteError("a reference names no evidence of this turn")
        return passage.cut(ref.quotes)
