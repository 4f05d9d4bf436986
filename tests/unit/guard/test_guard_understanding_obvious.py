"""What is an obvious question here is what the served head would not read either."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from ragmesh_models import intents

from services.guard.understanding.obvious import MAX_WORDS, MOST_STRANGE, Obvious
from tests.unit.guard.guard_parts import goldens

ROOT = Path(__file__).resolve().parents[3]
CONFIG = json.loads((ROOT / "deploy/triton/model_repository/intent/1/intent.json").read_text(encoding="utf-8"))


def test_the_words_are_those_of_the_head() -> None:
    listed = (ROOT / "services/guard/understanding/small_talk/vocabulary.txt").read_text(encoding="utf-8").split()
    assert listed == CONFIG["vocabulary"]
    assert (MAX_WORDS, MOST_STRANGE) == (intents.MAX_WORDS, intents.MOST_STRANGE)


def test_it_agrees_with_the_head_on_what_is_read() -> None:
    read = intents.IntentFeatures(frozenset(CONFIG["vocabulary"]))
    asked = [row["question"] for row in goldens()]
    told = yaml.safe_load((ROOT / "tests/data/guard/understanding/questions.yaml").read_text(encoding="utf-8"))
    texts = [text for text in [*asked, *(text for group in told.values() for text in group)] if len(text) <= intents.MAX_CHARS]
    obvious = Obvious()
    assert [obvious.question(text) for text in texts] == [read(text) is None for text in texts]
    assert sum(map(obvious.question, asked)) > len(asked) / 2


@pytest.mark.parametrize("text", ["hello", "Wer bist du denn?", "hellooo there!!", "thank you so much, bye", "👋", "¿hola?"])
def test_small_talk_is_never_obvious(text: str) -> None:
    assert not Obvious().question(text)
