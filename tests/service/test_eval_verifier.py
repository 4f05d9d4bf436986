"""`ragmesh eval verifier` through a real Triton of its own, on a few two-way pairs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.evaluation.run import keep
from cli.evaluation.verifier import run_verifier

FACTS = [
    ("The Kestrel Bridge was finished in 1742 by the guild of masons.", "1742", "1911"),
    ("The Scottish Parliament has 129 members, who are elected for five years.", "129", "650"),
    ("The harbour bell of Sandholm was cast by Ulla Berg in spring.", "Ulla Berg", "Karl Haber"),
    ("The Café Müller opened in Zürich and has 42 seats.", "42", "17"),
    ("Salt was carried over the pass by mules for nine days.", "nine", "thirty"),
]


@pytest.mark.timeout(240)
async def test_swapped_claims_are_told_from_true_ones(tmp_path: Path) -> None:
    rows = [{"claim": text, "evidence": text, "label": "supported"} for text, _, _ in FACTS]
    rows += [{"claim": text.replace(word, other), "evidence": text, "label": "contradicted"} for text, word, other in FACTS]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf8")
    found = json.loads(keep(await run_verifier(path), tmp_path / "run.json", tmp_path).read_text())
    assert found["n"] == len(rows)
    assert found["auroc"] > 0.8
    assert found["accuracy"] == pytest.approx(found["balanced_accuracy"], abs=1e-3), "there are as many of each"
    assert 0 <= found["ece"] <= 1
    assert 0 <= found["claim_only_accuracy"] <= 100
    assert found["baselines"]["idf_overlap"]["ece"] is None
    assert found["baselines"]["feature_scorer"]["n"] == len(rows)
    assert found["run"]["config"]["labels"] == ["supported", "contradicted"]
    assert "verifier" in {model["name"] for model in found["run"]["models"]}
