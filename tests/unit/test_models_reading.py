"""How the joint reader sees questions and passages; the network itself only in the last tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from ragmesh_models import reading
from ragmesh_models.features import read_passage as read_lexical
from ragmesh_models.reading import NONE, Reader, feeds
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

from tests.unit.reader_fixture import ANSWERER, BRIDGE, IDF, TOKENIZER, vocabulary

__all__ = ["vocabulary"]


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
