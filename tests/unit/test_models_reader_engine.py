"""What is made of the joint reader's outputs: spans, the order of sentences, whether to answer. The network itself is not asked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from ragmesh_models.engine import Ranking
from ragmesh_models.engine import Reading as Request
from ragmesh_models.feature_engine import LexicalEngine
from ragmesh_models.features import Passage as LexicalPassage
from ragmesh_models.lexical import IdfTable
from ragmesh_models.questions import read_question
from ragmesh_models.reader_engine import ReaderEngine, gather, searched_features, weigh
from ragmesh_models.reading import LONGEST_SPAN, NONE, PassageReading
from ragmesh_models.reading_features import read_passage
from ragmesh_models.reading_text import (
    Vocabulary,
    positions,
)

from tests.unit.reader_fixture import ANSWERER, BRIDGE, IDF, vocabulary

__all__ = ["vocabulary"]


def _reading(vocabulary: Vocabulary, text: str, score: float = 0.0, best: tuple[int, int] = (0, 0)) -> PassageReading:
    passage = read_passage(text, "", vocabulary)
    start, end = np.zeros((2, len(passage.reading)), dtype=np.float32)
    start[best[0]], end[best[1]] = 3, 4
    sentences = np.arange(len(passage.reading.sentences), dtype=np.float32)
    return PassageReading(passage, start, end, sentences, score, np.zeros(3, dtype=np.float32))


def test_the_odds_of_a_passage_are_those_of_all_its_sentences(vocabulary: Vocabulary) -> None:
    reading = _reading(vocabulary, BRIDGE, 2.0)
    assert reading.odds == pytest.approx(math.log(np.exp(reading.sentences.astype(float)).sum()) + 2.0, abs=1e-5)
    assert replace(reading, sentences=np.zeros(0, dtype=np.float32)).odds == NONE


def test_the_best_span_begins_before_it_ends_and_is_short(vocabulary: Vocabulary) -> None:
    reading = _reading(vocabulary, BRIDGE, best=(6, 6))
    found = reading.best_span(0, 8)
    assert found is not None
    assert BRIDGE[found[1] : found[2]] == "1742"
    assert found[0] == 7
    long = _reading(vocabulary, "word " * 60, best=(0, 40))
    far = long.best_span(0, 60)
    assert far is not None
    assert len("word " * 60) > far[2] - far[1]
    assert len(positions(("word " * 60)[far[1] : far[2]])) <= LONGEST_SPAN
    assert reading.best_span(4, 4) is None


def test_every_sentence_has_a_span_of_its_own(vocabulary: Vocabulary) -> None:
    reading = _reading(vocabulary, BRIDGE, best=(6, 6))
    found = reading.spans()
    assert sorted(found) == [0, 1, 2]
    for index, (_, start, end) in found.items():
        sentence = reading.passage.reading.sentences[index]
        assert sentence.start <= start < end <= sentence.end


class _Fixed:
    """A reader that says what it is told to."""

    def __init__(self, readings: list[PassageReading], config: dict[str, object]) -> None:
        self.readings = readings
        self.config = config

    def read(
        self, question: str, passages: Sequence[str], titles: Sequence[str], lexical: Sequence[LexicalPassage]
    ) -> list[PassageReading]:
        assert len(passages) == len(self.readings) == len(titles) == len(lexical)
        return self.readings


CONFIG: dict[str, object] = {
    "sentence": [1.0, 0.0],
    "decision": [1.0, 0, 0, 0, 0, 0, 0, 0.0],
    "span": [1.0, 0, 0, 0],
    "support": [1.0, 0, 0],
    "span_sentence": 0.0,
    "threshold": 0.5,
    "span_threshold": 0.5,
    "found": 1.0,
    "alone": 0.0,
}


def _request(*texts: str) -> Request:
    request = Request(read_question("When was the stone bridge finished?", IdfTable.load(ANSWERER / "idf.bin")))
    for text in texts:
        request.add(text, "")
    return request


def test_sentences_compete_over_all_passages_and_with_nowhere(vocabulary: Vocabulary) -> None:
    lexical = LexicalEngine(ANSWERER, IdfTable.load(ANSWERER / "idf.bin"))
    request = _request(BRIDGE, "Salt was dear. Salt was heavy.")
    fixed = _Fixed([_reading(vocabulary, request.texts[0], 2.0), _reading(vocabulary, request.texts[1], -1.0)], CONFIG)
    evidence = gather(fixed, lexical.rank(request), request)  # type: ignore[arg-type]
    totals = [2.0, 3.0, 4.0, -1.0, 0.0]
    whole = math.log(sum(map(math.exp, totals)) + 1)
    assert evidence.reader.tolist() == pytest.approx([total - whole for total in totals], abs=1e-5)
    assert np.exp(evidence.listwise).sum() == pytest.approx(1.0, abs=1e-4)
    assert evidence.passage == 2.0
    assert evidence.somewhere == pytest.approx(math.log(sum(map(math.exp, totals))), abs=1e-5)


def test_a_third_weight_lets_the_best_span_of_a_sentence_count(vocabulary: Vocabulary) -> None:
    lexical = LexicalEngine(ANSWERER, IdfTable.load(ANSWERER / "idf.bin"))
    request = _request()
    request.add(BRIDGE, "")
    evidence = gather(_Fixed([_reading(vocabulary, BRIDGE, 2.0)], CONFIG), lexical.rank(request), request)  # type: ignore[arg-type]
    spans: list[tuple[float, int, int, int] | None] = [(-2.0, 0, 0, 4), None, (-40.0, 0, 0, 4)]
    known = replace(evidence, reader=np.array([-1.0, -2.0, -3.0]), listwise=np.array([-3.0, -2.0, -1.0]), spans=spans)
    assert weigh(known, [1.0, 0.5]).tolist() == [-2.5, -3.0, -3.5]
    assert weigh(known, [1.0, 0.5, 0.25]).tolist() == [-3.0, -6.0, -6.5]


def test_the_reader_ranks_and_the_scorer_keeps_what_was_not_read(vocabulary: Vocabulary) -> None:
    lexical = LexicalEngine(ANSWERER, IdfTable.load(ANSWERER / "idf.bin"))
    request = _request(BRIDGE)
    ranking = ReaderEngine(_Fixed([_reading(vocabulary, BRIDGE, 2.0, best=(6, 6))], CONFIG), lexical).rank(request)  # type: ignore[arg-type]
    assert max(ranking.sentences, key=lambda one: one.score).candidate.position == 2
    assert ranking.short is not None
    assert BRIDGE[ranking.short.start : ranking.short.end] == "1742"
    assert ranking.answerable > 0.9
    empty = ReaderEngine(_Fixed([], CONFIG), lexical).rank(_request())  # type: ignore[arg-type]
    assert empty.sentences == []
    assert empty.answerable == 0


def test_a_passage_alone_is_believed_less_in_whether_to_answer_only(vocabulary: Vocabulary) -> None:
    lexical = LexicalEngine(ANSWERER, IdfTable.load(ANSWERER / "idf.bin"))

    def asked(alone: float, *texts: str) -> Ranking:
        fixed = _Fixed([_reading(vocabulary, text, 2.0, best=(6, 6)) for text in texts], {**CONFIG, "alone": alone})
        return ReaderEngine(fixed, lexical).rank(_request(*texts))  # type: ignore[arg-type]

    plain, strict = asked(0.0, BRIDGE), asked(-1.0, BRIDGE)
    assert logit(plain.answerable) - logit(strict.answerable) == pytest.approx(1.0, abs=1e-6)
    assert [one.support for one in plain.sentences] == [one.support for one in strict.sentences]
    assert plain.short == strict.short
    assert asked(-1.0, BRIDGE, BRIDGE).answerable == asked(0.0, BRIDGE, BRIDGE).answerable


def logit(share: float) -> float:
    return math.log(share / (1 - share))


def test_between_equal_sentences_the_better_found_passage_decides_and_whether_to_answer_it_does_not(vocabulary: Vocabulary) -> None:
    lexical = LexicalEngine(ANSWERER, IdfTable.load(ANSWERER / "idf.bin"))
    answers = []
    for scores in ((np.nan, np.nan), (1.0, 4.0), (4.0, 1.0), (np.nan, 4.0)):
        request = Request(read_question("When was the stone bridge finished?", IDF))
        for score in scores:
            request.add("The stone bridge was finished in 1742.", "", reranked=score)
        fixed = _Fixed([_reading(vocabulary, text) for text in request.texts], CONFIG)
        answers.append(ReaderEngine(fixed, lexical).rank(request))  # type: ignore[arg-type]
    plain, second, first, partly = ([one.score for one in ranking.sentences] for ranking in answers)
    assert plain[0] == pytest.approx(plain[1])
    assert second[1] - second[0] == pytest.approx(3.0, abs=1e-5)
    assert first[0] - first[1] == pytest.approx(3.0, abs=1e-5)
    assert partly[0] == partly[1]
    assert len({ranking.answerable for ranking in answers}) == 1


def test_a_searched_list_is_decided_by_the_best_score_of_the_search_and_any_other_by_its_text(vocabulary: Vocabulary) -> None:
    lexical = LexicalEngine(ANSWERER, IdfTable.load(ANSWERER / "idf.bin"))
    config = {**CONFIG, "searched": [0.0, 0.5, 0.0, 0.0, -3.0], "searched_threshold": 0.125}

    def asked(*scores: float) -> Ranking:
        request = _request()
        for score in scores:
            request.add(BRIDGE, "", reranked=score)
        return ReaderEngine(_Fixed([_reading(vocabulary, BRIDGE, 2.0) for _ in scores], config), lexical).rank(request)  # type: ignore[arg-type]

    searched = asked(4.0, np.nan)
    assert (searched.threshold, logit(searched.answerable)) == (0.125, pytest.approx(0.5 * 4.0 - 3.0))
    assert logit(asked(1e9).answerable) == pytest.approx(0.5 * 30 - 3.0), "a score is believed up to a limit"
    assert asked(np.nan).threshold == 0.5
    assert asked(np.nan).answerable > 0.9


def test_what_a_searched_list_is_decided_by_belongs_to_the_sentence_that_is_shown(vocabulary: Vocabulary) -> None:
    lexical = LexicalEngine(ANSWERER, IdfTable.load(ANSWERER / "idf.bin"))
    request = _request()
    request.add(BRIDGE, "", reranked=1.0)
    request.add("Salt was dear. Salt was heavy.", "", reranked=2.0)
    fixed = _Fixed([_reading(vocabulary, request.texts[0], 2.0), _reading(vocabulary, request.texts[1], -1.0)], CONFIG)
    evidence = gather(fixed, lexical.rank(request), request)  # type: ignore[arg-type]
    for best, passage in ((1, 0), (3, 1)):
        odds, reranked, share, _ = searched_features(evidence, best)
        assert (odds, reranked) == (pytest.approx(fixed.readings[passage].odds), 2.0)
        assert share == evidence.reader[best]
    with pytest.raises(ValueError, match="not reranked"):
        searched_features(replace(evidence, reranked=None), 0)
