"""The shipped classifier of small talk and questions: sure, or silent."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.guard.understanding.classifier import IntentClassifier, IntentError
from services.guard.understanding.sure import DEFAULT, QUESTION, SURE, Sure
from tests.unit.guard.guard_parts import goldens, sure, words


@pytest.mark.parametrize("text", ["hi, does CBD help with sleep?", "What is the right dose?", "wie lange ist das Öl offen haltbar"])
def test_it_is_sure_of_a_question(text: str) -> None:
    found = sure().understand(text)
    assert (found.by, found.intent, found.nearest) == ("small_talk", QUESTION, QUESTION)
    assert found.probability >= found.threshold == SURE


@pytest.mark.parametrize(("text", "wanted"), [("hi!", "greeting"), ("wie gehts", "wellbeing"), ("thank you so much", "thanks")])
def test_it_knows_small_talk(text: str, wanted: str) -> None:
    found = sure().understand(text)
    assert found.nearest == wanted
    assert found.intent in ("", wanted)


def test_what_it_is_not_sure_of_has_no_intent() -> None:
    found = sure().understand("thansk!!")
    assert (found.intent, found.nearest) == ("", "thanks")
    assert 0 < found.probability < SURE


def test_no_golden_question_is_small_talk_to_it() -> None:
    asked = [row["question"] for row in goldens() if row["kind"] != "small_talk"]
    assert len(asked) >= 100
    assert [text for text in asked if sure().understand(text).intent not in ("", QUESTION)] == []


def test_fewer_ngrams_make_a_smaller_file_that_understands_the_same(tmp_path: Path) -> None:
    whole = IntentClassifier.load(DEFAULT, words())
    few = whole.lightened(10_000)
    few.save(tmp_path / "few.npz")
    assert (tmp_path / "few.npz").stat().st_size < DEFAULT.stat().st_size / 2
    for text in ("hello", "what is the dose of CBD"):
        assert few.understand(text).nearest == whole.understand(text).nearest


def test_weights_without_questions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(IntentError, match="no weights"):
        Sure.load(words(), tmp_path / "none.npz")
    pairs = [(f"{text} {number}", intent) for number in range(4) for text, intent in (("red", "a"), ("blue", "b"))]
    with pytest.raises(ValueError, match="question"):
        Sure(IntentClassifier.learn(pairs, words()))
