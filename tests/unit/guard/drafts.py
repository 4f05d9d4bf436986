"""Drafts for tests of the output check: evidence with spans, segments and claims whose ranges are found, not counted by hand."""

from __future__ import annotations

from dataclasses import dataclass, field

from ragmesh.evidence.v1 import evidence_pb2 as ev
from ragmesh.evidence.v1.text_pb2 import TextRange

DOCUMENT = "collections/default/documents/sample"
CANONICAL = (
    "# Café Müller\n\nDas Café — das älteste in Zürich — öffnete 1911. 🥐 Croissants kosten 3 €.\n\n"
    "## Später\n\nHeute hat es 42 Plätze. Niemand weiß, warum.\n"
)
"""The canonical text of a document; every offset behind `é` differs between characters and bytes."""


def canonical(words: str) -> TextRange:
    """Where `words` stand in the canonical text, in bytes."""
    start = CANONICAL.encode().index(words.encode())
    return TextRange(start=start, end=start + len(words.encode()))


def evidence(name: str, *parts: str) -> ev.Evidence:
    """A passage made of `parts` of the canonical text."""
    return ev.Evidence(
        name=name,
        chunk=f"{DOCUMENT}/versions/1/chunks/{name}",
        document=DOCUMENT,
        document_version=f"{DOCUMENT}/versions/1",
        title_path=["Café Müller"],
        text="".join(parts),
        spans=[canonical(part) for part in parts],
    )


FIRST = "Das Café — das älteste in Zürich — öffnete 1911. 🥐 Croissants kosten 3 €."
SECOND = "Heute hat es 42 Plätze."
EVIDENCE = (evidence("e1", FIRST), evidence("e2", "## Später\n\n", SECOND))


def ref(name: str, *quotes: str) -> ev.EvidenceRef:
    return ev.EvidenceRef(evidence=name, quotes=[canonical(quote) for quote in quotes])


@dataclass
class DraftWriter:
    """Writes a draft segment by segment, as a generator would."""

    size: int = 0
    texts: list[str] = field(default_factory=list)

    def copied(self, text: str, *refs: ev.EvidenceRef, joint: str = "", highlight: str = "") -> ev.Segment:
        """`joint` then `text`, claimed to be a copy of what `refs` cite."""
        start = self._add(joint + text) + len(joint.encode())
        claim = ev.Claim(range=TextRange(start=start, end=self.size), refs=refs, origin=ev.ORIGIN_COPIED)
        if highlight:
            first = start + text.encode().index(highlight.encode())
            claim.highlight.CopyFrom(TextRange(start=first, end=first + len(highlight.encode())))
        return self._segment(joint + text, ev.ORIGIN_COPIED, [claim])

    def composed(self, text: str, *refs: ev.EvidenceRef, joint: str = "") -> ev.Segment:
        start = self._add(joint + text) + len(joint.encode())
        claim = ev.Claim(range=TextRange(start=start, end=self.size), refs=refs, origin=ev.ORIGIN_COMPOSED)
        return self._segment(joint + text, ev.ORIGIN_COMPOSED, [claim])

    def template(self, text: str, template_id: str, joint: str = "") -> ev.Segment:
        self._add(joint + text)
        segment = self._segment(joint + text, ev.ORIGIN_TEMPLATE, [])
        segment.template_id = template_id
        return segment

    def _add(self, text: str) -> int:
        start = self.size
        self.size += len(text.encode())
        self.texts.append(text)
        return start

    def _segment(self, text: str, origin: ev.Origin.ValueType, claims: list[ev.Claim]) -> ev.Segment:
        return ev.Segment(range=TextRange(start=self.size - len(text.encode()), end=self.size), origin=origin, claims=claims)
