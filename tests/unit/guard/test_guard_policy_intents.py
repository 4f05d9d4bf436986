"""What an assistant is for, by the phrases of its policy: learnt at load, and what is like none of them is out of scope."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from ragmesh.evidence.v1.text_pb2 import Intent
from ragmesh.guard.v1 import guard_service_pb2 as pb

from services.guard import checks as building
from services.guard import explain
from services.guard.checks import CheckBuilder, Checks
from services.guard.detection.engines import engine
from services.guard.policy import PolicyError, PolicyStore
from services.guard.policy.file import MAX_PHRASES
from services.guard.policy.policy import Policy, load
from services.guard.question import Checked
from services.guard.understanding.classifier import IntentError
from services.guard.understanding.intent_model import InProcess, IntentModel
from services.guard.understanding.scope import Scope
from services.mesh.assistant import load_assistants
from tests.unit.guard.guard_parts import SETTINGS, sure, words
from tests.unit.guard.test_guard_intent_model import Recorded

ASSISTANT = "assistants/default"
QUESTION, OUTSIDE = Intent.INTENT_QUESTION, Intent.INTENT_OUT_OF_SCOPE
DELIVERY = [
    "where is my parcel",
    "when will my order arrive",
    "track my package",
    "has my order been shipped",
    "how long does delivery take",
    "wann kommt meine bestellung",
]
REFUND = [
    "i want my money back",
    "how do i return an item",
    "can i get a refund",
    "send the shoes back",
    "please cancel and refund my payment",
    "ich möchte mein geld zurück",
]
INSIDE, NEITHER = "my package has not arrived yet", "who wrote the iliad"


def listed(phrases: list[str]) -> str:
    return "[" + ", ".join(f'"{phrase}"' for phrase in phrases) + "]"


INTENTS = f"""\
assistant: {ASSISTANT}
intents:
  - {{name: delivery, phrases: {listed(DELIVERY)}}}
  - {{name: refund, phrases: {listed(REFUND)}}}
"""
TOPICS = f"""\
assistant: {ASSISTANT}
allowed_topics:
  - {{name: delivery, phrases: {listed(DELIVERY)}}}
  - {{name: refund, terms: [receipt*], phrases: {listed(REFUND)}}}
"""


def action(name: str) -> str:
    return f"actions: [{{category: CATEGORY_OFF_TOPIC, action: ACTION_{name}}}]\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "default.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@cache
def builder() -> CheckBuilder:
    # Learns the same phrases once a test run.
    return CheckBuilder(SETTINGS, load_assistants(SETTINGS.assistant_dir), engine)


def built(folder: Path, text: str) -> Checks:
    return builder()(load(written(folder, text)))


def placed(checks: Checks, text: str, *history: str) -> Checked:
    found = checks.questions.check(text, history)
    return checks.questions.place(found, checks.here.understand(found.normalised, found.intent).intent, history)


@pytest.mark.parametrize(
    ("more", "taken"),
    [
        ("", pb.ACTION_ALLOW),
        (action("ALLOW"), pb.ACTION_ALLOW),
        (action("FLAG"), pb.ACTION_FLAG),
        (action("BLOCK"), pb.ACTION_BLOCK),
    ],
    ids=["not named", "allow", "flag", "block"],
)
def test_what_is_like_no_intent_is_out_of_scope_and_the_policy_says_what_follows(
    tmp_path: Path, more: str, taken: pb.Action.ValueType
) -> None:
    checks = built(tmp_path, INTENTS + more)
    inside, outside = placed(checks, INSIDE), placed(checks, NEITHER)
    assert (inside.intent, inside.verdict.action) == (QUESTION, pb.ACTION_ALLOW)
    assert (outside.intent, outside.verdict.action) == (OUTSIDE, taken)
    assert (outside.verdict.category == pb.CATEGORY_OFF_TOPIC) is (taken != pb.ACTION_ALLOW)


def test_topics_by_phrases_close_the_rest_and_a_word_of_one_opens(tmp_path: Path) -> None:
    checks = built(tmp_path, TOPICS)
    assert not placed(checks, INSIDE).refused
    outside = placed(checks, NEITHER)
    assert (outside.intent, outside.verdict.category, outside.refused) == (OUTSIDE, pb.CATEGORY_OFF_TOPIC, True)
    by_word = placed(checks, "who wrote this receipt")
    assert (by_word.intent, by_word.refused) == (QUESTION, False)


def test_what_follows_a_question_in_scope_is_about_it(tmp_path: Path) -> None:
    checks = built(tmp_path, TOPICS)
    assert placed(checks, NEITHER).refused
    assert not placed(checks, NEITHER, INSIDE).refused
    assert placed(checks, NEITHER, INSIDE, "what is the capital of peru").refused


def test_small_talk_has_no_topic(tmp_path: Path) -> None:
    found = placed(built(tmp_path, TOPICS), "hello")
    assert (found.intent, found.refused, found.guess) == (Intent.INTENT_GREETING, False, None)


async def test_without_the_model_the_scope_is_known_as_well(tmp_path: Path) -> None:
    checks = built(tmp_path, TOPICS)
    model = IntentModel(Recorded(failure="MODEL_UNAVAILABLE"), InProcess(sure()), seconds=0.05, probe_seconds=1.0)
    for text, intent, degraded in ((NEITHER, OUTSIDE, ""), ("thansk!!", OUTSIDE, "MODEL_UNAVAILABLE")):
        found = checks.questions.check(text)
        understood = await model.understand(found.normalised, found.intent)
        assert understood.degraded == degraded
        assert checks.questions.place(found, understood.intent).intent == intent


def test_an_explanation_says_what_it_was_taken_for(tmp_path: Path) -> None:
    checks = built(tmp_path, TOPICS)
    found = placed(checks, INSIDE)
    told = explain.explanation(checks.judge, checks.policy, INSIDE, found.verdict, found.seen, (None, found.guess)).intents
    (guess,) = told
    assert (guess.by, guess.intent, guess.nearest) == ("policy", "topic delivery", "topic delivery")
    assert guess.threshold <= guess.probability <= 1


def test_a_policy_without_phrases_learns_nothing(tmp_path: Path) -> None:
    found = placed(built(tmp_path, f"assistant: {ASSISTANT}\n"), NEITHER)
    assert (found.intent, found.guess, found.verdict.action) == (QUESTION, None, pb.ACTION_ALLOW)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (
            "intents:\n  - {name: Delivery, phrases: [where is it, when is it, who has it]}",
            "3: intents[0].name: does not match regex pattern `^[a-z][a-z0-9_]{0,63}$`",
        ),
        ("intents:\n  - {name: a, phrases: [where is it]}", "3: intents[0].phrases: must contain at least 3 item(s)"),
        (
            'intents:\n  - name: a\n    phrases:\n    - where is it\n    - when is it\n    - "12345"',
            "7: intents[0].phrases[2]: does not match regex pattern `\\pL`",
        ),
        (
            "intents:\n  - {name: a, phrases: [one, two, three]}\n  - {name: a, phrases: [four, five, six]}",
            "1: the policy: an intent may be named once in intents",
        ),
        (
            "intents:\n  - {name: a, phrases: [one, two, three]}\n  - name: b\n    phrases:\n    - four\n    - five\n    - ONE",
            "8: intents[1].phrases[2]: is also a phrase of a",
        ),
        (
            "log_text: true\nintents:\n  - {name: a, phrases: [one, two, three]}",
            "4: intents[0].phrases: one alone cannot be told apart: name another one, or out_of_scope in intents, with phrases",
        ),
        ("allowed_topics:\n  - {name: cannabidiol}", "3: allowed_topics[0]: a topic must have terms or phrases"),
    ],
    ids=["name", "few", "no letters", "twice", "in two", "alone", "nothing"],
)
def test_bad_phrases_are_refused_by_line_and_reason(tmp_path: Path, fields: str, reason: str) -> None:
    with pytest.raises(PolicyError) as error:
        load(written(tmp_path, f"assistant: {ASSISTANT}\n{fields}\n"))
    assert str(error.value) == f"{tmp_path}/default.yaml:{reason}"


def test_more_phrases_than_can_be_learnt_in_time_are_refused(tmp_path: Path) -> None:
    each = MAX_PHRASES // 3
    lists = [[f"phrase {intent} {number}" for number in range(each + 1)] for intent in range(3)]
    lines = "\n".join(f"  - {{name: i{at}, phrases: {listed(phrases)}}}" for at, phrases in enumerate(lists))
    with pytest.raises(PolicyError, match=r":5: intents\[2\]\.phrases: there may be 1500 phrases in all"):
        load(written(tmp_path, f"assistant: {ASSISTANT}\nintents:\n{lines}\n"))


def test_learning_ends_when_its_time_is_up() -> None:
    with pytest.raises(IntentError, match="learning takes more than 0 s"):
        Scope.learn({"delivery": tuple(DELIVERY), "refund": tuple(REFUND)}, words(), seconds=0)


async def test_phrases_that_cannot_be_learnt_leave_the_old_policy_and_are_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []

    class Slow(Scope):
        @classmethod
        def learn(cls, phrases: object, words: object, seconds: float = 0) -> Scope:
            tried.append(len(str(phrases)))
            raise IntentError("learning takes more than 60 s of computing")

    written(tmp_path, INTENTS)
    fresh = CheckBuilder(SETTINGS, load_assistants(SETTINGS.assistant_dir), engine)
    policies: PolicyStore[Checks] = PolicyStore(tmp_path, (ASSISTANT,), fresh)
    before = policies.built(ASSISTANT)
    monkeypatch.setattr(building, "Scope", Slow)
    written(tmp_path, INTENTS.replace("track my package", "track my parcel"))
    for _ in range(2):
        done = await policies.reload()
        assert done.refused == (f"{tmp_path}/default.yaml:1: intents: learning takes more than 60 s of computing",)
        assert policies.built(ASSISTANT) is before
    assert len(tried) == 1
    # Another field of the policy makes nothing be learnt again.
    written(tmp_path, INTENTS + "log_text: true\n")
    assert (await policies.reload()).taken == (ASSISTANT,)
    assert len(tried) == 1


def test_the_default_assistant_names_nothing() -> None:
    policy: Policy = load(SETTINGS.policy_dir / "default.yaml")
    assert not policy.phrases and not policy.closed
