"""What rewriting takes and gives: a question with its conversation, and the queries that it becomes. Plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from ragmesh.evidence.v1.search_pb2 import QuestionType, RewriteKind
from ragmesh.evidence.v1.text_pb2 import Utterance

from services.retriever.query import Query

Kind: TypeAlias = RewriteKind.ValueType


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between the question and what is searched for."""

    kind: Kind
    before: str
    """The words that were changed or added to; empty: the question as a whole."""
    after: str
    weight: float | None = None
    """Of what was added, beside 1 of the question's own words; None where words were replaced."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as it came."""

    question: str
    history: Sequence[Utterance] = ()
    """The conversation before it, oldest first."""
    subject: str = ""
    """What the assistant is about."""
    language: str = ""
    """BCP-47 tag, as the guard found it; empty or `und` where it is not known."""
    without: frozenset[Kind] = frozenset()
    """Ways of rewriting that are left out."""
    reformulate: bool = False
    """A search before this one was not sufficient."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is searched for."""

    text: str
    """The question after all rewriting, as it may be shown and answered."""
    queries: tuple[Query, ...]
    """One, or one for each part."""
    parts: tuple[str, ...] = ()
    """The parts' texts where there are several."""
    changes: tuple[Change, ...] = ()
    language: str = "und"
    type: QuestionType.ValueType = QuestionType.QUESTION_TYPE_UNSPECIFIED
    leans: bool = field(default=False)
    """The question names nothing, and nothing was there to complete it from."""
    whole: Query | None = None
    """The question as one, where there are several parts: it says which part's best comes first."""
