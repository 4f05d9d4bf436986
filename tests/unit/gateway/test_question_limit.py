"""How often a visitor may ask."""

from __future__ import annotations

import pytest

from services.gateway import admission
from services.gateway.admission import QuestionLimit
from services.mesh.errors import MeshError
from services.mesh.identity import local_principal
from tests.unit.gateway.turn_events import visitor


class Clock:
    """Stands in for the monotonic clock of the module."""

    now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(admission, "time", made)
    return made


def test_a_window_of_a_minute(clock: Clock) -> None:
    limit = QuestionLimit(3)
    for _ in range(3):
        limit.admit(visitor("a"))
    clock.now += 59.5
    with pytest.raises(MeshError) as caught:
        limit.admit(visitor("a"))
    assert caught.value.reason == "RATE_LIMITED"
    assert caught.value.metadata == {"limit_per_minute": "3"}
    assert caught.value.retry_after == pytest.approx(0.5)
    limit.admit(visitor("b"))
    clock.now += 0.5
    for _ in range(3):
        limit.admit(visitor("a"))
    with pytest.raises(MeshError):
        limit.admit(visitor("a"))


def test_refused_questions_do_not_move_the_window(clock: Clock) -> None:
    limit = QuestionLimit(1)
    limit.admit(visitor("a"))
    for _ in range(100):
        clock.now += 0.59
        with pytest.raises(MeshError):
            limit.admit(visitor("a"))
    clock.now += 1.1
    limit.admit(visitor("a"))


def test_the_owner_is_not_limited() -> None:
    limit = QuestionLimit(1)
    for _ in range(50):
        limit.admit(local_principal())


def test_memory_is_bounded_and_the_least_recent_goes_first(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "_MAX_SUBJECTS", 3)
    limit = QuestionLimit(1)
    for name in ("a", "b", "c"):
        limit.admit(visitor(name))
    with pytest.raises(MeshError):
        limit.admit(visitor("a"))
    limit.admit(visitor("d"))
    with pytest.raises(MeshError):
        limit.admit(visitor("a"))
    limit.admit(visitor("b"))
    assert len(limit._windows) == 3
