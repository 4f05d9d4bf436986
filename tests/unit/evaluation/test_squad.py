"""SQuAD files, and EM and F1 as the official script counts them; values worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli.errors import CliError
from cli.evaluation.reader import Heard, Place, Sentence, mark
from cli.evaluation.squad import Answer, SquadRow, exact, f1, holds, holds_label, normalise, read_squad

CONTEXT = "The café opened in 1911. It has 42 seats (and two cats). Dr. Moss runs it."


def test_normalisation_drops_case_punctuation_articles_and_spaces() -> None:
    assert normalise("  The  Quick-Brown fox, an A.B.C.  ") == "quickbrown fox abc"
    assert normalise("a the an") == ""
    assert normalise("Theatre") == "theatre"


@pytest.mark.parametrize(
    ("prediction", "answers", "em", "overlap"),
    [
        ("the Moss River", ["Moss River"], 1, 1),
        # 2 shared of 3 predicted and 2 labelled words: p = 2/3, r = 1.
        ("long Moss River", ["Moss River"], 0, 0.8),
        # The best of all labels counts.
        ("Moss", ["Moss River", "the river Moss", "Aare"], 0, 2 / 3),
        # "to to be" has two words of "to be or not to be": both copies of `to`, one `be`: p = 1, r = 3/6.
        ("to to be", ["to be or not to be"], 0, 2 / 3),
        ("Aare", ["Moss"], 0, 0),
        # Nothing said is right exactly where there is nothing to say.
        ("", [], 1, 1),
        ("Moss", [], 0, 0),
        ("", ["Moss"], 0, 0),
        # A label of nothing but an article is none.
        ("", ["the"], 1, 1),
    ],
)
def test_exact_match_and_f1(prediction: str, answers: list[str], em: float, overlap: float) -> None:
    assert exact(prediction, answers) == em
    assert f1(prediction, answers) == pytest.approx(overlap)


def test_an_answer_stands_in_a_sentence_as_whole_words_in_any_case() -> None:
    assert holds("It has 42 seats.", ["42 SEATS"])
    assert not holds("It has 142 seats.", ["42"])
    assert not holds("Mossy banks", ["Moss"])
    assert holds("(and two\ncats).", ["(and two cats)"])
    assert holds("It costs 42%.", ["42%"])
    assert not holds("anything", ["", "  "])


def test_a_label_must_stand_in_the_sentence_as_a_whole() -> None:
    answers = [Answer("1911", 19), Answer("gone", -1)]
    assert holds_label(0, 24, answers)
    assert not holds_label(0, 22, answers)
    assert not holds_label(24, 60, answers)


def row(*answers: Answer) -> SquadRow:
    return SquadRow("1", "Café", CONTEXT, "When did it open?", answers)


def bytes_of(words: str) -> Place:
    start = CONTEXT.encode().index(words.encode())
    return Place(0, start, start + len(words.encode()))


def heard(score: float, span: str, *sentences: str) -> Heard:
    picked = tuple(Sentence(bytes_of(sentence), True, None) for sentence in sentences)
    return Heard(score, 0.5, bytes_of(span) if span else None, picked)


def test_marks_of_an_answered_question() -> None:
    found = heard(0.4, "1911", "It has 42 seats (and two cats).", "The café opened in 1911.")
    marks, seen = mark(row(Answer("1911", 19)), found, has_impossible=False)
    assert (marks["em"], marks["shown_sentence"], marks["shown_2"], marks["answerability"]) == (1, 0, 1, None)
    assert seen["prediction"] == "1911"
    assert (marks["has_ans_f1"], marks["no_ans_f1"]) == (None, None)
    # In a 2.0 file the same question is below the threshold, which has nothing to do with what would be shown.
    marks, seen = mark(row(Answer("1911", 19)), found, has_impossible=True)
    assert (marks["em"], marks["has_ans_f1"], marks["no_ans_f1"], seen["prediction"]) == (0, 0, None, "")
    assert marks["shown_2"] == 1


def test_marks_of_a_question_without_an_answer() -> None:
    low, _ = mark(row(), heard(0.4, "1911", "The café opened in 1911."), has_impossible=True)
    high, _ = mark(row(), heard(0.6, "1911", "The café opened in 1911."), has_impossible=True)
    assert (low["em"], low["no_ans_f1"], high["em"], high["no_ans_f1"]) == (1, 1, 0, 0)
    assert low["has_ans_f1"] is None
    assert low["shown_sentence"] is low["shown_sentence_strict"] is low["shown_2"] is None


def test_lenient_and_strict_differ_where_the_words_stand_twice() -> None:
    text = "Salt came in 1911. The café opened in 1911."
    asked = SquadRow("1", "", text, "When did it open?", (Answer("1911", text.rindex("1911")),))
    first = Sentence(Place(0, 0, 18), True, None)
    marks, _ = mark(asked, Heard(0.9, 0.5, None, (first,)), has_impossible=False)
    assert (marks["shown_sentence"], marks["shown_sentence_strict"]) == (1, 0)
    assert marks["f1"] > 0, "without a short answer the sentence is the prediction"


def test_what_is_not_exactly_one_sentence_shows_nothing() -> None:
    both = heard(0.9, "1911", "The café opened in 1911. It has 42 seats (and two cats).")
    marks, _ = mark(row(Answer("1911", 19)), both, has_impossible=False)
    assert (marks["shown_sentence"], marks["shown_sentence_strict"], marks["shown_2"]) == (0, 0, 0)


def squad(**changes: Any) -> dict[str, Any]:
    question = {"id": "q1", "question": "When?", "answers": [{"text": "1911", "answer_start": 19}], **changes}
    return {"version": "1.1", "data": [{"paragraphs": [{"context": CONTEXT, "qas": [question]}]}]}


def test_a_file_is_read_without_title_and_with_an_offset_that_is_off(tmp_path: Path) -> None:
    path = tmp_path / "squad.json"
    path.write_text(json.dumps(squad()), encoding="utf8")
    file = read_squad(path)
    assert (file.rows, file.has_impossible) == ([SquadRow("q1", "", CONTEXT, "When?", (Answer("1911", 19),))], False)
    path.write_text(json.dumps(squad(answers=[{"text": "1911", "answer_start": 3}])), encoding="utf8")
    assert read_squad(path).rows[0].answers == (Answer("1911", -1),)


def test_a_file_with_impossible_questions_is_of_the_second_kind(tmp_path: Path) -> None:
    path = tmp_path / "squad.json"
    plausible = [{"text": "1911", "answer_start": 19}]
    path.write_text(json.dumps(squad(is_impossible=True, answers=plausible)), encoding="utf8")
    file = read_squad(path)
    assert file.has_impossible
    assert file.rows[0].answers == ()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "squad.json:1 is not JSON"),
        ("[]", "data is missing"),
        ('{"data": []}', "holds no questions"),
        (json.dumps(squad(question=5)), "data[0].paragraphs[0].qas[0].question is missing or of another kind"),
        (json.dumps(squad(question="")), "question must have 1 to 8,192 bytes"),
        (json.dumps(squad(answers=[{"text": "x"}])), "qas[0].answers[0].answer_start is missing"),
        (json.dumps(squad()).replace('"context"', '"text"'), "data[0].paragraphs[0].context is missing"),
    ],
)
def test_a_broken_file_is_one_line_that_names_the_place(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "squad.json"
    path.write_text(content, encoding="utf8")
    with pytest.raises(CliError) as caught:
        read_squad(path)
    assert words in caught.value.message
    assert "\n" not in caught.value.message
    assert (caught.value.exit_code, bool(caught.value.remedy)) == (2, True)


def test_an_id_that_comes_twice_is_refused(tmp_path: Path) -> None:
    document = squad()
    document["data"] += document["data"]
    (tmp_path / "squad.json").write_text(json.dumps(document), encoding="utf8")
    with pytest.raises(CliError, match="'q1' stands in the file already"):
        read_squad(tmp_path / "squad.json")
