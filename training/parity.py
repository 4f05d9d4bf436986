"""Fixture vectors written at export: what the trained network itself gave for a few fixed inputs.

They lie beside the weights as parity.json, so that a machine without torch can check that the exported graph, and Triton, give the
same. The inputs are written for this purpose and stand in no training set.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

TEXTS = (
    ("query", "Which river runs beneath the old stone bridge?"),
    ("passage", "The bridge at Küßnacht – finished in 1742 – crosses the Moss River on five arches."),
    ("query", "CBD"),
    ("passage", "…"),
)
QUESTION = "When was the stone bridge at Küßnacht finished?"
PASSAGES = (
    "The bridge at Küßnacht – finished in 1742 – crosses the Moss River on five arches. It was paid for by a toll on salt.",
    "Salt tolls were common in the valley. Merchants called them “white silver”.",
)
TITLES = ("Küßnacht > Stone bridge", "Trade > Tolls")


def write(folder: Path, tolerance: float, **values: Any) -> None:
    """parity.json of one model; arrays are rounded to what float32 can hold."""

    def plain(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return [plain(inner) for inner in value]
        if isinstance(value, list):
            return [plain(inner) for inner in value]
        if isinstance(value, dict):
            return {key: plain(inner) for key, inner in value.items()}
        if isinstance(value, (np.floating, float)):
            return round(float(value), 7)
        return int(value) if isinstance(value, np.integer) else value

    document = {"tolerance": tolerance, **plain(values)}
    (folder / "parity.json").write_text(json.dumps(document, ensure_ascii=False) + "\n", encoding="utf-8")
