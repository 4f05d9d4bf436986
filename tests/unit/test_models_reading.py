"""How the joint reader sees questions and passages, and what is made of its outputs; the network itself only in the last tests."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from ragmesh_models import reading
from ragmesh_models.engine import Ranking
from ragmesh_models.engine import Reading as Request
from ragmesh_models.feature_engine import LexicalEngine
from ragmesh_models.features import Passage as LexicalPassage
from ragmesh_models.features import read_passage as read_lexical
from ragmesh_models.lexical import IdfTable
from ragmesh_models.questions import read_question
from ragmesh_models.reader_engine import ReaderEngine, gather, searched_features, weigh
from ragmesh_models.reading import LONGEST_SPAN, NONE, PassageReading, Reader, feeds
from ragmesh_models.reading_features import DYNAMIC, MAX_SENTENCES, PairReader, ask, read_passage
from ragmesh_models.reading_text import (
    MAX_PASSAGE,
    PIECES,
    SEPARATOR,
    STATIC,
    UNKNOWN,
    Vocabulary,
    positions,
    read_text,
    stem_of,
)
from ragmesh_models.runtime import Graph
from ragmesh_models.tokens import TextTokenizer

import training

ANSWERER = training.MODEL_REPOSITORY / "answerer" / "1"
TOKENIZER = training.MODEL_REPOSITORY / "tokenizer" / "1" / "tokenizer.json"
IDF = IdfTable({"bridg": 6.0, "river": 5.0, "ston": 7.0, "finish": 5.0, "salt": 8.0})
BRIDGE = "The stone bridge was finished in 1742. It crosses the river on five arches. Salt paid for it."


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary(["the", "bridg", "river"], TextTokenizer(TOKENIZER))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Tesla's 1,200 U.S. dollars", ["Tesla", "'s", "1,200", "U", ".", "S", ".", "dollars"]),
        ("$5.50 (2003–08)", ["$", "5.50", "(", "2003", "–", "08", ")"]),
        ("don't co_op l’eau", ["don't", "co", "_", "op", "l’eau"]),
        ("Москва — 12:30.", ["Москва", "—", "12:30", "."]),
        (" \n\t ", []),
        ("😀ok", ["😀", "ok"]),
    ],
)
def test_a_position_is_a_word_a_number_or_a_mark(text: str, words: list[str]) -> None:
    assert [text[a:b] for a, b in positions(text)] == words


def test_numbers_are_the_same_however_they_are_grouped() -> None:
    assert stem_of("1,200") == stem_of("1200")
    assert stem_of("'s") == "'s"


def test_words_have_a_stem_row_and_at_most_four_pieces(vocabulary: Vocabulary) -> None:
    reading = read_text("The bridges antidisestablishmentarianism", vocabulary, 100)
    assert reading.rows.tolist()[:2] == [3, 4]
    assert reading.rows.tolist()[2] == UNKNOWN
    assert reading.pieces.shape == (3, PIECES)
    assert (reading.pieces[2] > 0).all()
    assert (reading.pieces[0] > 0).sum() == 1


def test_positions_know_their_sentence_and_their_looks(vocabulary: Vocabulary) -> None:
    reading = read_text(BRIDGE, vocabulary, 100)
    at = {word: n for n, word in enumerate(reading.words)}
    looks = {name: reading.static[:, n] for n, name in enumerate(STATIC)}
    assert reading.sentence[at["1742"]] == 0
    assert reading.sentence[at["arches"]] == 1
    assert reading.sentence[at["paid"]] == 2
    assert looks["year"][at["1742"]] == looks["digit"][at["1742"]] == 1
    assert looks["number_word"][at["five"]] == 1
    assert looks["opens_sentence"].sum() == 3
    assert looks["capital"][at["bridge"]] == 0
    assert looks["punctuation"][at["1742"] + 1] == 1


def test_a_long_passage_is_read_in_windows_of_whole_sentences(vocabulary: Vocabulary) -> None:
    text = " ".join(f"Sentence number {n} says that the river is wide and the bridge is old." for n in range(60))
    passage = read_passage(text, "", vocabulary)
    assert len(passage.windows) > 1
    assert passage.windows[0][0] == 0
    assert passage.windows[-1][1] == len(passage.reading)
    for (_, end), (begin, _) in zip(passage.windows, passage.windows[1:], strict=False):
        assert end == begin
        assert passage.reading.sentence[end - 1] != passage.reading.sentence[begin]
    assert all(end - begin <= MAX_PASSAGE for begin, end in passage.windows)


def test_what_never_ends_is_cut(vocabulary: Vocabulary) -> None:
    passage = read_passage("word " * 1_000, "", vocabulary)
    assert all(0 < end - begin <= MAX_PASSAGE for begin, end in passage.windows)
    assert sum(end - begin for begin, end in passage.windows) == len(passage.reading)


def test_many_short_sentences_do_not_overflow_a_window(vocabulary: Vocabulary) -> None:
    asked = ask("Who?", vocabulary, IDF)
    passage = read_passage("\n".join(f"- It is {n}." for n in range(120)), "", vocabulary)
    for pair in PairReader(IDF).pairs(asked, passage):
        assert len(pair.sentence_features) <= MAX_SENTENCES
        assert pair.sentence.max() == len(pair.sentence_features) - 1


def test_a_passage_without_a_word_has_no_window(vocabulary: Vocabulary) -> None:
    assert read_passage("", "Title", vocabulary).windows == []


def test_the_lexical_half_of_a_passage_may_be_brought_along(vocabulary: Vocabulary) -> None:
    """A request numbers its passages; read by itself each is the first."""
    asked = ask("When were the stone bridges finished?", vocabulary, IDF)
    alone = read_passage(BRIDGE, "The old bridge", vocabulary)
    brought = read_passage(BRIDGE, "The old bridge", vocabulary, lexical=read_lexical(BRIDGE, "The old bridge", 3))
    assert [candidate.passage for candidate in brought.lexical.candidates] == [0, 0, 0]
    pairs = PairReader(IDF)
    np.testing.assert_array_equal(pairs.sentences(asked, brought), pairs.sentences(asked, alone))


def test_the_odds_of_a_passage_are_those_of_all_its_sentences(vocabulary: Vocabulary) -> None:
    reading = _reading(vocabulary, BRIDGE, 2.0)
    assert reading.odds == pytest.approx(math.log(np.exp(reading.sentences.astype(float)).sum()) + 2.0, abs=1e-5)
    assert replace(reading, sentences=np.zeros(0, dtype=np.float32)).odds == NONE


def test_matches_are_marked_at_the_positions(vocabulary: Vocabulary) -> None:
    asked = ask("When were the stone bridges finished?", vocabulary, IDF)
    passage = read_passage(BRIDGE, "The old bridge", vocabulary)
    (pair,) = PairReader(IDF).pairs(asked, passage)
    assert pair.rows[len(asked.reading)] == pair.rows[pair.offset - 1] == SEPARATOR
    told = {name: pair.features[pair.offset :, len(STATIC) + n] for n, name in enumerate(DYNAMIC)}
    at = {word: n for n, word in enumerate(passage.reading.words)}
    assert told["exact"][at["stone"]] == 1
    assert told["exact"][at["bridge"]] == 0  # bridges
    assert told["stem"][at["bridge"]] == 1
    assert told["bigram"][at["stone"]] == told["bigram"][at["bridge"]] == 1
    assert told["stem"][at["river"]] == 0
    assert told["idf_matched"][at["stone"]] == pytest.approx(7 / 12)
    assert told["in_title"][at["bridge"]] == 1
    assert told["near"][at["1742"]] == pytest.approx(1 / 3)  # two behind "finished"
    assert told["sentence_share"][at["1742"]] == pytest.approx(1.0)
    assert told["best_sentence"][at["river"]] == 0
    assert told["passage"].all()
    question = {name: pair.features[: len(asked.reading), len(STATIC) + n] for n, name in enumerate(DYNAMIC)}
    assert question["question"].all()
    assert question["stem"].tolist() == [0, 0, 0, 1, 1, 1, 0]
    assert pair.features.min() >= 0
    assert pair.features.max() <= 1


def test_a_misspelt_word_is_like_the_one_that_is_meant(vocabulary: Vocabulary) -> None:
    asked = ask("Who built the aqueduct?", vocabulary, IDF)
    assert asked.likeness("aqeduct") > 0.45
    assert asked.likeness("river") == 0


def test_pairs_are_padded_to_one_batch(vocabulary: Vocabulary) -> None:
    asked = ask("When was it finished?", vocabulary, IDF)
    pairs = [PairReader(IDF).pairs(asked, read_passage(text, "", vocabulary))[0] for text in (BRIDGE, "Salt.")]
    fed = feeds(pairs, asked.lexical.kind)
    assert fed["rows"].shape == fed["sentence"].shape == (2, len(pairs[0].rows))
    assert fed["rows"][1, len(pairs[1].rows) :].tolist() == [0] * (len(pairs[0].rows) - len(pairs[1].rows))
    assert (fed["sentence"][:, :3] == MAX_SENTENCES).all()
    assert fed["kind"].tolist() == [asked.lexical.kind] * 2


def _reading(vocabulary: Vocabulary, text: str, score: float = 0.0, best: tuple[int, int] = (0, 0)) -> PassageReading:
    passage = read_passage(text, "", vocabulary)
    start, end = np.zeros((2, len(passage.reading)), dtype=np.float32)
    start[best[0]], end[best[1]] = 3, 4
    sentences = np.arange(len(passage.reading.sentences), dtype=np.float32)
    return PassageReading(passage, start, end, sentences, score, np.zeros(3, dtype=np.float32))


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


def test_the_served_graph_gives_what_the_trained_network_gave() -> None:
    told = json.loads((ANSWERER / "reader_parity.json").read_text(encoding="utf-8"))
    reader = Reader(ANSWERER, TOKENIZER)
    asked = ask(told["question"], reader.vocabulary, reader.idf)
    known = [reader.passage(text, title) for text, title in zip(told["passages"], told["titles"], strict=True)]
    pairs = [pair for passage in known for pair in PairReader(reader.idf).pairs(asked, passage)]
    found = reader.graph.run(feeds(pairs, asked.lexical.kind))
    for name in ("start", "end", "sentence_score", "passage", "said"):
        expected = np.array(told[name])
        real = expected > NONE / 2
        # int8 matrices and rows against float32.
        assert np.abs(found[name][real] - expected[real]).max() < 0.35, name
        assert (found[name][~real] < NONE / 2).all()


def test_a_batch_changes_nothing() -> None:
    reader = Reader(ANSWERER, TOKENIZER)
    texts = [BRIDGE, "Salt tolls were common.", "- Dry mouth\n- Fatigue"]
    together = reader.read("When was the bridge finished?", texts, ["", "Tolls", ""])
    other = Reader(ANSWERER, TOKENIZER)  # what the first one read it would not read again
    for text, title, one in zip(texts, ["", "Tolls", ""], together, strict=True):
        (alone,) = other.read("When was the bridge finished?", [text], [title])
        assert alone.score == pytest.approx(one.score, abs=0.15)
        assert alone.sentences == pytest.approx(one.sentences, abs=0.25)


class _Counting:
    """The graph of a reader, and how many rows it was fed."""

    def __init__(self, graph: Graph) -> None:
        self.runtime, self.precision, self.engine_sha256 = graph.runtime, graph.precision, graph.engine_sha256
        self._graph = graph
        self.rows = 0

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        self.rows += len(feeds["rows"])
        return self._graph.run(feeds)


def test_what_was_read_for_a_question_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(ANSWERER, TOKENIZER)
    reader.graph = counting = _Counting(reader.graph)
    question, tolls = "When was the bridge finished?", "Salt tolls were common."
    odds = reader.passage_scores(question, [BRIDGE, tolls], ["", "Tolls"])
    assert counting.rows == 2
    # The answer to it: the same passages in another order, and one that the search had not read.
    later = reader.read(question, [tolls, "The mill was older.", BRIDGE], ["Tolls", "", ""])
    assert counting.rows == 3
    assert [later[2].odds, later[0].odds] == pytest.approx(odds.tolist(), abs=1e-5)
    # Another question, another title, and the same passage twice.
    reader.read("Who paid?", [BRIDGE, BRIDGE], ["", ""])
    reader.read(question, [BRIDGE], ["Bridges"])
    assert counting.rows == 5
    assert reader.lexical_half(BRIDGE, "") == read_lexical(BRIDGE, "", 0)
    assert reader.lexical_half(BRIDGE, "Unheard of") is None
    monkeypatch.setattr(reading, "_KEPT_READINGS", 2)
    reader.read(question, ["The mill was older."], [""])
    assert counting.rows == 5
    reader.read(question, [BRIDGE], [""])
    assert counting.rows == 6, "only the last two are kept"
    for _ in range(2):
        reader.read(question, [BRIDGE * 60], [""])
    assert counting.rows > 7, "what is long is not kept"


def test_batches_on_several_threads_come_back_in_order() -> None:
    reader, question = Reader(ANSWERER, TOKENIZER, threads=2), "When was the bridge finished?"
    texts = [f"{'The mill was older. ' * (number * 7 % 12)}In 17{number} it was finished." for number in range(24)]
    together = reader.read(question, texts, [""] * len(texts))
    assert [one.passage.text for one in together] == texts
    assert [len(one.start) for one in together] == [len(one.passage.reading) for one in together]
    alone = Reader(ANSWERER, TOKENIZER, threads=1)
    for text, one in zip(texts[::5], together[::5], strict=True):
        assert alone.read(question, [text], [""])[0].score == pytest.approx(one.score, abs=0.15)


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
