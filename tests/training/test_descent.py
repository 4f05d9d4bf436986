"""The loop that the smaller recipes share, and the measures that they report."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest
import torch

from training import descent
from training.measures import auroc
from training.progress import Run


def test_a_descent_finds_the_bottom_and_draws_its_curve(tmp_path: Path) -> None:
    weight = torch.nn.Parameter(torch.tensor([3.0]))
    run = Run("bowl", tmp_path)
    descend = descent.Descent([weight], run, rate=0.2, steps=200, schedule=descent.cosine(10))
    for _ in range(200):
        descend((weight - 1.0).square().sum())
    assert weight.item() == pytest.approx(1.0, abs=0.01)
    assert [step for step, _ in run.curves["loss"]] == list(range(20, 201, 20))


def test_a_step_is_as_large_as_the_schedule_says(tmp_path: Path) -> None:
    weight = torch.nn.Parameter(torch.tensor([0.0]))
    descend = descent.Descent([weight], Run("slope", tmp_path), rate=0.5, steps=2, schedule=descent.falling)
    seen = [0.0]
    for _ in range(2):
        descend(weight.sum())
        seen.append(weight.item())
    # AdamW's step along a slope that stays the same is the rate itself.
    assert [seen[0] - seen[1], seen[1] - seen[2]] == pytest.approx([0.5, 0.25], abs=1e-4)


def test_the_cosine_warms_up_and_ends_at_nothing() -> None:
    share = descent.cosine(4)
    assert share(0, 100) == pytest.approx(0.25)
    assert share(50, 100) == pytest.approx(0.5)
    assert share(100, 100) == pytest.approx(0.0)


def test_batches_are_full_of_like_length_and_take_no_row_twice() -> None:
    lengths = [n % 17 for n in range(103)]
    batches = descent.of_like_length(lengths, 10, random.Random(3), batches=5)
    assert all(len(batch) == 10 for batch in batches)
    taken = [i for batch in batches for i in batch]
    assert len(taken) == len(set(taken)) == 100
    assert max(max(lengths[i] for i in batch) - min(lengths[i] for i in batch) for batch in batches) < 16


@pytest.mark.parametrize(
    ("yes", "no", "expected"),
    [([2.0, 3.0], [1.0], 1.0), ([1.0], [1.0], 0.5), ([0.0, 2.0], [1.0], 0.5), ([0.0], [1.0, 2.0], 0.0)],
)
def test_auroc_counts_ties_half(yes: list[float], no: list[float], expected: float) -> None:
    assert auroc(yes, no) == expected


def test_auroc_of_one_kind_alone_is_unknown() -> None:
    assert math.isnan(auroc([1.0], []))
