"""Figures against values that were worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cli.evaluation import figures
from cli.evaluation.figures import Column

NAN = math.nan


def values(*numbers: float) -> Column:
    return np.array(numbers, dtype=np.float64)


def test_shares_and_means_pass_over_what_does_not_count() -> None:
    assert figures.share(values(1, 0, NAN, 1, 1)) == 75
    assert figures.mean(values(0.5, NAN, 1)) == 0.75
    assert figures.count(values(1, NAN, 0)) == 2
    assert figures.share(values(NAN, NAN)) is None
    assert figures.ratio(values(1, 2, NAN), values(2, 2, NAN)) == 75
    assert figures.ratio(values(0, 0), values(0, 0)) is None


def test_percentiles_are_nearest_rank() -> None:
    times = values(40, 10, NAN, 30, 20)
    assert [figures.percentile(rank)(times) for rank in (50, 75, 95)] == [20, 30, 40]
    assert figures.percentile(50)(values(NAN)) is None


@pytest.mark.parametrize(
    ("scores", "labels", "expected"),
    [
        # Pairs of a positive and a negative: 0.9>0.8, 0.9>0.1, 0.4<0.8, 0.4>0.1 -> 3 of 4.
        ((0.9, 0.8, 0.4, 0.1), (1, 0, 1, 0), 0.75),
        # A tie counts half: 0.5=0.5 (half), 0.5>0.2, 0.7>both -> 3.5 of 4.
        ((0.5, 0.5, 0.7, 0.2), (1, 0, 1, 0), 0.875),
        ((1, 1, 1), (1, 0, 0), 0.5),
        ((0.3, NAN, 0.6), (0, 1, 1), 1.0),
        ((0.1, 0.2), (1, 1), None),
    ],
)
def test_auroc(scores: tuple[float, ...], labels: tuple[float, ...], expected: float | None) -> None:
    assert figures.auroc(values(*scores), values(*labels)) == expected


def test_coverage_at_95_is_the_longest_prefix_that_is_right_often_enough() -> None:
    # Of 25, most confident first: 19 right, 1 wrong (95 %), then 5 wrong.
    right = values(*[1] * 10, 0, *[1] * 9, *[0] * 5)
    assert figures.coverage_at_95(np.linspace(1, 0, 25), right) == 80
    assert figures.coverage_at_95(values(0.9, 0.8), values(0, 1)) == 0
    # Equals cannot be told apart: all three are answered or none is.
    assert figures.coverage_at_95(values(0.5, 0.5, 0.5), values(1, 1, 0)) == 0
    assert figures.coverage_at_95(values(0.9, 0.5, 0.5), values(1, 1, 0)) == pytest.approx(100 / 3)
    assert figures.coverage_at_95(values(), values()) is None


def test_the_risk_coverage_curve_has_a_point_for_each_confidence() -> None:
    covered, risk = figures.risk_coverage(values(0.2, 0.9, 0.2, 0.5), values(0, 1, 1, 0))
    assert covered.tolist() == [0.25, 0.5, 1.0]
    assert risk.tolist() == [0.0, 0.5, 0.5]


def test_calibration_error_over_ten_bins() -> None:
    # Bin 0.9-1: said 0.95 twice, right once -> |1.9 - 1| ; bin 0.6-0.7: said 0.6, right -> |0.6 - 1|; bin 1.0 falls into the last.
    assert figures.calibration_error(values(0.95, 0.95, 0.6), values(1, 0, 1)) == pytest.approx((0.9 + 0.4) / 3)
    assert figures.calibration_error(values(1.0, 1.0), values(1, 1)) == 0
    assert figures.calibration_error(values(NAN), values(1)) is None


def test_balanced_accuracy_weighs_labels_alike() -> None:
    # Label 0: 3 of 4 right; label 1: 0 of 1.
    assert figures.balanced_accuracy(values(1, 1, 1, 0, 0), values(0, 0, 0, 0, 1)) == 37.5


def test_reciprocal_rank_and_ndcg() -> None:
    assert figures.reciprocal_rank([3, 7], 10) == pytest.approx(1 / 3)
    assert figures.reciprocal_rank([11], 10) == 0
    assert figures.reciprocal_rank([], 10) == 0
    # Relevant at 2 and 4 of two: (1/log2(3) + 1/log2(5)) / (1 + 1/log2(3)).
    assert figures.ndcg([2, 4], 2, 10) == pytest.approx((0.6309298 + 0.4306766) / 1.6309298, abs=1e-6)
    assert figures.ndcg([1], 1, 10) == 1
    assert figures.ndcg([11], 1, 10) == 0
    # The ideal of 12 relevant ones is the first ten.
    assert figures.ndcg(list(range(1, 11)), 12, 10) == pytest.approx(1)


def test_every_kind_has_exactly_its_keys() -> None:
    keys = {kind: " ".join(figure.name for figure in found) for kind, found in figures.KINDS.items()}
    assert keys["reader"] == "em f1 has_ans_f1 no_ans_f1 abstain_auroc shown_sentence shown_sentence_strict shown_2 n"
    assert keys["retrieval"] == "r1 r5 r20 r50 mrr10 ndcg10 p50_ms p95_ms"
    assert keys["verifier"] == "accuracy balanced_accuracy auroc claim_only_accuracy ece n"
    assert keys["answers"] == (
        "em f1 shown_sentence shown_sentence_strict shown_2 citation_precision citation_recall abstain_auroc coverage_at_95 "
        "ttft_p50_ms ttft_p95_ms n"
    )


def test_what_thresholds_make_of_it_stands_apart_from_the_keys() -> None:
    assert [figure.name for figure in figures.AT_THRESHOLD["reader"]] == ["answered", "answered_right", "unanswerable_answered"]
    marks = [{"answered": 1.0, "answered_right": 0.0}, {"answered": 0.0}, {"unanswerable_answered": 1.0}]
    assert figures.at_threshold("reader", marks) == {"answered": 50, "answered_right": 0, "unanswerable_answered": 100}
    assert figures.at_threshold("retrieval", marks) == {}


def test_a_summary_is_null_where_nothing_counts() -> None:
    marks = [{"em": 1.0, "f1": 1.0, "has_ans_f1": None, "answerable": 1.0, "shown_sentence": 0.0}, {"em": 0.0, "f1": 0.5}]
    found = figures.summarise("reader", marks)
    assert (found["em"], found["f1"], found["n"]) == (50, 75, 2)
    assert found["has_ans_f1"] is None
    assert found["abstain_auroc"] is None
    assert found["shown_sentence"] == 0
