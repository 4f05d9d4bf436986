"""Evidence without the sentences that are only quoted: what an engine may read and the guard counts as evidence.

A passage that gives orders to an assistant may be found where the policy says so (DOCUMENT_ACTION_QUOTE). Its orders stay where
they are for a reader; for whoever reads on behalf of the assistant there are as many spaces in their place, so that no range moves.
"""

from __future__ import annotations

from collections.abc import Iterable

from ragmesh.evidence.v1.evidence_pb2 import Evidence


def without_quoted(evidence: Iterable[Evidence]) -> list[Evidence]:
    """`evidence` with spaces in the place of what is quoted, byte for byte; the same object where nothing is."""
    return [_blanked(item) if item.quoted else item for item in evidence]


def _blanked(evidence: Evidence) -> Evidence:
    text = evidence.text.encode()
    offset = 0  # of the current span inside `text`, which is the concatenation of all spans
    for span in evidence.spans:
        for part in evidence.quoted:
            first, last = max(part.start, span.start), min(part.end, span.end)
            if first < last:
                start, end = offset + first - span.start, offset + last - span.start
                # A range that cuts a character takes all of it.
                while start > 0 and text[start] & 0xC0 == 0x80:
                    start -= 1
                while end < len(text) and text[end] & 0xC0 == 0x80:
                    end += 1
                text = text[:start] + b" " * (end - start) + text[end:]
        offset += span.end - span.start
    made = Evidence()
    made.CopyFrom(evidence)
    made.text = text.decode()
    return made
