"""What kind of answer a question wants, told by how it begins. English and German; anything else is not told."""

from __future__ import annotations

import re
from typing import TypeAlias

from ragmesh.evidence.v1.search_pb2 import QuestionType

from services.retriever.terms import words

_Type: TypeAlias = QuestionType.ValueType
_FORMS: tuple[tuple[_Type, str], ...] = (
    (
        QuestionType.QUESTION_TYPE_COMPARISON,
        r"\b(?:differences?|compar\w+|versus|vs|better than|same (?:thing )?as|unterschied\w*|vergleich\w*|besser als|"
        r"dasselbe wie)\b",
    ),
    (
        QuestionType.QUESTION_TYPE_QUANTITY,
        r"^(?:\w+ ){0,4}?(?:how (?:much|many|long|often|old|far|fast|big|large|high|strong\w*|pure|common)|when|by how much|"
        r"what (?:percentage|share|year|temperature|dose|amount)|in (?:what|which) year|since when|wie ?viele?|wann|seit wann|"
        r"wie (?:lange|oft|hoch|groß|alt|weit|stark|schnell)|um wie ?viel|welcher anteil)\b",
    ),
    (QuestionType.QUESTION_TYPE_REASON, r"^(?:\w+ ){0,2}?(?:why|how come|what causes?|warum|wieso|weshalb|weswegen)\b"),
    (
        QuestionType.QUESTION_TYPE_DEFINITION,
        r"^(?:what(?:'s| is| are| does)(?! the (?:best|right|maximum|minimum))\b(?: \S+){1,5}(?: mean| stand for)?\W*$|define\b|"
        r"was (?:ist|sind|bedeutet|heißt)(?: \S+){1,5}\W*$|wofür steht\b)",
    ),
    (
        QuestionType.QUESTION_TYPE_PROCEDURE,
        r"^(?:\w+ ){0,2}?(?:how (?:do|can|should|to|is|are|does)|wie (?:kann|soll|sollte|muss|wird|geht))\b",
    ),
    (
        QuestionType.QUESTION_TYPE_ENTITY,
        r"^(?:\w+ ){0,3}?(?:who|whose|which|where|what|wer|wen|wem|wessen|welche[rsnm]?|wo|woher|was)\b",
    ),
    (
        QuestionType.QUESTION_TYPE_YES_NO,
        r"^(?:is|are|was|were|does|do|did|can|could|should|will|would|has|have|may|must|am|ist|sind|war|kann|können|darf|soll|sollte|"
        r"hat|haben|hilft|wird|gibt|macht|muss)\b",
    ),
)
_COMPILED = tuple((kind, re.compile(pattern, re.IGNORECASE)) for kind, pattern in _FORMS)
_KEYWORDS = 6


def question_type(text: str) -> _Type:
    """The type of `text`."""
    plain = text.strip()
    for kind, pattern in _COMPILED:
        if pattern.search(plain):
            return kind
    if not plain.endswith("?") and sum(1 for _ in words(plain)) <= _KEYWORDS:
        return QuestionType.QUESTION_TYPE_KEYWORDS
    return QuestionType.QUESTION_TYPE_UNSPECIFIED
