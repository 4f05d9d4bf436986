"""Sufficiency: features mean what they say, and the ladder follows from the probability of each part."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ragmesh.evidence.v1.search_pb2 import QuestionType

from services.retriever.query import Query
from services.retriever.records import DocumentKey, FoundChunk
from services.retriever.results import Found, Result
from services.retriever.rewriting.lexicon import Lexicon
from services.retriever.rewriting.plan import Plan
from services.retriever.sufficiency.features import NAMES, features
from services.retriever.sufficiency.judging import Decision, Model, Weights, judge, shipped

LEXICON = Lexicon(chunks=100, words={"cannabidiol": 60, "epidiolex": 3, "sesame": 2, "oil": 20, "base": 4})


def result(
    number: int, text: str, *, rerank: float | None = None, query: int = 0, dense: float = 0.5, sparse: float = 3.0
) -> Result:
    key = DocumentKey("t", "c", f"d{number}")
    chunk = FoundChunk(number, f"k{number}", number, key, "v", 0, ("Oils",), text, 0, len(text.encode()), "")
    return Result(chunk, dense, sparse, 1.0, rerank, query)


def of(asked: list[str], results: list[Result]) -> dict[str, float]:
    return dict(zip(NAMES, features(asked, results, LEXICON, "en").tolist(), strict=True))


def model(bias: float = 0.0, **weights: float) -> Model:
    made = Weights(np.array([weights.get(name, 0.0) for name in NAMES]), bias)
    without = Weights(np.zeros(len(NAMES)), -5.0)
    return Model(made, without, {QuestionType.QUESTION_TYPE_DEFINITION: 0.9}, 0.3)


def test_coverage_counts_rare_words_more() -> None:
    rare = of(["epidiolex", "cannabidiol"], [result(1, "Epidiolex contains oil.")])
    common = of(["epidiolex", "cannabidiol"], [result(1, "Cannabidiol is an oil.")])
    assert 0.5 < rare["coverage_first"] < 1
    assert common["coverage_first"] == pytest.approx(1 - rare["coverage_first"])
    assert (common["rarest_missing"], rare["rarest_missing"] < 1) == (1.0, True)


def test_passages_together_may_cover_what_none_does_alone() -> None:
    found = of(["epidiolex", "sesam"], [result(1, "Epidiolex was approved."), result(2, "Sesame grows. Oil is pressed.")])
    assert found["coverage_together"] == pytest.approx(1.0)
    assert found["coverage_best"] < 1
    assert found["coverage_sentence"] == found["coverage_best"]
    assert found["unknown_share"] == 0.0


def test_words_that_the_collection_lacks_are_counted() -> None:
    assert of(["mongolia", "oil"], [result(1, "An oil.")])["unknown_share"] > 0.5


def test_scores_of_the_steps() -> None:
    results = [result(1, "oil", rerank=5.0, dense=0.2), result(2, "oil", rerank=2.0, dense=0.8, sparse=9.0)]
    found = of(["oil"], results)
    assert found["rerank_best"] == pytest.approx(0.5)
    assert found["rerank_gap"] == pytest.approx(0.3)
    assert (found["dense_best"], found["legs_agree"]) == (0.8, 1.0)
    assert found["volume"] > 0


def test_nothing_found_has_features_too() -> None:
    found = of(["oil"], [])
    assert (found["coverage_together"], found["rarest_missing"], found["dense_best"]) == (0.0, 1.0, 0.0)


def found_of(results: list[Result], parts: tuple[str, ...] = (), **plan: object) -> Found:
    terms = (("epidiolex", 1.0), ("oil", 0.5))
    queries = tuple(Query(part, terms) for part in parts) or (Query("q", terms),)
    return Found(Plan("q", queries, parts, **plan), LEXICON, results=results)  # type: ignore[arg-type]


def test_the_ladder() -> None:
    sure, unsure = [result(1, "Epidiolex.", rerank=1.0)], [result(1, "Nothing.", rerank=1.0)]
    judging = model(-4.0, coverage_best=8.0)
    answer = judge(found_of(sure), judging)
    assert (answer.decision, answer.missing, answer.threshold) == (Decision.ANSWER, (), 0.3)
    assert answer.probability == pytest.approx(1 / (1 + np.exp(-4)))
    assert judge(found_of(unsure), judging).decision is Decision.ABSTAIN
    assert judge(found_of([]), judging) == judge(found_of([]), judging)
    assert (judge(found_of([]), judging).decision, judge(found_of([]), judging).probability) == (Decision.ABSTAIN, 0.0)
    asks = judge(found_of([], leans=True), judging)
    assert (asks.decision, asks.probability) == (Decision.ASK_BACK, None)


def test_a_part_that_the_evidence_lacks_is_named() -> None:
    results = [result(1, "Epidiolex.", rerank=1.0), result(2, "Nothing.", rerank=1.0, query=1)]
    gap = judge(found_of(results, ("First?", "Second?")), model(-4.0, coverage_best=8.0))
    assert (gap.decision, gap.missing) == (Decision.ANSWER_WITH_GAP, ("Second?",))


def test_thresholds_depend_on_the_type_of_the_question() -> None:
    results = [result(1, "Epidiolex.", rerank=1.0)]
    judging = model(0.0)
    assert judge(found_of(results), judging).decision is Decision.ANSWER
    defined = judge(found_of(results, type=QuestionType.QUESTION_TYPE_DEFINITION), judging)
    assert (defined.decision, defined.threshold) == (Decision.ABSTAIN, 0.9)


def test_before_the_words_of_a_collection_are_learned_nothing_is_judged() -> None:
    found = found_of([result(1, "Nothing.", rerank=1.0)])
    found.lexicon = Lexicon()
    judged = judge(found, model(-9.0))
    assert (judged.decision, judged.probability) == (Decision.ANSWER, None)


def test_without_the_reranker_other_weights_count() -> None:
    assert judge(found_of([result(1, "Epidiolex.")]), model(9.0)).probability == pytest.approx(1 / (1 + np.exp(5)))


def test_the_shipped_model_tells_an_answer_from_none() -> None:
    answered = [
        result(1, "Epidiolex contains sesame oil as its base.", rerank=12.0, dense=0.7, sparse=12.0),
        result(2, "Oil.", rerank=1.0),
    ]
    off = [result(1, "The weather was fine.", rerank=0.5, dense=0.1, sparse=0.5), result(2, "Oil.", rerank=0.4)]
    high, low = judge(found_of(answered), shipped()), judge(found_of(off), shipped())
    assert high.probability is not None
    assert low.probability is not None
    assert high.probability > 3 * low.probability
    assert set(high.factors) == set(NAMES)


def test_a_model_of_other_features_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.json"
    file.write_text(json.dumps({"names": ["other"]}))
    with pytest.raises(ValueError, match="other features"):
        Model.load(file)


def test_a_second_search_is_judged_by_the_question_as_it_was() -> None:
    passages = [result(1, "Sesame oil is the base.", rerank=2.0)]
    strict = model(0.0, unknown_share=-8.0)
    keywords = Query("base oil", (("base", 1.0), ("oil", 1.0)))
    first = judge(Found(Plan("Which base oil has Mongolia?", (keywords,)), LEXICON, passages), strict)
    second = Query(keywords.text, keywords.terms, asked="Which base oil has Mongolia?")
    again = judge(Found(Plan("Which base oil has Mongolia?", (second,), language="en"), LEXICON, passages), strict)
    assert first.probability is not None
    assert again.probability is not None
    assert again.probability < 0.3 < first.probability
