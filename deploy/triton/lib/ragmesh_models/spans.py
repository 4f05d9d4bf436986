"""Short answers inside a chosen sentence: dates, numbers and names that may be what the question asks for, and their features.

It proposes ranges of characters and describes them; which one is right, and whether any is, the network decides. Questions that ask
for an explanation get no candidates.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ragmesh_models.lexical import stem, words_of
from ragmesh_models.questions import KINDS, Question

MAX_SPANS = 24
TYPES = ("date", "number", "name")
ASKABLE = frozenset(KINDS.index(kind) for kind in ("who", "when", "where", "number", "which", "what", "how"))

_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
_DATE = re.compile(
    rf"\b(?:\d{{1,2}} (?:{_MONTHS})(?: \d{{4}})?|(?:{_MONTHS}) \d{{1,2}}(?:, ?\d{{4}})?|(?:{_MONTHS}) \d{{4}}|"
    r"(?:early |mid-?|late )?(?:1\d|20)\d\ds?|"
    r"(?:early |mid-?|late )?\d{1,2}(?:st|nd|rd|th)(?: and \d{1,2}(?:st|nd|rd|th))? centur(?:y|ies))\b"
)
_WORD_NUMBER = (
    r"(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen|twenty|"
    r"thirty|forty|fifty|sixty|seventy|eighty|ninety|hundreds?|thousands?|millions?|billions?|one|half)"
)
_NUMBER = re.compile(
    rf"(?:[$£€]\s?)?\b(?:\d[\d,]*(?:\.\d+)?|{_WORD_NUMBER}(?:[- ]{_WORD_NUMBER})*)(?:\s?[-–]\s?\d[\d,.]*\d)?"
    r"(?: (?:million|billion|trillion|thousand|hundred))?(?:\s?%|(?: percent| per cent|"
    r"[- ](?:mg|ml|kg|km|miles?|metres?|meters?|feet|years?|months?|weeks?|days?|hours?|"
    r"minutes?|seconds?|people|degrees)\b)(?!-))?",
    re.IGNORECASE,
)
_NAME = re.compile(
    r"\b[A-ZÀ-Þ][\w'’.-]*(?:(?: (?:of|de|van|von|the|and|al|bin|du|la|for) (?:the )?(?=[A-ZÀ-Þ]))| (?=[A-ZÀ-Þ0-9])|"
    r"(?<=\w)-(?=[A-ZÀ-Þ]))?"
    r"(?:[A-ZÀ-Þ0-9][\w'’.-]*(?:(?: (?:of|de|van|von|the|al|bin|du|la|for) (?:the )?(?=[A-ZÀ-Þ]))| (?=[A-ZÀ-Þ0-9]))?)*"
)
_BEFORE = ("by", "in", "at", "of", "called", "named", "was", "is", "from", "to", "the", "about", "with", "than", "as", "and")
_CROSS = len(TYPES) * len(KINDS)
WIDTH = _CROSS + 14 + len(_BEFORE)


@dataclass(frozen=True, slots=True)
class Span:
    start: int  # characters of the sentence
    end: int
    type: int  # index into TYPES


def propose(sentence: str, question: Question) -> list[Span]:
    """Candidate answers, in order; none that only repeats the question."""
    if question.kind not in ASKABLE:
        return []
    found: list[Span] = []
    taken: list[tuple[int, int]] = []
    for kind, pattern in enumerate((_DATE, _NUMBER, _NAME)):
        for match in pattern.finditer(sentence):
            text = match.group().rstrip(" .,'’-")
            start, end = match.start(), match.start() + len(text)
            if not text or any(start < b and a < end for a, b in taken):
                continue
            words = words_of(text)
            if all(s in question.words.stems or stop for s, stop in zip(words.stems, words.stops, strict=True)):
                continue
            taken.append((start, end))
            found.append(Span(start, end, kind))
    return sorted(found, key=lambda span: span.start)[:MAX_SPANS]


def _head(question: Question) -> str:
    """The stem of the first content word after the question word: what is counted or named."""
    for s, stop, surface in zip(question.words.stems, question.words.stops, question.words.surface, strict=True):
        if not stop and not surface[0].isupper():
            return s
    return ""


def describe(sentence: str, spans: list[Span], question: Question) -> NDArray[np.float32]:
    """(spans, WIDTH)"""
    words = words_of(sentence)
    content = set(question.content)
    matched = [i for i, s in enumerate(words.stems) if s in content]
    head = _head(question)
    rows = np.zeros((len(spans), WIDTH), dtype=np.float32)
    same = [sum(other.type == span.type for other in spans) for span in spans]
    for n, span in enumerate(spans):
        inside = [i for i, (a, b) in enumerate(zip(words.starts, words.ends, strict=True)) if a < span.end and span.start < b]
        first, last = (inside[0], inside[-1]) if inside else (0, 0)
        gaps = [min(abs(i - first), abs(i - last)) for i in matched if i not in inside]
        near = min(gaps, default=20)
        after = words.stems[last + 1 : last + 3]
        before = words.surface[first - 1].lower() if first else ""
        body = sentence[span.start : span.end]
        rows[n, span.type * len(KINDS) + question.kind] = 1
        rows[n, _CROSS : _CROSS + 14] = (
            near / 20,
            1 / (1 + near),
            sum(gap <= 4 for gap in gaps) / 4,
            1 / same[n],
            float(n == next(i for i, other in enumerate(spans) if other.type == span.type)),
            float(n == max(i for i, other in enumerate(spans) if other.type == span.type)),
            first / max(1, len(words.stems)),
            min(1.0, len(inside) / 6),
            sum(words.stems[i] in content for i in inside) / max(1, len(inside)),
            float(span.start == 0),
            float(head != "" and (head in after or head in {words.stems[i] for i in inside})),
            float(body[-1].isdigit() and len(body) == 4),
            float(any(i < first for i in matched)),
            float(head == stem("year") and body[:4].isdigit()),
        )
        if before in _BEFORE:
            rows[n, _CROSS + 14 + _BEFORE.index(before)] = 1
    return rows
