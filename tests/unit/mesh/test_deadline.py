"""Budgets: what is left, and what a child may have of it."""

from __future__ import annotations

import math

import pytest

from services.mesh import deadline
from services.mesh.deadline import Budget
from services.mesh.errors import MeshError


class _Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    """Time that passes only when the test says so."""
    made = _Clock()
    monkeypatch.setattr(deadline, "time", made)
    return made


def test_time_passes_and_never_goes_below_zero(clock: _Clock) -> None:
    budget = Budget(2.0)
    assert budget.remaining() == 2.0
    clock.now += 1.5
    assert budget.remaining() == 0.5
    clock.now += 5
    assert budget.remaining() == 0.0


@pytest.mark.parametrize(
    ("fraction", "cap", "reserve", "wanted"),
    [(0.5, None, 0.0, 5.0), (1.0, 3.0, 0.0, 3.0), (0.5, None, 2.0, 4.0), (1.0, 100.0, 9.0, 1.0), (1.0, None, 0.0, 10.0)],
)
def test_a_share(clock: _Clock, fraction: float, cap: float | None, reserve: float, wanted: float) -> None:
    assert clock.now
    assert Budget(10.0).share(fraction, cap=cap, reserve=reserve) == pytest.approx(wanted)


@pytest.mark.parametrize(("passed", "reserve"), [(10.0, 0.0), (11.0, 0.0), (9.5, 0.5), (0.0, 10.0)])
def test_nothing_left_is_an_error_and_no_call(clock: _Clock, passed: float, reserve: float) -> None:
    budget = Budget(10.0)
    clock.now += passed
    with pytest.raises(MeshError) as caught:
        budget.share(1.0, reserve=reserve)
    assert caught.value.reason == "DEADLINE_EXCEEDED"


def test_a_budget_without_end(clock: _Clock) -> None:
    budget = Budget(math.inf)
    clock.now += 1e9
    assert not budget.bounded()
    assert Budget(1.0).bounded()
    assert budget.share(0.5, cap=3.0) == 3.0
