"""The answerer without Triton: features, choice of sentences, short answers, parity of the exported graph with torch."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ragmesh_models.answering import ENGINES, NO_RANGE, Answerer, Decision, choose
from ragmesh_models.engine import Ranking, Reading, Scored, ShortAnswer
from ragmesh_models.features import NAMES, FeatureReader, read_passage
from ragmesh_models.lexical import IdfTable
from ragmesh_models.questions import KINDS, read_question
from ragmesh_models.spans import TYPES, WIDTH, describe, propose

REPOSITORY = Path(__file__).resolve().parents[2] / "deploy" / "triton" / "model_repository"
FOLDER = REPOSITORY / "answerer" / "1"


@pytest.fixture(scope="module")
def answerer() -> Answerer:
    return Answerer(FOLDER)


@pytest.fixture(scope="module")
def idf() -> IdfTable:
    return IdfTable.load(FOLDER / "idf.bin")


@pytest.fixture(scope="module")
def parity() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / "parity.json").read_text(encoding="utf-8"))
    return found


def decide(answerer: Answerer, question: str, passages: list[str], most: int = 3, engine: str = "lexical") -> Decision:
    reading = answerer.start(question)
    for text in passages:
        reading.add(text, "")
    return answerer.decide(reading, most, engine)


def shown(decision: Decision, passages: list[str]) -> list[str]:
    found = (one for one in decision.sentences if one.shown)
    return [passages[one.passage].encode()[slice(*one.sentence)].decode() for one in found]


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("Who founded it?", "who"),
        ("In what year was it founded?", "when"),
        ("Which country is it in?", "where"),
        ("How many seats are there?", "number"),
        ("How does it work?", "how"),
        ("Why is it blue?", "why"),
        ("What is cannabidiol?", "define"),
        ("What did they find there?", "what"),
        ("Is it legal?", "yes_no"),
        ("cbd oil", "other"),
    ],
)
def test_the_kind_of_a_question(question: str, kind: str, idf: IdfTable) -> None:
    assert KINDS[read_question(question, idf).kind] == kind


def features(question: str, passages: list[tuple[str, str]], idf: IdfTable) -> Any:
    read = [read_passage(text, title, n) for n, (text, title) in enumerate(passages)]
    return FeatureReader(read_question(question, idf), read, idf).matrix()


def test_features_are_finite_and_named(idf: IdfTable) -> None:
    passages = [("The bridge (1742) stands. It is old.\n\n- bullet\n| a | b |", "A > B"), ("", "")]
    for question in ("", "???", "who", "What is it about the Küßnacht bridge of 1742?", "x " * 3_000):
        matrix = features(question, passages, idf)
        assert matrix.shape == (4, len(NAMES))
        assert np.isfinite(matrix).all()
        assert np.abs(matrix).max() <= 3


def test_a_matching_sentence_overlaps_more(idf: IdfTable) -> None:
    matrix = features("When was the bridge finished?", [("The bridge was finished in 1742. Salt was white.", "")], idf)
    overlap = matrix[:, NAMES.index("overlap_idf")]
    assert overlap[0] == pytest.approx(1.0)
    assert overlap[1] == 0.0


def test_the_exported_graph_gives_what_torch_gave(parity: dict[str, Any], idf: IdfTable) -> None:
    import onnxruntime

    matrix = features(parity["question"], list(zip(parity["passages"], parity["titles"], strict=True)), idf)
    # Other features than those at export mean that the text analysis changed: train the answerer again.
    np.testing.assert_allclose(matrix, np.asarray(parity["features"]), atol=1e-5)
    session = onnxruntime.InferenceSession(str(FOLDER / "ranker.onnx"), providers=["CPUExecutionProvider"])
    found = session.run(None, {"features": matrix, "kind": np.array([parity["kind"]], dtype=np.int64)})
    for name, values in zip(("scores", "support", "answerable"), found, strict=True):
        np.testing.assert_allclose(values, np.asarray(parity[name]), atol=parity["tolerance"])


def test_a_decision_is_the_calibrated_logit(answerer: Answerer, parity: dict[str, Any]) -> None:
    reading = answerer.start(parity["question"])
    for text, title in zip(parity["passages"], parity["titles"], strict=True):
        reading.add(text, title)
    decision = answerer.decide(reading, 1, "lexical")
    assert decision.score == pytest.approx(parity["decision"], abs=1e-4)
    start, end = decision.sentences[0].sentence
    raw = parity["passages"][decision.sentences[0].passage].encode()
    assert raw[start:end].decode() == "The bridge at Küßnacht – finished in 1742 – crosses the Moss River on five arches."


def test_nothing_read_is_refused(answerer: Answerer) -> None:
    for engine in ENGINES:
        for passages in ([], ["", "  \n"]):
            found = decide(answerer, "What is it?", passages, engine=engine)
            assert (found.score, found.sentences, found.passage, found.span) == (0.0, [], -1, NO_RANGE)


def test_overlap_takes_the_sentence_that_holds_the_rare_words(answerer: Answerer) -> None:
    text = "It was opened in the town. The Zorbnik bridge was opened in 1742 by Ada Moss. The town is old."
    question = "When was the Zorbnik bridge opened in the town?"
    found = decide(answerer, question, [text], most=1, engine="overlap")
    assert shown(found, [text]) == ["The Zorbnik bridge was opened in 1742 by Ada Moss."]
    assert text[slice(*found.span)] == "1742", "a date is what it asks for"
    assert found.sentences[0].score == found.score
    assert decide(answerer, "Who sold blue shoes?", [text], engine="overlap").score == 0.0


def test_among_equals_overlap_takes_the_first(answerer: Answerer) -> None:
    text = "The bridge is long and high. The bridge is white and new."
    found = decide(answerer, "Where is the bridge?", [text], most=1, engine="overlap")
    assert shown(found, [text]) == ["The bridge is long and high."]


def test_first_takes_the_first_real_sentence(answerer: Answerer) -> None:
    passages = ["# The bridge\n\n- stones\n\nSalt came over it. It was long.", "The bridge was built in 1742."]
    found = decide(answerer, "When was the bridge built?", passages, engine="first")
    assert shown(found, passages) == ["Salt came over it."]
    assert (found.score, found.threshold) == (1.0, 0.0)
    assert (found.passage, passages[0][slice(*found.span)]) == (0, "Salt"), "no date is there, so any capital word stands in"


def test_what_is_not_shown_is_worse_by_more_than_the_margin(answerer: Answerer) -> None:
    text = "Salt is white in the valley. The bridge was finished in 1742. Cows give milk in summer. Roads are long and grey."
    found = decide(answerer, "When was the bridge finished?", [text], most=4)
    assert shown(found, [text]) == ["The bridge was finished in 1742."]
    assert len(found.sentences) == 4
    assert [one.shown for one in found.sentences] == [True, False, False, False]


def test_the_best_short_answer_need_not_stand_in_the_best_sentence(answerer: Answerer) -> None:
    """It is the one that is likeliest right over all sentences, so that no sentence's own beats it by both measures."""
    text = "Canada legalised hemp in March 1998. The act was signed by Allan Rock. In that year 251 farms grew it."
    for question in ("When did Canada legalise hemp?", "Who signed the act?", "How many farms grew it?"):
        found = decide(answerer, question, [text], most=3)
        likely = max(one.score * one.span_score for one in found.sentences)
        assert found.span_score == pytest.approx(likely)
        assert {found.span} <= {one.span for one in found.sentences}


def test_who_is_answered_by_the_sentence_that_names_them(answerer: Answerer) -> None:
    """And what says so of "him" stands behind it; the sentence between them, which names nobody either, is left out."""
    text = "Ada Brook is an English painter. She was born in Leeds. She painted the Zorbnik bridge at night in 1742."
    named, said = "Ada Brook is an English painter.", "She painted the Zorbnik bridge at night in 1742."
    found = decide(answerer, "Who painted the Zorbnik bridge at night?", [text])
    assert shown(found, [text])[:2] == [named, said]
    assert [one.leads for one in found.sentences[:2]] == [False, False]
    for question in ("When was the Zorbnik bridge painted at night?", "Who did the painter paint the Zorbnik bridge at night for?"):
        found = decide(answerer, question, [text])
        assert shown(found, [text])[:2] == [named, said]
        assert [one.leads for one in found.sentences[:2]] == [True, False]


def test_who_somebody_was_is_what_is_said_of_them(answerer: Answerer) -> None:
    text = "The bridge was painted by Ada Brook. She was an English painter and lived in Leeds."
    reading = answerer.start("Who was Ada Brook?")
    reading.add(text, "")
    ranking = Ranking(1.0, 0.0, 1.0, [Scored(one, float(n), 0.5, None) for n, one in enumerate(reading.candidates())], None)
    assert [(one.candidate.position, leads) for one, _, leads in choose(ranking, 2, reading.question)] == [(0, True), (1, False)]


def test_the_second_sentence_is_the_one_with_the_likelier_short_answer(answerer: Answerer) -> None:
    reading = answerer.start("Which goods came over the bridge?")
    reading.add("Goods came over the bridge. Roads are long and grey there. Salt came in winter.", "")
    candidates = reading.candidates()

    def second(likely: float) -> int:
        shorts = [None, ShortAnswer(0, 28, 33, 0.1), ShortAnswer(0, 59, 63, likely)]
        scored = [Scored(one, score, 0.5, short) for one, score, short in zip(candidates, (0.0, -3.0, -3.5), shorts, strict=True)]
        return choose(Ranking(0.5, 0.0, 1.0, scored, None, 0.1, 0.95), 2, reading.question)[1][0].candidate.position

    assert (second(0.1), second(0.9)) == (1, 2)


def test_a_heading_is_chosen_only_where_nothing_else_stands(answerer: Answerer) -> None:
    only = decide(answerer, "What is the stone bridge?", ["# The stone bridge"])
    assert len(only.sentences) == 1
    both = decide(answerer, "What is the stone bridge?", ["# The stone bridge\n\nSalt is white in this valley."])
    assert both.sentences[0].sentence[0] > len("# The stone bridge")


def test_no_more_sentences_than_asked_for_and_no_near_duplicates(answerer: Answerer) -> None:
    text = "The bridge was finished in 1742 by the guild. " * 6
    assert len(decide(answerer, "When was the bridge finished?", [text], most=5).sentences) == 1
    many = " ".join(f"The bridge number {n} over river {n} was finished in 17{n}2." for n in range(10, 40))
    for most in (1, 2, 4):
        assert len(decide(answerer, "When was the bridge finished?", [many], most=most).sentences) <= most


def test_spans_are_inside_the_sentence_and_typed(idf: IdfTable) -> None:
    sentence = "On 12 March 1742 Élodie van der Müller paid 3,500 guilders, 12% of it in salt, to the City of Küßnacht."
    question = read_question("Who paid for the bridge?", idf)
    spans = propose(sentence, question)
    found = {(sentence[span.start : span.end], TYPES[span.type]) for span in spans}
    assert {("12 March 1742", "date"), ("3,500", "number"), ("12%", "number"), ("City of Küßnacht", "name")} <= found
    assert describe(sentence, spans, question).shape == (len(spans), WIDTH)
    assert propose(sentence, read_question("Why did she pay?", idf)) == []


def test_a_short_answer_lies_in_its_sentence(answerer: Answerer) -> None:
    for question in ("When did Canada legalise hemp?", "Who signed the act?", "How many farms grew it?"):
        text = "Canada legalised hemp in March 1998. The act was signed by Allan Rock. "
        text += "In that year 251 farms grew it – 2,400 hectares."
        for chosen in decide(answerer, question, [text]).sentences:
            if chosen.span != NO_RANGE:
                assert chosen.sentence[0] <= chosen.span[0] < chosen.span[1] <= chosen.sentence[1]


def test_further_sentences_of_the_cited_passage_are_shown_sooner_than_another_passage(answerer: Answerer) -> None:
    class Told:
        def __init__(self, shares: list[float]) -> None:
            self.shares = shares

        def rank(self, reading: Reading) -> Ranking:
            scored = [
                Scored(one, math.log(share), share, None) for one, share in zip(reading.candidates(), self.shares, strict=True)
            ]
            return Ranking(1.0, 0.5, 0.5, scored, None, near=0.1)

    reading = answerer.start("Which bridge was built?")
    reading.add("The bridge was built in 1742. Ada Moss paid for the masons.", "")
    reading.add("The mill burnt down in spring.", "")

    def places(*shares: float) -> list[tuple[int, bool]]:
        answerer._engines["told"] = Told(list(shares))
        decision = answerer.decide(reading, 3, "told")
        del answerer._engines["told"]
        return [(one.passage, one.shown) for one in decision.sentences]

    assert places(0.5, 0.06, 0.44) == [(0, True), (0, True), (1, False)]
    assert places(0.5, 0.04, 0.46) == [(0, True), (1, True), (0, False)]
    assert places(0.3, 0.1, 0.6) == [(1, True), (0, False), (0, False)]


@pytest.mark.parametrize(
    ("likely", "shares", "expected"),
    [
        (0.7, (0.5, 0.045, 0.12), [(0, True), (0, True), (1, False)]),  # unsure: the second of its passage comes with it
        (0.9, (0.5, 0.045, 0.12), [(0, True), (1, False), (0, False)]),  # sure: it stands alone
        (0.7, (0.5, 0.02, 0.1), [(0, True), (0, True), (1, False)]),  # another passage is far behind
        (0.7, (0.5, 0.1, 0.3), [(0, True), (0, True), (1, False)]),  # near anyway
        (0.7, (0.5, 0.01, 0.4), [(0, True), (1, True), (0, False)]),  # another passage is as good, its own has nothing like it
        (0.7, (0.02, 0.01, 0.9), [(1, True), (0, False), (0, False)]),  # its passage has no other
        (0.7, (0.4, 0.01, 0.5), [(1, True), (0, True), (0, False)]),  # nor here, but another is as good
    ],
)
def test_a_sentence_that_may_be_wrong_is_not_shown_alone(
    answerer: Answerer, likely: float, shares: tuple[float, ...], expected: list[tuple[int, bool]]
) -> None:
    class Told:
        def rank(self, reading: Reading) -> Ranking:
            scored = [Scored(one, math.log(share), share, None) for one, share in zip(reading.candidates(), shares, strict=True)]
            return Ranking(likely, 0.5, 0.5, scored, None, near=0.1, sure=0.8)

    reading = answerer.start("Which bridge was built?")
    reading.add("The bridge was built in 1742. Ada Moss paid for the masons.", "")
    reading.add("The mill burnt down in spring.", "")
    answerer._engines["told"] = Told()
    decision = answerer.decide(reading, 3, "told")
    del answerer._engines["told"]
    assert [(one.passage, one.shown) for one in decision.sentences] == expected
