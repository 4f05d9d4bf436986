"""Small talk: the golden rows, and that nothing which asks something is taken for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from ragmesh.evidence.v1.text_pb2 import Intent

from services.guard.understanding.intents import SmallTalk, SmallTalkError
from tests.unit.guard.guard_parts import goldens, small_talk

TEMPLATES = {
    "greeting": Intent.INTENT_GREETING,
    "thanks": Intent.INTENT_THANKS,
    "goodbye": Intent.INTENT_GOODBYE,
    "who_are_you": Intent.INTENT_IDENTITY,
    "capabilities": Intent.INTENT_CAPABILITIES,
    "how_are_you": Intent.INTENT_WELLBEING,
}


def intent(text: str) -> Intent.ValueType:
    return small_talk().find(text)[0]


@pytest.mark.parametrize("row", [row for row in goldens() if row["kind"] == "small_talk"], ids=lambda row: row["id"])
def test_golden_small_talk(row: dict[str, str]) -> None:
    assert intent(row["question"]) == TEMPLATES[row["template"]]


def test_no_golden_question_is_small_talk() -> None:
    questions = [row["question"] for row in goldens() if row["kind"] != "small_talk"]
    assert len(questions) > 150
    assert [text for text in questions if intent(text) != Intent.INTENT_QUESTION] == []


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Hi, who are you?", Intent.INTENT_IDENTITY),
        ("hello 👋", Intent.INTENT_GREETING),
        ("HELLO!!!", Intent.INTENT_GREETING),
        ("hi hi", Intent.INTENT_GREETING),
        ("hey ChatCBD", Intent.INTENT_GREETING),
        ("thanks for your help", Intent.INTENT_THANKS),
        ("thnaks", Intent.INTENT_THANKS),
        ("ok, thanks, bye", Intent.INTENT_GOODBYE),
        ("what's your name?", Intent.INTENT_IDENTITY),
        ("What can you help me with?", Intent.INTENT_CAPABILITIES),
        ("good, and you?", Intent.INTENT_WELLBEING),
        ("Guten Tag", Intent.INTENT_GREETING),
        ("Vielen Dank für die Hilfe!", Intent.INTENT_THANKS),
        ("Tschüss", Intent.INTENT_GOODBYE),
        ("Wer bist du?", Intent.INTENT_IDENTITY),
        ("Was kannst du alles?", Intent.INTENT_CAPABILITIES),
        ("Wie geht's dir?", Intent.INTENT_WELLBEING),
        ("Bonjour", Intent.INTENT_GREETING),
        ("¡Muchas gracias!", Intent.INTENT_THANKS),
        ("Привет", Intent.INTENT_GREETING),
        ("спасибо большое", Intent.INTENT_THANKS),
    ],
)
def test_small_talk(text: str, wanted: Intent.ValueType) -> None:
    assert intent(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "hi, does CBD help sleep?",
        "thanks, but what about dogs?",
        "hello, what is CBD",
        "Can CBD help me?",
        "help me sleep",
        "hemp",
        "What can CBD do?",
        "who are the makers of Epidiolex?",
        "how are you supposed to store it?",
        "how are gummies made?",
        "bye laws of hemp farming",
        "good night sleep with CBD",
        "good morning dose 20 mg?",
        "are you allowed to fly with CBD?",
        "are you able to drive on CBD?",
        "what is your dose limit",
        "ok",
        "yes",
        "?",
        "",
        "thanks " * 40,
        "Wer darf CBD verkaufen?",
        "Hallo, was kostet CBD?",
    ],
)
def test_what_asks_something_is_a_question(text: str) -> None:
    assert intent(text) == Intent.INTENT_QUESTION


def test_the_language_of_small_talk_comes_with_it() -> None:
    assert small_talk().find("hallo") == (Intent.INTENT_GREETING, "de")
    assert small_talk().find("hey there") == (Intent.INTENT_GREETING, "en")
    assert small_talk().find("does CBD help?")[1] == "und"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("language: en\nfillers: []\nintents: {greeting: ['hello(']}\n", "greet|unterminated|missing|parenthesis|written out"),
        ("language: en\nfillers: []\nintents: {insult: [idiot]}\n", "insult"),
        ("language: en\nfillers: []\nintents: {greeting: ['hi+']}\n", "written out"),
        ("language: english language\nfillers: []\nintents: {greeting: [hi]}\n", "language"),
        ("- a list\n", "_File"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "en.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(SmallTalkError, match=reason) as refused:
        SmallTalk(tmp_path, ["ChatCBD"])
    assert "en.yaml" in str(refused.value)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SmallTalkError, match="holds no file"):
        SmallTalk(tmp_path, [])
