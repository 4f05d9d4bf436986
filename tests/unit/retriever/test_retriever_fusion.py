"""Two legs become one order."""

from __future__ import annotations

import pytest

from services.retriever.fusion import Method, fuse, interleave, led, spread

METHODS: list[Method] = ["relative", "ranks"]


def test_ranks_follow_the_formula() -> None:
    fused = fuse({1: 0.9, 2: 0.5}, {2: 7.0, 3: 1.0}, 0.25, "ranks")
    assert fused == pytest.approx({1: 0.25 / 61, 2: 0.25 / 62 + 0.75 / 61, 3: 0.75 / 62})


def test_relative_scores_follow_the_formula() -> None:
    fused = fuse({1: 0.9, 2: 0.7, 3: 0.5}, {2: 8.0, 4: 3.0, 3: 2.0}, 0.5, "relative")
    assert fused == pytest.approx({1: 0.5, 2: 0.25 + 0.5, 3: 0.0, 4: 0.5 / 6})


@pytest.mark.parametrize("method", METHODS)
def test_a_weight_of_zero_or_one_is_a_leg_alone(method: Method) -> None:
    dense, sparse = {1: 0.9, 2: 0.1}, {3: 5.0, 2: 1.0}
    assert list(fuse(dense, sparse, 0.0, method)) == [3, 2]
    assert list(fuse(dense, sparse, 1.0, method)) == [1, 2]


@pytest.mark.parametrize("method", METHODS)
def test_an_empty_leg_gives_its_weight_away(method: Method) -> None:
    assert fuse({1: 0.4}, {}, 0.0, method) == fuse({1: 0.4}, {}, 1.0, method)
    assert fuse({}, {1: 3.0}, 1.0, method) == fuse({}, {1: 3.0}, 0.0, method)
    assert fuse({}, {}, 0.5, method) == {}


def test_equal_or_negative_scores_are_no_trouble() -> None:
    assert fuse({1: 0.3, 2: 0.3}, {}, 1.0, "relative") == {1: 1.0, 2: 1.0}
    assert fuse({1: -0.1, 2: -0.5}, {}, 1.0, "relative") == {1: 1.0, 2: 0.0}


def test_what_is_one_too_many_moves_behind_and_nothing_is_lost() -> None:
    ranked = ["a1", "a2", "b1", "a3", "a4", "c1", "b2"]
    assert spread(ranked, lambda item: item[0], 2) == ["a1", "a2", "b1", "c1", "b2", "a3", "a4"]
    assert spread(ranked, lambda item: item[0], 9) == ranked


def test_lists_are_interleaved_and_nothing_comes_twice() -> None:
    assert interleave([["a", "b", "c"], ["b", "d"], []], str) == ["a", "b", "d", "c"]
    assert interleave([], str) == []


def test_who_comes_first_in_another_list_leads_and_nothing_is_added() -> None:
    assert led(["a", "b", "c"], ["x", "c", "b"], str) == ["c", "a", "b"]
    assert led(["a", "b"], ["x"], str) == ["a", "b"]
    assert led([], ["x"], str) == []
    assert led(["apple", "bread", "beer"], ["ale", "bun"], lambda word: word[0]) == ["apple", "bread", "beer"]
    assert led(["apple", "bread", "beer"], ["bun", "ale"], lambda word: word[0]) == ["bread", "apple", "beer"]
