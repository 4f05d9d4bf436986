"""How one question of `ragmesh eval answers` is graded, answered or left unanswered."""

from __future__ import annotations

from cli.evaluation import figures
from cli.evaluation.answers import Seen, Shown, mark
from cli.evaluation.rows import QuestionRow

PASSAGE = "The bridge crosses the Moss. It was finished in 1742. It has nine arches."
CROSSES, FINISHED, ARCHES = (
    Shown(text, PASSAGE, "bridge") for text in ("The bridge crosses the Moss.", "It was finished in 1742.", "It has nine arches.")
)
ASKED = QuestionRow(id="q", question="When was the bridge finished?", answers=("1742",), relevant=("bridge",), answerable=True)
NOWHERE = QuestionRow(id="n", question="Who built it?", answers=(), relevant=(), answerable=False)


def test_an_answer_is_graded_by_what_was_shown() -> None:
    found = mark(ASKED, Seen([CROSSES, FINISHED], ["bridge", "mill"], 0.9, [], short="1742"))
    assert (found["shown_sentence"], found["shown_sentence_strict"], found["shown_2"]) == (0, 0, 1)
    assert (found["em"], found["f1"], found["right"]) == (1, 1, 0)
    assert (found["cited"], found["cited_right"], found["citation_recall"]) == (2, 1, 1)
    assert (found["answered"], found["answered_right"], found["shown_2_or_silent"]) == (1, 0, 1)
    assert found["unanswerable_answered"] is None


def test_without_a_short_answer_the_sentence_is_what_was_said() -> None:
    found = mark(ASKED, Seen([FINISHED], ["bridge"], 0.9, [], ttft_ms=12.0))
    assert (found["em"], found["ttft_ms"]) == (0, 12)
    assert found["f1"] == 2 * 1 / (5 + 1)


def test_a_third_sentence_does_not_count() -> None:
    assert mark(ASKED, Seen([CROSSES, ARCHES, FINISHED], [], 0.9, []))["shown_2"] == 0


def test_silence_is_graded_by_what_was_withheld_and_is_wrong_at_the_threshold() -> None:
    found = mark(ASKED, Seen([], [], 0.02, [FINISHED, CROSSES], short="1742"))
    assert (found["shown_sentence"], found["shown_sentence_strict"], found["shown_2"], found["right"]) == (1, 1, 1, 1)
    assert (found["em"], found["f1"], found["cited"]) == (0, 0, 0)
    assert (found["answered"], found["shown_sentence_or_silent"], found["shown_2_or_silent"]) == (0, 0, 0)
    assert found["answered_right"] is None


def test_what_is_neither_shown_nor_withheld_is_wrong() -> None:
    found = mark(ASKED, Seen([], [], 0.9, [], short="1742"))
    assert (found["shown_sentence"], found["shown_2"], found["em"], found["right"]) == (0, 0, 0, 0)


def test_a_sentence_of_another_document_is_not_right_in_the_strict_sense() -> None:
    found = mark(ASKED, Seen([Shown(FINISHED.text, PASSAGE, "mill")], ["mill"], 0.9, []))
    assert (found["shown_sentence"], found["shown_sentence_strict"], found["cited_right"]) == (1, 0, 0)


def test_what_is_not_exactly_one_sentence_is_wrong() -> None:
    assert mark(ASKED, Seen([Shown("It was finished in 1742. It has", PASSAGE, "bridge")], [], 0.9, []))["shown_sentence"] == 0


def test_silence_is_right_where_nothing_answers() -> None:
    silent, spoke = mark(NOWHERE, Seen([], [], 0.02, [CROSSES])), mark(NOWHERE, Seen([CROSSES], ["bridge"], 0.9, []))
    assert (silent["em"], spoke["em"]) == (1, 0)
    assert (silent["right"], spoke["right"]) == (0, 0)
    assert (silent["unanswerable_answered"], spoke["unanswerable_answered"]) == (0, 1)
    assert silent["shown_sentence"] is silent["answered"] is silent["cited_answerable"] is None


def test_the_thresholds_are_told_apart_from_the_answers() -> None:
    marks = [
        mark(ASKED, Seen([FINISHED], ["bridge"], 0.9, [])),
        mark(ASKED, Seen([CROSSES], ["bridge", "mill"], 0.5, [])),
        mark(ASKED, Seen([], [], 0.05, [FINISHED])),
        mark(ASKED, Seen([], [], 0.04, [ARCHES])),
        mark(NOWHERE, Seen([CROSSES], ["bridge"], 0.3, [])),
    ]
    assert figures.summarise("answers", marks)["shown_sentence"] == 50
    assert figures.summarise("answers", marks)["citation_precision"] == 50
    found = figures.at_threshold("answers", marks)
    assert (found["answered"], found["answered_right"], found["shown_sentence"]) == (50, 50, 25)
    assert found["citation_precision_answerable"] == 100 * 2 / 3
    assert found["unanswerable_answered"] == 100
