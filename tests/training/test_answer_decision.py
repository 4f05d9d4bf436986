"""When a searched list is answered: the list without its answer, and the threshold."""

from __future__ import annotations

import numpy as np
import pytest
from ragmesh_models.reader_engine import linear

from training.answer_decision import Decided, fit, without_answer
from training.reader_served import Searched


def searched(documents: list[str], relevant: set[str]) -> Searched:
    count = len(documents)
    return Searched(
        "squad", True, "q", ("a",), frozenset(relevant), documents, [f"text {name}" for name in documents], [""] * count,
        np.arange(3.0 * count, dtype=np.float32).reshape(count, 3), -np.arange(count, dtype=np.float32),
        np.array([2, 0, 1]), ["third", "first", "second"],  # type: ignore[list-item]
    )  # fmt: skip


def test_a_list_without_its_answer_keeps_everything_else_in_place() -> None:
    found = without_answer(searched(["a", "b", "c", "d"], {"a"}))
    assert found is not None
    assert (found.source, found.documents, found.texts) == ("missed", ["b", "c", "d"], ["text b", "text c", "text d"])
    assert found.retrieval[:, 0].tolist() == [3.0, 6.0, 9.0]
    assert found.lexical.tolist() == [-1.0, -2.0, -3.0]
    assert (found.read.tolist(), found.readings) == ([1, 0], ["third", "second"])
    assert without_answer(searched(["a", "b", "c"], {"z"})) is None
    assert without_answer(searched(["a", "a", "a"], {"a"})) is None


def test_weights_come_from_own_questions_and_the_threshold_from_all_that_tune() -> None:
    rng = np.random.default_rng(3)

    def row(source: str, tunes: bool, right: bool) -> Decided:
        return Decided(source, tunes, [0.0, float(rng.normal(4.0 if right else 0.0)), 0.0, 0.0], 0.0, right, right)

    own = [row(source, True, source == "squad" and n % 4 != 0) for n in range(200) for source in ("squad", "missed")]
    users = [row("users", True, True) for _ in range(100)]
    others = [row("squad", False, False), row("users", False, True)]
    config = fit([*own, *users, *others])
    assert config["searched"] == fit([*own, *users[:1]])["searched"]
    threshold = np.log(config["searched_threshold"] / (1 - config["searched_threshold"]))
    right = [linear(config["searched"], one.features) for one in [*own, *users] if one.right]
    assert np.mean(np.array(right) < threshold) == pytest.approx(0.04, abs=0.01)
