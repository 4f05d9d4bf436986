"""From which probabilities of the verifier on a claim is so: fitted, not set (`ragmesh eval output --fit`). Knows no claim."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CALIBRATION = Path(__file__).with_name("calibration.json")


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Probabilities, 0 to 1."""

    supported: float
    """From here on a part of a claim is supported."""
    contradicted: float
    """From here on a part that is not supported is contradicted, and its claim withheld."""


@cache
def shipped() -> Thresholds:
    """What was fitted on the `tune` half of tests/data/guard/output/pairs.jsonl."""
    fitted = json.loads(CALIBRATION.read_text(encoding="utf-8"))
    return Thresholds(float(fitted["supported"]), float(fitted["contradicted"]))
