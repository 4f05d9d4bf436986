"""What a detector hands back, and which of two that overlap is kept."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass

from ragmesh.guard.v1.pii_pb2 import PiiKind

SECRETS = frozenset(
    {
        PiiKind.PII_KIND_API_KEY,
        PiiKind.PII_KIND_PRIVATE_KEY,
        PiiKind.PII_KIND_ACCESS_TOKEN,
        PiiKind.PII_KIND_PASSWORD,
    }
)


@dataclass(frozen=True, slots=True)
class PiiMatch:
    """Personal data or a secret in a text."""

    kind: PiiKind.ValueType
    start: int
    """In code points of the text; `end` is one past the last."""
    end: int
    score: float
    """0.5 to 1: 0.99 where a check of two digits or more holds, less where form and neighbouring words speak for it."""
    detector: str
    """Which detector found it: `iban`, `pl_pesel`, `github`."""


def kept(found: Iterable[PiiMatch]) -> list[PiiMatch]:
    """Of those that overlap the surest, of equals the longest; in the order of the text."""
    chosen: list[PiiMatch] = []  # in the order of the text, without overlaps: only the two neighbours can be in the way
    for match in sorted(found, key=lambda item: (-item.score, item.start - item.end, item.start)):
        at = bisect_left(chosen, match.start, key=lambda item: item.start)
        if (at == 0 or chosen[at - 1].end <= match.start) and (at == len(chosen) or match.end <= chosen[at].start):
            chosen.insert(at, match)
    return chosen
