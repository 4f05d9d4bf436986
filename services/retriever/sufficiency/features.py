"""What a search knows about whether it found the answer: coverage of the question, scores of the steps, volume. Pure.

Coverage is weighted by rarity in the collection: a question whose rarest word stands nowhere near the others is seldom answered.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from services.retriever.compression.selecting import sentence_ranges
from services.retriever.results import Result
from services.retriever.rewriting.lexicon import Lexicon
from services.retriever.terms import terms

NAMES = (
    "coverage_first",
    "coverage_best",
    "coverage_together",
    "coverage_sentence",
    "coverage_title",
    "rarest_missing",
    "unknown_share",
    "dense_best",
    "sparse_share",
    "rerank_best",
    "rerank_gap",
    "rerank_spread",
    "legs_agree",
    "volume",
    "question_terms",
)
READ = 5
"""Passages that are looked into."""
_FULL = 0.5  # coverage from which on a passage counts as being about the question
_BM25_K1 = 0.9


def features(asked: Sequence[str], results: Sequence[Result], lexicon: Lexicon, language: str) -> NDArray[np.float64]:
    """(len(NAMES),), each about 0 to 1 but the reranker's.

    Args:
        asked: terms of the question, each once.
        results: of one query, best first.
    """
    weights = {term: lexicon.rarity(term) for term in asked}
    total = sum(weights.values()) or 1.0

    def covered(held: frozenset[str]) -> float:
        return sum(weight for term, weight in weights.items() if term in held) / total

    read = [_read(tuple(one.chunk.title_path), one.chunk.text, language) for one in results[:READ]]
    texts = [one.text for one in read]
    together = frozenset().union(*texts)
    best = max((covered(held) for held in texts), default=0.0)
    missing = [weight for term, weight in weights.items() if term not in together]
    reranked = [one.rerank for one in results if one.rerank is not None]
    dense = [one.dense for one in results if one.dense is not None]
    sparse = [one.sparse for one in results if one.sparse is not None]
    values = {
        "coverage_first": covered(texts[0]) if texts else 0.0,
        "coverage_best": best,
        "coverage_together": covered(together),
        "coverage_sentence": max((covered(held) for one in read for held in one.sentences), default=0.0),
        "coverage_title": max((covered(one.title) for one in read), default=0.0),
        "rarest_missing": max(missing, default=0.0) / max(weights.values(), default=1.0),
        "unknown_share": sum(weight for term, weight in weights.items() if term not in lexicon.stems) / total,
        "dense_best": max(dense, default=0.0),
        "sparse_share": max(sparse, default=0.0) / (total * (1 + _BM25_K1)),
        "rerank_best": max(reranked, default=0.0) / 10,
        "rerank_gap": (reranked[0] - reranked[1]) / 10 if len(reranked) > 1 else 0.0,
        "rerank_spread": (reranked[0] - float(np.mean(reranked[:10]))) / 10 if reranked else 0.0,
        "legs_agree": _agree(results),
        "volume": math.log1p(sum(covered(held) >= _FULL for held in texts)) / math.log1p(READ),
        "question_terms": min(1.0, len(asked) / 10),
    }
    return np.array([values[name] for name in NAMES], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class _Read:
    """What a passage says: terms of the whole with its title, of the title, of each sentence."""

    text: frozenset[str]
    title: frozenset[str]
    sentences: tuple[frozenset[str], ...]


# The same passages are found again and again; taking one apart takes longer than all that is asked of it. Some 20 KB each.
@lru_cache(maxsize=512)
def _read(title_path: tuple[str, ...], text: str, language: str) -> _Read:
    data = text.encode()
    title = frozenset(terms("\n".join(title_path), language))
    # Sentences are together all of the text.
    sentences = tuple(frozenset(terms(data[start:end].decode(), language)) for start, end in sentence_ranges(text))
    return _Read(title.union(*sentences), title, sentences)


def _agree(results: Sequence[Result]) -> float:
    """Whether both legs have the same document first."""
    dense = max(results, key=lambda one: one.dense if one.dense is not None else -1.0, default=None)
    sparse = max(results, key=lambda one: one.sparse if one.sparse is not None else -1.0, default=None)
    return float(dense is not None and sparse is not None and dense.chunk.document_id == sparse.chunk.document_id)
