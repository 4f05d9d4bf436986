"""The thresholds of claims: fitted, shipped beside the code, and what the policy names comes first."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.evaluation.output import OutputRow
from cli.evaluation.output_fit import CONTRADICTED, SUPPORTED, fit
from services.guard.output.thresholds import CALIBRATION, shipped


def test_what_is_shipped_was_found_on_the_grid_that_is_searched() -> None:
    assert shipped().supported in SUPPORTED
    assert shipped().contradicted in CONTRADICTED
    assert {"supported", "contradicted", "slope", "intercept", "rows"} == set(json.loads(CALIBRATION.read_text(encoding="utf-8")))


def test_rows_of_one_label_fit_nothing(tmp_path: Path) -> None:
    row = OutputRow(text="Water is wet.", label="faithful", evidence="Water is wet.")
    with pytest.raises(ValueError, match="faithful and corrupted rows are needed"):
        fit([row, row], tmp_path)
