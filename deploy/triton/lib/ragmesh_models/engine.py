"""What an engine of the answerer is: it scores sentences and short answers, and says how likely there is an answer at all.

`Reading` is what is read of a request, passage by passage; `Engine` turns it into a `Ranking`; which of the sentences are shown is
not an engine's business (`answering`). All ranges here are in characters. This module does not know a model.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ragmesh_models.features import Candidate, Passage, read_passage
from ragmesh_models.questions import Question
from ragmesh_models.sentences import SentenceKind


@dataclass
class Reading:
    """A question and the passages read so far."""

    question: Question
    texts: list[str] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    retrieval: list[tuple[float, float, float]] = field(default_factory=list)
    """Of each passage: dense, sparse and fused score of the search; NaN where a leg did not bring it."""
    reranked: list[float] = field(default_factory=list)
    """Of each passage: the reranker's score; NaN where it was not asked."""
    passages: list[Passage] = field(default_factory=list)
    known: Callable[[str, str], Passage | None] = lambda text, title: None
    """Text and title to the passage taken apart, where that was done lately."""

    def add(
        self, text: str, title: str, scores: tuple[float, float, float] = (np.nan, np.nan, np.nan), reranked: float = np.nan
    ) -> None:
        number, before = len(self.passages), self.known(text, title)
        self.passages.append(before.numbered(number) if before is not None else read_passage(text, title, number))
        self.texts.append(text)
        self.titles.append(title)
        self.retrieval.append(scores)
        self.reranked.append(reranked)

    def retrieval_scores(self) -> NDArray[np.float32]:
        """(passages, 3)"""
        return np.asarray(self.retrieval, dtype=np.float32).reshape(-1, 3)

    def candidates(self) -> list[Candidate]:
        """All sentences, passage by passage, in reading order."""
        return [candidate for passage in self.passages for candidate in passage.candidates]

    def body(self, candidate: Candidate) -> str:
        return self.texts[candidate.passage][candidate.start : candidate.end]


@dataclass(frozen=True, slots=True)
class ShortAnswer:
    """A range of a passage that may be the whole answer."""

    passage: int
    start: int
    end: int
    probability: float


@dataclass(frozen=True, slots=True)
class Scored:
    """One sentence as an engine sees it."""

    candidate: Candidate
    score: float
    """Higher is better, comparable inside one ranking; in nats, so that a difference is a log of a ratio of probabilities."""
    support: float
    """Calibrated probability that the sentence answers the question."""
    short: ShortAnswer | None
    """The best short answer of the sentence, if it has any candidate; its probability is that of the span in this sentence."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """What an engine makes of one reading."""

    answerable: float
    """Calibrated probability that the passages hold the answer."""
    threshold: float
    """Below it the question is not answered."""
    span_threshold: float
    """Below it a short answer is not shown."""
    sentences: list[Scored]
    """In reading order; those that the engine did not look at are left out."""
    short: ShortAnswer | None
    """The best short answer over all passages; its probability is that it is right."""
    near: float = 0.5
    """A further sentence of the best one's passage is shown from this part of the best one's share on."""
    sure: float = 0.0
    """Below this probability a best sentence does not stand alone."""


class Engine(Protocol):
    """Scores what was read. Holds no state of a request; `rank` may be called from one thread at a time."""

    def rank(self, reading: Reading) -> Ranking: ...


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-max(-40.0, min(40.0, x))))


def is_real_sentence(candidate: Candidate) -> bool:
    """Neither a heading, a table row, a question, nor a bullet without a verb."""
    _, _, asks, verb, *_ = candidate.flags
    if asks or candidate.kind in (SentenceKind.HEADING, SentenceKind.TABLE) or len(candidate.words.stems) < 3:
        return False
    return candidate.kind is SentenceKind.PROSE or bool(verb)
