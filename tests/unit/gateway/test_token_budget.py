"""The window of an engine, shared out: never more than it has, and the evidence never starved."""

from __future__ import annotations

import random

import pytest

from services.gateway.token_budget import MAX_WINDOW, MIN_WINDOW, Allocation, allocate, estimate


def test_what_needs_little_gets_it_and_the_evidence_the_rest() -> None:
    assert allocate(8192, system=60, question=20, history=300, answer=512) == Allocation(60, 20, 300, 8192 - 892, 512)


def test_nobody_takes_more_than_a_share() -> None:
    made = allocate(1000, system=9000, question=9000, history=9000, answer=9000)
    assert made == Allocation(system=150, question=250, history=150, evidence=150, answer=300)


def test_shares_never_exceed_the_window() -> None:
    chance = random.Random(3)
    for _ in range(2000):
        window = chance.randrange(MIN_WINDOW, MAX_WINDOW + 1)
        parts = {
            name: chance.choice((0, 1, window // 9, window, 10 * window)) for name in ("system", "question", "history", "answer")
        }
        made = allocate(window, **parts)
        assert made.system + made.question + made.history + made.evidence + made.answer <= window
        assert made.evidence >= 64
        assert made.evidence >= made.history


@pytest.mark.parametrize("window", [0, MIN_WINDOW - 1, MAX_WINDOW + 1])
def test_windows_have_bounds(window: int) -> None:
    with pytest.raises(ValueError, match="window"):
        allocate(window, system=0, question=0, history=0, answer=0)


def test_nothing_is_negative() -> None:
    with pytest.raises(ValueError, match="fewer than 0"):
        allocate(1024, system=0, question=-1, history=0, answer=0)


def test_an_estimate_is_no_less_than_half_the_bytes() -> None:
    assert (estimate(""), estimate("abc"), estimate("üü")) == (0, 2, 2)
