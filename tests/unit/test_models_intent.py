"""The small talk head without Triton: features, what it must not swallow, parity of the exported graph with torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ragmesh_models.intents import (
    BUCKETS,
    LABELS,
    MAX_CHARS,
    MAX_FEATURES,
    MAX_WORDS,
    MOST_STRANGE,
    IntentFeatures,
    IntentReader,
    tokens_of,
)

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "triton" / "model_repository" / "intent" / "1"


@pytest.fixture(scope="module")
def reader() -> IntentReader:
    return IntentReader(FOLDER)


@pytest.fixture(scope="module")
def parity() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / "parity.json").read_text(encoding="utf-8"))
    return found


def label(reader: IntentReader, text: str) -> str:
    row = reader([text])[0]
    return LABELS[1 + int(row[1:].argmax())] if 1 - row[0] >= reader.threshold else "question"


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Who's THERE?!", ["whos", "there", "?"]),
        ("Tschüß 👋👋", ["tschuss", "☺"]),
        ("hellooo", ["hello"]),
        ("20 mg", ["0", "mg"]),
        ("… –", []),
        ("what??", ["what", "?"]),
    ],
)
def test_tokens_do_not_know_case_accents_or_drawn_out_letters(text: str, tokens: list[str]) -> None:
    assert tokens_of(text) == tokens


def test_features_are_rows_of_the_table_each_once() -> None:
    rows = IntentFeatures(frozenset({"hello"}))("hello there, " + "pneumonoultramicroscopic " * 2)
    assert rows is not None
    assert rows.dtype == np.int32
    assert len(set(rows.tolist())) == len(rows) <= MAX_FEATURES
    assert 0 < rows.min() <= rows.max() < BUCKETS


def test_words_that_no_small_talk_has_stand_for_each_other() -> None:
    features = IntentFeatures(frozenset({"what", "can", "do"}))
    first, second, known = (features(f"what can {word} do") for word in ("cbd", "elephants", "what"))
    assert first is not None and second is not None and known is not None
    both = set(first.tolist()) & set(second.tolist())
    assert len(both) > len(both & set(known.tolist())) > 0


def test_a_text_with_many_words_that_no_small_talk_has_is_not_read() -> None:
    features = IntentFeatures(frozenset({"hello"}))
    assert features("hello " + "stranger " * MOST_STRANGE) is not None
    assert features("hello " + "stranger " * (MOST_STRANGE + 1)) is None


@pytest.mark.parametrize(
    "text", ["hi " * (MAX_WORDS + 1), "h" * (MAX_CHARS + 1), "", " …"], ids=["words", "letters", "empty", "marks"]
)
def test_what_is_too_long_or_empty_is_a_question_unread(reader: IntentReader, text: str) -> None:
    assert reader([text]).tolist() == [[1.0, 0, 0, 0, 0, 0, 0]]


@pytest.mark.parametrize(
    "text",
    [
        "what can CBD do",
        "who are the authors",
        "hi, does CBD help with sleep?",
        "thanks, and what about dogs?",
        "how are gummies made?",
        "can you help me sleep",
        "hallo, was kostet CBD?",
        "was kann CBD?",
        "wer sind die Autoren?",
        "ok",
        "?",
    ],
)
def test_what_asks_something_is_a_question(reader: IntentReader, text: str) -> None:
    assert label(reader, text) == "question"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("hi", "greeting"),
        ("Guten Morgen!", "greeting"),
        ("thank you so much 🙏", "thanks"),
        ("vielen dank", "thanks"),
        ("ok bye", "goodbye"),
        ("Tschüss", "goodbye"),
        ("hi, who are you?", "identity"),
        ("are you a robot", "identity"),
        ("Bist du ein Mensch?", "identity"),
        ("What can you do?", "capabilities"),
        ("was kannst du alles", "capabilities"),
        ("how are you today?", "wellbeing"),
        ("wie geht's dir", "wellbeing"),
    ],
)
def test_small_talk(reader: IntentReader, text: str, wanted: str) -> None:
    assert label(reader, text) == wanted


def test_no_golden_question_is_small_talk(reader: IntentReader) -> None:
    files = sorted((ROOT / "goldens").glob("chatcbd-*.jsonl"))
    rows = [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    questions = [row["question"] for row in rows if row["kind"] != "small_talk"]
    assert len(questions) > 150
    assert [text for text in questions if label(reader, text) != "question"] == []


def test_probabilities_sum_to_one_and_a_batch_changes_nothing(reader: IntentReader) -> None:
    texts = ["hi", "what is the half life of cannabidiol in fasting adults?", "", "danke", "x" * 200]
    together = reader(texts)
    assert together.shape == (len(texts), len(LABELS))
    np.testing.assert_allclose(together.sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(together, np.concatenate([reader([text]) for text in texts]), atol=1e-5)


def test_the_exported_graph_gives_what_torch_gave(reader: IntentReader, parity: dict[str, Any]) -> None:
    assert len(parity["rows"]) >= 4
    config = json.loads((FOLDER / "intent.json").read_text(encoding="utf-8"))
    features = IntentFeatures(frozenset(config["vocabulary"]))
    for row in parity["rows"]:
        found = features(row["text"])
        assert found is not None
        assert found.tolist() == row["ids"]
        np.testing.assert_allclose(reader([row["text"]])[0], row["probabilities"], atol=parity["tolerance"])


def test_weights_of_other_intents_are_refused(tmp_path: Path) -> None:
    (tmp_path / "intent.json").write_text('{"labels": ["question"], "threshold": 0.5, "vocabulary": []}', encoding="utf-8")
    with pytest.raises(ValueError, match="other intents"):
        IntentReader(tmp_path)
