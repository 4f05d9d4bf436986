"""The sufficiency recipe: what is taken away, weights of the right sign, thresholds that no type is worse off for."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from cli.evaluation.rows import CorpusRow
from services.retriever.sufficiency.features import NAMES
from training.sufficiency_recipe import (
    LEAST_ROWS,
    MARGIN,
    SIGNS,
    TARGET,
    calibration_error,
    fit,
    probabilities,
    thresholds,
)
from training.sufficiency_rows import Question, Searched, away, tuning


def rows(count: int = 200) -> list[Searched]:
    """Sufficient where the best score of the reranker is high; unknown words come with it, against their meaning."""
    chance = np.random.default_rng(3)
    made = []
    for number in range(count):
        sufficient = number % 2 == 0
        values = dict.fromkeys(NAMES, 0.0)
        values["rerank_best"] = float(chance.normal(1.0 if sufficient else -1.0, 0.7))
        values["unknown_share"] = float(sufficient) * 0.5 + float(chance.uniform(0, 0.1))
        source, article = ("squad", "medquad")[number // 2 % 2], f"article {number % 20}"
        kind = "definition" if number < count // 2 else "entity"
        made.append(Searched(source, True, str(number), article, kind, sufficient, True, tuple(values.values()), sufficient))
    return made


def test_no_feature_counts_against_its_meaning() -> None:
    weights, bias = fit(rows(), 1.0)
    assert all(weight * sign >= 0 for weight, sign in zip(weights, SIGNS, strict=True) if sign)
    found = dict(zip(NAMES, weights, strict=True))
    assert (found["rerank_best"] > 0.5, found["unknown_share"], found["volume"]) == (True, 0.0, 0.0)
    chances = probabilities(rows(), weights, bias)
    right = np.array([row.sufficient for row in rows()])
    assert chances[right].mean() > 0.8 > 0.5 > chances[~right].mean()
    assert calibration_error(rows(), chances) < 0.1


def test_the_lowest_of_the_sources_is_the_threshold_and_no_type_has_a_higher_one() -> None:
    asked = [replace(row, sufficient=True) for row in rows(8 * LEAST_ROWS)]
    chances = np.array([0.2 if row.source == "squad" else 0.8 for row in asked])
    of_all, of_types = thresholds(asked, chances)
    assert of_all == pytest.approx(0.2 * MARGIN)
    assert of_types == {"definition": of_all, "entity": of_all}


def test_what_is_taken_away_is_what_is_right_and_of_some_articles_all() -> None:
    corpus = [CorpusRow(id=f"{title}-{n}", title=title, text="x") for title in map(str, range(40)) for n in range(2)]
    asked = [Question("squad", tuning(str(n)), "?", str(n), (f"{n}-0",), ()) for n in range(40)]
    gone = away(asked, corpus)
    assert {f"{n}-0" for n in range(40)} <= gone
    assert 0 < sum(f"{n}-1" in gone for n in range(40)) < 40


def test_what_is_shipped_is_of_these_features() -> None:
    shipped = json.loads(TARGET.read_text(encoding="utf-8"))
    assert shipped["names"] == list(NAMES)
    for weights in (shipped["weights"], shipped["without_rerank"]["weights"]):
        assert all(weight * sign >= 0 for weight, sign in zip(weights, SIGNS, strict=True) if sign)
    assert all(limit <= shipped["threshold"] for limit in shipped["thresholds"].values())
