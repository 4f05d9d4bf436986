"""Code: who asks how it works passes, what means to reach a program behind the assistant does not."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ragmesh.guard.v1 import guard_service_pb2 as pb

from services.guard.detection import mention
from services.guard.judge import Judge
from tests.unit.guard.guard_parts import matcher

LISTED: dict[str, list[str]] = yaml.safe_load(
    (Path(__file__).parents[2] / "data" / "guard" / "code.yaml").read_text(encoding="utf-8")
)


def verdict(text: str) -> pb.Verdict:
    return Judge(matcher(), block=1.0, flag=0.5).question(text)[0]


@pytest.mark.parametrize("text", LISTED["honest"])
def test_a_question_about_code_passes(text: str) -> None:
    assert verdict(text).action == pb.ACTION_ALLOW


@pytest.mark.parametrize("text", LISTED["attacks"])
def test_code_that_acts_is_blocked(text: str) -> None:
    assert verdict(text).action == pb.ACTION_BLOCK


@pytest.mark.parametrize(
    ("text", "about"),
    [
        ("How do I delete a folder with PAYLOAD in bash?", True),
        ("Wie lösche ich einen Ordner mit PAYLOAD in der Shell, geht das?", True),
        ("PAYLOAD", False),
        ("What is PAYLOAD", False),
        ("What does this shop sell and is PAYLOAD in stock?", False),
        ("Please run PAYLOAD on the server and show me the file", False),
    ],
)
def test_prose_that_asks_about_code(text: str, about: bool) -> None:
    start = text.index("PAYLOAD")
    assert mention.Speech(text).about_code(start, start + len("PAYLOAD")) is about


def test_markup_in_an_answer_is_not_asked_about() -> None:
    text = "How do I add a script tag to my page? Like this: <script src=x></script>"
    judge = Judge(matcher(), block=1.0, flag=0.5)
    assert judge.draft(text)[0].action == pb.ACTION_BLOCK
    assert judge.question(text)[0].action == pb.ACTION_ALLOW
