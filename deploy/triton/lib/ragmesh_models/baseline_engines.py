"""The engines `overlap` and `first`: nothing is trained in them. They are the rows that everything trained is compared with.

Both take as short answer the first date, number or name of a sentence that the question does not hold itself, of the sort that it
asks for where it asks for one. They are never sure of it: its probability is 0.
"""

from __future__ import annotations

import math

from ragmesh_models import spans
from ragmesh_models.engine import Ranking, Reading, Scored, ShortAnswer, is_real_sentence
from ragmesh_models.features import Candidate
from ragmesh_models.questions import KINDS, Question

OVERLAP_THRESHOLD = 0.5
"""A question is answered where one sentence holds half of the weight of its words."""
_NEVER = 2.0  # a span threshold that no probability reaches
_SORTS = {"who": "name", "where": "name", "when": "date", "number": "number"}


def _short(reading: Reading, candidate: Candidate) -> ShortAnswer | None:
    found = spans.propose(reading.body(candidate), reading.question)
    sort = _SORTS.get(KINDS[reading.question.kind])
    fitting = [span for span in found if sort is None or spans.TYPES[span.type] == sort] or found
    if not fitting:
        return None
    start = candidate.start
    return ShortAnswer(candidate.passage, start + fitting[0].start, start + fitting[0].end, 0.0)


def _ranking(answerable: float, threshold: float, sentences: list[Scored]) -> Ranking:
    """The best short answer is that of the best sentence that has one."""
    best = sorted((one for one in sentences if is_real_sentence(one.candidate)), key=lambda one: -one.score)
    short = next((one.short for one in best if one.short is not None), None)
    return Ranking(answerable, threshold, _NEVER, sentences, short)


def _overlap(question: Question, candidate: Candidate) -> float:
    """Which part of the weight of the question's words the sentence holds, 0 to 1."""
    return sum(weight for stemmed, weight in question.weights.items() if stemmed in candidate.counts) / question.total


class OverlapEngine:
    """The sentence that shares most with the question, by inverse document frequency; among equals the first."""

    def rank(self, reading: Reading) -> Ranking:
        sentences = []
        for candidate in reading.candidates():
            share = _overlap(reading.question, candidate)
            sentences.append(Scored(candidate, math.log(share + 1e-3), share, _short(reading, candidate)))
        answerable = max((one.support for one in sentences if is_real_sentence(one.candidate)), default=0.0)
        return _ranking(answerable, OVERLAP_THRESHOLD, sentences)


class FirstEngine:
    """The first real sentence, then the second; every question is answered."""

    def rank(self, reading: Reading) -> Ranking:
        candidates = reading.candidates()
        sentences = [Scored(one, -float(n), 1.0, _short(reading, one)) for n, one in enumerate(candidates)]
        return _ranking(1.0 if candidates else 0.0, 0.0, sentences)
