"""The engine `reader`: the joint reader and the feature scorer over the same passages, weighed against each other.

The reader's logits are normalised over all passages at once, with "nowhere" as a place of its own at 0; the scorer's list scores
join them in nats. The weights, the calibration and the thresholds were fitted on held-out articles (`reader.json`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragmesh_models.engine import Ranking, Reading, Scored, ShortAnswer, sigmoid
from ragmesh_models.feature_engine import LexicalEngine
from ragmesh_models.reading import NONE, PassageReading, Reader

MOST_READ = 20  # passages of one request; those behind are left to the feature scorer
_FLOOR = -12.0  # of a normalised score, in nats


@dataclass(frozen=True)
class Evidence:
    """What both models say about one request, before it is weighed."""

    lexical: Ranking
    readings: list[PassageReading]
    reader: NDArray[np.float64]  # (sentences,) log share of each sentence among all, and "nowhere"
    listwise: NDArray[np.float64]  # (sentences,) the same of the feature scorer, without "nowhere"
    spans: list[tuple[float, int, int, int] | None]  # per sentence: log share of its best span, passage, start, end
    somewhere: float  # log odds that any sentence is right
    passage: float  # best passage logit
    found: NDArray[np.float64]  # (sentences,) log share of its passage in what the search thought best; 0 where it does not say


def _logit(probability: float) -> float:
    bounded = min(1 - 1e-6, max(1e-6, probability))
    return math.log(bounded / (1 - bounded))


def _log_sum(values: NDArray[np.float64]) -> float:
    top = float(values.max(initial=NONE))
    return top + math.log(float(np.exp(values - top).sum())) if len(values) else NONE


def gather(reader: Reader, lexical: Ranking, reading: Reading) -> Evidence:
    """Runs the reader over the first MOST_READ passages and normalises."""
    readings = reader.read(
        reading.question.text, reading.texts[:MOST_READ], reading.titles[:MOST_READ], reading.passages[:MOST_READ]
    )
    count = len(lexical.sentences)
    totals = np.full(count, NONE)
    spans: list[tuple[float, int, int, int] | None] = [None] * count
    starts = _log_sum(np.concatenate([r.start.astype(np.float64) + r.score for r in readings] or [np.zeros(0)]))
    ends = _log_sum(np.concatenate([r.end.astype(np.float64) + r.score for r in readings] or [np.zeros(0)]))
    best_spans = [r.spans() for r in readings]
    for n, one in enumerate(lexical.sentences):
        number, position = one.candidate.passage, one.candidate.position
        if number >= len(readings) or position >= len(readings[number].sentences):
            continue
        score = readings[number].score
        totals[n] = float(readings[number].sentences[position]) + score
        found = best_spans[number].get(position)
        if found is not None:
            spans[n] = max(2 * _FLOOR, found[0] + 2 * score - starts - ends), number, found[1], found[2]
    everything = _log_sum(np.append(totals, 0.0))
    scores = np.array([one.score for one in lexical.sentences], dtype=np.float64)
    return Evidence(
        lexical,
        readings,
        np.maximum(totals - everything, _FLOOR),
        np.maximum(scores - _log_sum(scores), _FLOOR) if count else scores,
        spans,
        max(_FLOOR, min(-_FLOOR, _log_sum(totals))),
        max((r.score for r in readings), default=_FLOOR),
        _found(lexical, reading),
    )


def _found(lexical: Ranking, reading: Reading) -> NDArray[np.float64]:
    """Of each sentence: log share of its passage in a softmax of the reranker's scores. Without one: as good as the worst."""
    scores = np.array(reading.reranked, dtype=np.float64)
    known = np.isfinite(scores)
    if not known.any():
        return np.zeros(len(lexical.sentences))
    scores = np.where(known, scores, scores[known].min())
    shares = np.maximum(scores - _log_sum(scores), _FLOOR)
    return np.array([shares[one.candidate.passage] for one in lexical.sentences])


def decision_features(evidence: Evidence, scores: NDArray[np.float64]) -> list[float]:
    """What the answerability is read from; `scores` are the weighed sentence scores."""
    order = np.sort(scores)[::-1]
    best = int(scores.argmax()) if len(scores) else -1
    span = max((found[0] for found in evidence.spans if found is not None), default=2 * _FLOOR)
    return [
        evidence.somewhere,
        evidence.passage,
        float(order[0] - order[1]) if len(order) > 1 else 3.0,
        _logit(evidence.lexical.answerable),
        _logit(evidence.lexical.sentences[best].support) if best >= 0 else _FLOOR,
        span,
        math.log(max(1, len(scores))),
    ]


def span_features(share: float, score: float, answerable: float) -> list[float]:
    return [share, score, _logit(answerable)]


def linear(weights: Sequence[float], values: Sequence[float]) -> float:
    """The last weight is the bias."""
    return float(np.dot(weights[:-1], values)) + weights[-1]


class ReaderEngine:
    """The joint reader beside the feature scorer."""

    def __init__(self, reader: Reader, lexical: LexicalEngine) -> None:
        self._reader = reader
        self._lexical = lexical
        self._config: dict[str, Any] = reader.config

    def rank(self, reading: Reading) -> Ranking:
        config = self._config
        lexical = self._lexical.rank(reading)
        threshold, span_threshold = float(config["threshold"]), float(config["span_threshold"])
        if not lexical.sentences:
            return Ranking(0.0, threshold, span_threshold, [], None)
        evidence = gather(self._reader, lexical, reading)
        scores = weigh(evidence, config["sentence"])
        believed = linear(config["decision"], decision_features(evidence, scores))
        answerable = sigmoid(believed)
        # One passage alone has no other to be compared with: it is believed less, in whether to answer, not in what.
        decided = sigmoid(believed + float(config["alone"])) if len(reading.texts) == 1 else answerable
        # Which passage the search thought best decides between sentences, not whether there is an answer: it always has a best.
        ranks = scores + float(config["found"]) * evidence.found
        sentences: list[Scored] = []
        whole: tuple[float, ShortAnswer] | None = None
        for n, one in enumerate(lexical.sentences):
            found, short = evidence.spans[n], None
            if found is not None:
                probability = sigmoid(linear(config["span"], span_features(found[0], float(scores[n]), answerable)))
                short = ShortAnswer(found[1], found[2], found[3], probability)
                rank = found[0] + float(config["span_sentence"]) * float(ranks[n])
                if whole is None or rank > whole[0]:
                    whole = rank, short
            support = sigmoid(linear(config["support"], [float(scores[n]), _logit(answerable)]))
            sentences.append(Scored(one.candidate, float(ranks[n]), support, short))
        return Ranking(decided, threshold, span_threshold, sentences, whole[1] if whole else None)


def weigh(evidence: Evidence, weights: Sequence[float]) -> NDArray[np.float64]:
    """(sentences,) reader and feature scorer in one score."""
    return weights[0] * evidence.reader + weights[1] * evidence.listwise
