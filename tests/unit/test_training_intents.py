"""What the small talk head is trained on: drawn utterances keep their intent, the test set stays apart; without data or torch."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from ragmesh_models.intents import LABELS

from services.guard.understanding.intents import SmallTalk
from training import ROOT, splits
from training.evaluation import golden_files, strings_of
from training.intent_data import (
    BY_WEIGHT,
    LANGUAGES,
    TEST_UTTERANCES,
    Hard,
    Small,
    Utterance,
    Written,
    graded_utterances,
    key_of,
    untidy,
)
from training.intent_phrases import PHRASES, Phrases, sample

SEED = 20260721


@pytest.fixture(scope="module")
def written() -> Written:
    return Written()


def test_there_are_utterances_of_every_intent_in_both_languages(written: Written) -> None:
    rows = written.training + written.held_out
    assert len([row for row in rows if row.label != "question"]) > 800
    for language in LANGUAGES:
        for label in LABELS:
            assert len([row for row in rows if (row.language, row.label) == (language, label)]) >= 40, (language, label)


def test_held_out_utterances_are_no_training_utterances(written: Written) -> None:
    held = {key_of(row.text) for row in written.held_out}
    assert len(held) > 100
    assert not held & {key_of(row.text) for row in written.training}
    small, rng = Small(written), random.Random(SEED)
    assert not held & {key_of(small.draw_tidy(rng).text) for _ in range(3_000)}


def test_no_utterance_is_a_golden(written: Written) -> None:
    known = splits.gram_set(text for path in golden_files(ROOT) for text in strings_of(path.name, path.read_text(encoding="utf-8")))
    splits.refuse_contamination([row.text for row in written.training], known, "intent")
    splits.refuse_contamination([row.text for row in graded_utterances()], known, "intent")


def test_the_test_set_is_apart_from_the_training_set(written: Written) -> None:
    assert written.path != TEST_UTTERANCES
    rows = graded_utterances()
    assert len([row for row in rows if row.label != "question"]) > 150
    assert not {key_of(row.text) for row in rows} & {key_of(row.text) for row in written.training}


def test_a_drawn_phrase_is_small_talk_of_its_intent() -> None:
    """What is drawn from a phrase is what the guard takes for that intent, or for a weightier one that it holds as well."""
    guard, phrases, rng = SmallTalk(PHRASES, ["bot", "robot", "chatbot", "assistant", "dear bot"]), Phrases(), random.Random(SEED)
    drawn = [phrases.draw(rng) for _ in range(400)]
    seen = [guard.find(text)[0] for text, _, _ in drawn]
    assert sum(found != 1 for found in seen) / len(seen) > 0.9, f"seed {SEED}"


@pytest.mark.parametrize(
    ("phrase", "possible"),
    [
        ("a|b", {"a", "b"}),
        ("hi( there)?", {"hi", "hi there"}),
        ("(good|nice) day( to you)?", {"good day", "nice day", "good day to you", "nice day to you"}),
        ("x( y){1,2}", {"x y", "x y y"}),
        ("no( (more|other))* one", {f"no{''.join(mid)} one" for mid in ("", " more", " other")}),
    ],
)
def test_a_sample_is_an_utterance_that_the_phrase_covers(phrase: str, possible: set[str]) -> None:
    rng = random.Random(SEED)
    found = {sample(phrase, rng) for _ in range(300)}
    assert possible <= found
    if "*" not in phrase:
        assert found == possible


def test_the_weightier_of_two_intents_counts(written: Written) -> None:
    small, rng = Small(written), random.Random(SEED)
    by_key = {key_of(row.text): row.label for row in written.training}
    labels = {small.draw(rng).label for _ in range(500)}
    assert labels == set(BY_WEIGHT)
    assert by_key[key_of("who are you")] == "identity"


def test_hard_questions_are_questions_with_their_frames_filled(written: Written) -> None:
    hard = Hard(written, [Utterance("why do leaves fall", "question", "en", "test")], {"en": ["terpenes"], "de": ["Terpene"]})
    rng = random.Random(SEED)
    drawn = [hard.draw(rng) for _ in range(500)]
    assert {row.label for row in drawn} == {"question"}
    assert not [row.text for row in drawn if "{" in row.text]
    assert any("leaves" in row.text.lower() for row in drawn)


def test_untidy_text_keeps_its_words_for_the_most_part() -> None:
    rng = random.Random(SEED)
    kept = sum(key_of(untidy("what can you do", "en", rng)).startswith("what") for _ in range(300))
    assert kept > 200, f"seed {SEED}"


def test_the_written_file_is_read_from_where_it_is_told(tmp_path: Path) -> None:
    path = tmp_path / "u.yaml"
    path.write_text("en:\n  greeting: |\n    hi\n    ho\nde:\n  thanks: |\n    danke\n", encoding="utf-8")
    found = Written(path)
    assert {(row.text, row.label, row.language) for row in found.training + found.held_out} == {
        ("hi", "greeting", "en"), ("ho", "greeting", "en"), ("danke", "thanks", "de"),
    }  # fmt: skip
