"""What is searched for: the terms with their weights, and the text for the embedder. Knows no index and no rule of rewriting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from services.retriever.terms import terms

BEFORE_WEIGHT = 0.5
"""Of words that only the question before has. The reranker weighs them alike."""
OTHER_ANALYSIS_WEIGHT = 0.5
"""Of a word as the rules of another language stem it, where the collection holds text of both."""
MAX_TERMS = 128


@dataclass(frozen=True, slots=True)
class Query:
    """What both legs get."""

    text: str
    """For the embedder and the reranker; what it leans on stands in the line above the question."""
    terms: tuple[tuple[str, float], ...]
    """Terms with their weights, each once. Empty: there is nothing to search for."""
    asked: str = ""
    """The question that its passages are to answer, where its text is another; the reranker reads it."""
    named: str = ""
    """What the reranker reads instead: the same with other names in brackets, where the collection has any."""


def make_query(
    question: str,
    *,
    before: str = "",
    added: Mapping[str, float] | None = None,
    language: str = "en",
    also: Iterable[str] = (),
) -> Query:
    """The query behind a question.

    Args:
        before: what the question leans on.
        added: words beside the question's own, each with its weight.
        language: by whose rules words are stemmed.
        also: other languages of the collection; stems that only their rules make count less.
    """
    weights = dict.fromkeys(terms(question, language), 1.0)
    for term in terms(before, language):
        weights.setdefault(term, BEFORE_WEIGHT)
    for word, weight in (added or {}).items():
        for term in terms(word, language):
            weights.setdefault(term, weight)
    for other in also:
        for text, weight in ((question, 1.0), (before, BEFORE_WEIGHT)):
            for term in terms(text, other):
                weights.setdefault(term, weight * OTHER_ANALYSIS_WEIGHT)
    text = f"{before}\n{question}" if before else question
    return Query(text, tuple(weights.items())[:MAX_TERMS])
