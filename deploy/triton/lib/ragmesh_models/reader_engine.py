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

from ragmesh_models.engine import Ranking, Reading, Scored, ShortAnswer, is_real_sentence, sigmoid
from ragmesh_models.feature_engine import LexicalEngine
from ragmesh_models.reading import NONE, PassageReading, Reader

MOST_READ = 20  # passages of one request; those behind are left to the feature scorer
_FLOOR = -12.0  # of a normalised score, in nats
_MOST_RERANKED = 30.0
_NEAR = 0.1  # of further sentences of the best one's passage, which is cited already
_SURE = 0.95  # that the best of a searched list is right; below it a second sentence is shown with it


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
    reranked: float | None  # the reranker's best score; None where it was not asked


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
        max((score for score in reading.reranked if math.isfinite(score)), default=None),
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


def searched_features(evidence: Evidence, best: int) -> list[float]:
    """What a searched list is decided by: log odds of the passage of `best`, the reranker's best score, the reader's log share of
    `best`, the feature scorer's log odds of any answer. `best` is the sentence that would be shown.

    Raises:
        ValueError: the reranker was not asked.
    """
    if evidence.reranked is None:
        raise ValueError("these passages were not reranked")
    number = evidence.lexical.sentences[best].candidate.passage
    odds = evidence.readings[number].odds if number < len(evidence.readings) else _FLOOR
    return [
        max(_FLOOR, min(-_FLOOR, odds)),
        max(-_MOST_RERANKED, min(_MOST_RERANKED, evidence.reranked)),
        float(evidence.reader[best]),
        _logit(evidence.lexical.answerable),
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
        ranks = scores + float(config["found"]) * evidence.found
        sure = 0.0
        if evidence.reranked is not None and "searched" in config:
            # How good the best is that a search found says more about whether its best sentence is right than the text alone does.
            best = shown_first(ranks, lexical)
            decided = sigmoid(linear(config["searched"], searched_features(evidence, best)))
            threshold, sure = float(config["searched_threshold"]), _SURE
        else:
            # One passage alone has no other to be compared with: it is believed less, in whether to answer, not in what.
            decided = sigmoid(believed + float(config["alone"])) if len(reading.texts) == 1 else answerable
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
        return Ranking(decided, threshold, span_threshold, sentences, whole[1] if whole else None, _NEAR, sure)


def shown_first(ranks: NDArray[np.float64], lexical: Ranking) -> int:
    """Index of the sentence that stands first: the best real one, where there is one."""
    real = np.array([is_real_sentence(one.candidate) for one in lexical.sentences])
    return int(np.where(real | ~real.any(), ranks, -np.inf).argmax())


def weigh(evidence: Evidence, weights: Sequence[float]) -> NDArray[np.float64]:
    """(sentences,) reader, feature scorer and, where there is a third weight, the best span of each sentence in one score."""
    scores = weights[0] * evidence.reader + weights[1] * evidence.listwise
    if len(weights) > 2:
        shares = [_FLOOR if span is None else max(_FLOOR, span[0]) for span in evidence.spans]
        scores = scores + weights[2] * np.array(shares, dtype=np.float64)
    return np.asarray(scores)
