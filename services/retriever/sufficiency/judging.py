"""Judges whether evidence holds the answer: a calibrated probability from features, and what follows from it.

Logistic regression over `features`, fitted on searches whose right passage is known, with and without that passage
(docs/search.md says on which and how well). A second set of weights stands in where the reranker took no part. The ladder:

    answer            every part of the question is likely enough to be answered
    answer with a gap  some parts are, others are not
    ask back          the question names nothing that could be searched for
    abstain           nothing is likely enough
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from ragmesh.evidence.v1.search_pb2 import QuestionType

from services.retriever.results import Found, Result
from services.retriever.rewriting.lexicon import Lexicon
from services.retriever.rewriting.plan import Plan
from services.retriever.sufficiency.features import NAMES, features
from services.retriever.terms import terms

_FILE = Path(__file__).with_name("model.json")


class Decision(Enum):
    """What evidence is good for."""

    ANSWER = "answer"
    ANSWER_WITH_GAP = "answer with gap"
    ASK_BACK = "ask back"
    ABSTAIN = "abstain"


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdict on a search."""

    probability: float | None
    """Of the best part; None where nothing was searched for, or the collection's words are not learned yet."""
    decision: Decision
    factors: Mapping[str, float]
    missing: tuple[str, ...]
    """Parts of the question that the evidence lacks."""
    threshold: float


@dataclass(frozen=True, slots=True)
class Weights:
    """Of the features, and what is added."""

    weights: NDArray[np.float64]
    bias: float

    def probability(self, found: NDArray[np.float64]) -> float:
        """Of one vector of features."""
        return 1 / (1 + math.exp(-float(np.clip(found @ self.weights + self.bias, -30, 30))))


@dataclass(frozen=True, slots=True)
class Model:
    """What was fitted."""

    full: Weights
    without_rerank: Weights
    thresholds: Mapping[QuestionType.ValueType, float]
    threshold: float

    @classmethod
    def load(cls, path: Path = _FILE) -> Model:
        """From its file.

        Raises:
            ValueError: it is of other features.
        """
        read = json.loads(path.read_text(encoding="utf-8"))
        if tuple(read["names"]) != NAMES:
            raise ValueError(f"{path.name} was fitted on other features")

        def weights(of: Mapping[str, object]) -> Weights:
            return Weights(np.array(of["weights"], dtype=np.float64), float(str(of["bias"])))

        thresholds = {QuestionType.Value(f"QUESTION_TYPE_{name.upper()}"): value for name, value in read["thresholds"].items()}
        return cls(weights(read), weights(read["without_rerank"]), thresholds, float(read["threshold"]))


@cache
def shipped() -> Model:
    """The model beside this file."""
    return Model.load()


def judge(found: Found, model: Model) -> Judged:
    """The verdict on what a search found."""
    plan = found.plan
    threshold = model.thresholds.get(plan.type, model.threshold)
    if plan.leans:
        return Judged(None, Decision.ASK_BACK, {}, (), threshold)
    if not found.results:
        return Judged(0.0, Decision.ABSTAIN, {}, plan.parts, threshold)
    if not found.lexicon.chunks:
        # Without the words of the collection nobody knows which of the question's are rare: judged from the next search on.
        return Judged(None, Decision.ANSWER, {}, (), threshold)
    judged = [_part(plan, number, found.results, found.lexicon, model) for number in range(len(plan.queries))]
    chances = [chance for chance, _ in judged]
    best = max(range(len(chances)), key=chances.__getitem__)
    missing = tuple(part for part, chance in zip(plan.parts, chances, strict=True) if chance < threshold) if plan.parts else ()
    likely = Decision.ANSWER_WITH_GAP if missing else Decision.ANSWER
    decision = likely if chances[best] >= threshold else Decision.ABSTAIN
    return Judged(chances[best], decision, dict(zip(NAMES, judged[best][1].tolist(), strict=True)), missing, threshold)


def _part(plan: Plan, number: int, results: Sequence[Result], lexicon: Lexicon, model: Model) -> tuple[float, NDArray[np.float64]]:
    own = [result for result in results if result.query == number] if len(plan.queries) > 1 else list(results)
    # What the question leans on and what was added counts less, and is not asked for.
    query = plan.queries[number]
    asked = (
        [term for term, weight in query.terms if weight >= 1]
        if not query.asked
        else list(dict.fromkeys(terms(query.asked, plan.language)))
    )
    vector = features(asked, own, lexicon, plan.language)
    if not own:
        return 0.0, vector
    reranked = any(result.rerank is not None for result in own)
    return (model.full if reranked else model.without_rerank).probability(vector), vector
