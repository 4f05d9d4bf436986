"""How the weights of reader and feature scorer are chosen: by the share of right sentences over sources of very different sizes."""

from __future__ import annotations

import numpy as np
import pytest
from ragmesh_models.engine import Ranking
from ragmesh_models.reader_engine import Evidence

from training.reader_calibrate import right_share
from training.reader_evidence import Listed


def listed(source: str, reader: float, lexical: float, gold: int, case: str = "answerable") -> Listed:
    """Two sentences: how much the reader and the scorer prefer the first, and which is right."""
    nothing = Ranking(0.5, 0.5, 0.5, [], None)
    found = np.zeros(2)
    evidence = Evidence(nothing, [], np.array([reader, 0.0]), np.array([lexical, 0.0]), [None, None], 0.0, 0.0, found, None)
    marks = np.arange(2) == gold
    return Listed(source, case, evidence, marks, np.zeros(2, dtype=bool), np.ones(2, dtype=bool), frozenset(), [])


def test_a_source_counts_by_the_root_of_its_questions() -> None:
    lists = [listed("alone_users", 1, -2, 0) for _ in range(100)] + [listed("covidqa", 1, -2, 1) for _ in range(4)]
    assert right_share(lists, (1.0, 0.0), 0.0) == pytest.approx(10 / 12)
    assert right_share(lists, (1.0, 1.0), 0.0) == pytest.approx(2 / 12)


def test_questions_that_cannot_be_answered_choose_nothing() -> None:
    lists = [listed("alone_users", 1, 0, 0), listed("alone_users", 1, 0, 1, case="missed")]
    assert right_share(lists, (1.0, 0.0), 0.0) == 1
