"""The language of short questions, of mixed text, and of what has none."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from services.guard.understanding.language import UNKNOWN
from tests.unit.guard.guard_parts import languages

QUESTIONS = Path(__file__).resolve().parents[2] / "data" / "guard" / "understanding" / "questions.yaml"


def test_short_questions_are_told_apart() -> None:
    asked = yaml.safe_load(QUESTIONS.read_text(encoding="utf-8"))
    assert sum(map(len, asked.values())) >= 120
    said = [(tag, form) for tag, questions in asked.items() for text in questions for form in (text, f"{text.capitalize()}?")]
    wrong = [(tag, text, found) for tag, text in said if (found := languages().find(text)) != tag]
    assert len(wrong) <= 0.03 * len(said), wrong


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Was bedeutet full spectrum auf dem Label?", "de"),
        ("Qu'est-ce que le machine learning?", "fr"),
        ("¿Qué es un firewall y cómo funciona?", "es"),
        ("Как работает machine learning?", "ru"),
        ("K čemu je dobré machine learning?", "cs"),
        ("Какие события были в Киеве?", "ru"),
        ("Які події були в Києві?", "uk"),
    ],
)
def test_foreign_words_do_not_hide_the_language(text: str, wanted: str) -> None:
    assert languages().find(text) == wanted


@pytest.mark.parametrize("text", ["", "?", "12345", "CBD", "CBD 20 mg", "sha256:abcdef", "日本語", "...", "👍"])
def test_what_has_no_language_has_none(text: str) -> None:
    assert languages().find(text) == UNKNOWN
