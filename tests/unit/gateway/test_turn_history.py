"""What of a conversation the other services read."""

from __future__ import annotations

from ragmesh.evidence.v1.text_pb2 import ROLE_ASSISTANT, ROLE_USER, Utterance
from ragmesh.gateway.v1 import turn_pb2 as t

from services.gateway.history import MAX_BYTES, MAX_TURNS, MAX_UTTERANCES, utterances
from tests.unit.gateway import turn_events as ev


def _log(question: str, answer: str, outcome: t.Outcome.ValueType = t.OUTCOME_ANSWERED, *more: t.TurnEvent) -> list[t.TurnEvent]:
    said = [ev.delta(0, answer)] if answer else []
    return ev.numbered([ev.started(question), *said, *more, ev.finished(outcome)])


def _said(logs: list[list[t.TurnEvent]]) -> list[str]:
    return [utterance.text for utterance in utterances(logs)]


def test_question_and_answer_oldest_first() -> None:
    said = utterances([_log("one?", "1."), _log("two?", "2.")])
    assert [(item.role, item.text) for item in said] == [
        (ROLE_USER, "one?"),
        (ROLE_ASSISTANT, "1."),
        (ROLE_USER, "two?"),
        (ROLE_ASSISTANT, "2."),
    ]


def test_a_refused_question_is_left_out_and_a_failed_one_has_no_answer() -> None:
    assert _said([_log("bad", "", t.OUTCOME_BLOCKED), _log("two?", "", t.OUTCOME_FAILED), _log("three?", "3.")]) == [
        "two?",
        "three?",
        "3.",
    ]


def test_a_turn_whose_question_nobody_judged_is_left_out() -> None:
    assert _said([_log("", "", t.OUTCOME_FAILED), _log("two?", "2.")]) == ["two?", "2."]


def test_retracted_text_is_not_said() -> None:
    assert _said([_log("q?", "secret", t.OUTCOME_PARTIAL, ev.retracted(0, 6))]) == ["q?"]
    assert _said([_log("q?", "open secret", t.OUTCOME_PARTIAL, ev.retracted(5, 11))]) == ["q?", "open"]


def test_the_newest_twenty_are_kept() -> None:
    said = _said([_log(f"{n}?", f"{n}.") for n in range(MAX_TURNS + 5)])
    assert len(said) == MAX_UTTERANCES
    assert said[0] == "5?" and said[-1] == "14."


def test_the_newest_sixteen_kibibytes_are_kept_in_bytes() -> None:
    said = utterances([_log("old?", "x" * 500), _log("ü" * 4000, "€" * 2000), _log("new?", "y" * 2000)])
    assert [item.text[:4] for item in said] == ["üüüü", "€€€€", "new?", "yyyy"]
    assert sum(len(item.text.encode()) for item in said) == 8000 + 6000 + 4 + 2000


def test_the_limit_counts_to_the_byte() -> None:
    exact = utterances([_log("x" * (MAX_BYTES - 4), "1234")])
    assert sum(len(item.text.encode()) for item in exact) == MAX_BYTES
    assert _said([_log("x" * (MAX_BYTES - 3), "1234")]) == ["1234"]


def test_one_answer_beyond_the_limit_leaves_nothing_rather_than_a_gap() -> None:
    assert utterances([_log("one?", "1."), _log("two?", "y" * (MAX_BYTES + 1))]) == []


def test_no_turns_no_history() -> None:
    assert utterances([]) == list[Utterance]()
