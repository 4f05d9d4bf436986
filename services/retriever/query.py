"""What is searched for: the terms and the text of a question, with the question before it where it only makes sense with that.

"What about its side effects?" names nothing to search for. Where a question refers back, the words of the last user utterance join
its own at half their weight. Knows no index.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ragmesh.evidence.v1.text_pb2 import Role, Utterance

from services.retriever.terms import terms

HISTORY_WEIGHT = 0.5
MAX_TERMS = 128

# "It" and "that" often refer to nothing ("Is it legal to buy CBD oil in Germany?", "evidence that it works"): they count as
# references only in a question that says little else.
_REFERS_BACK = re.compile(
    r"\b(?:it|its|they|them|their|theirs|he|she|him|his|her|hers|this|that|these|those|the former|the latter|the same)\b"
    r"|^(?:and|but|so|or|then|what about|how about|what else|anything else)\b",
    re.IGNORECASE,
)
_FEW_TERMS = 3


@dataclass(frozen=True, slots=True)
class Query:
    """What both legs get."""

    text: str
    """For the embedder."""
    terms: tuple[tuple[str, float], ...]
    """Terms with their weights, each once. Empty: there is nothing to search for."""


def make_query(question: str, history: Sequence[Utterance]) -> Query:
    """The query behind a question.

    Args:
        history: the conversation so far, oldest first, without the question.
    """
    weights = dict.fromkeys(terms(question), 1.0)
    text = question
    before = _last_question(history)
    refers = len(weights) <= _FEW_TERMS and _REFERS_BACK.search(question) is not None
    if before and (refers or len(weights) <= 1):
        for term in terms(before):
            weights.setdefault(term, HISTORY_WEIGHT)
        text = f"{before}\n{question}"
    return Query(text, tuple(weights.items())[:MAX_TERMS])


def _last_question(history: Sequence[Utterance]) -> str:
    return next((said.text for said in reversed(history) if said.role != Role.ROLE_ASSISTANT and terms(said.text)), "")
