"""Writes claims of people beside what they were written about, for fitting the guard's thresholds: harder than its own pairs.

    python -m training.output_claims DATA-FOLDER claims.jsonl

From Fool Me Twice and FEVER (training/manifest.json has their licences). A row is as in
tests/data/guard/output/pairs.jsonl: faithful where it is
supported, corrupted where it is refuted or not supported; `half` splits by the evidence. Same seed, same file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from training.sources import DataFolder

SEED = 20261121
EACH = 60
"""Of each source, label and half."""
_FOLDER = "qa/nli_verify"
_LABELS = {"supported": "faithful", "not_supported": "corrupted", "SUPPORTS": "faithful", "REFUTES": "corrupted"}


def _claims(data: DataFolder) -> Iterator[tuple[str, str, str, str]]:
    """Source, claim, evidence, label of the source."""
    for row in data.rows(f"{_FOLDER}/foolmetwice_dev.jsonl"):
        gold: Any = row["gold_evidence"]
        yield "foolmetwice", str(row["text"]), "\n".join(one["text"] for one in gold), str(row["label"])
    texts, claims, labels = (
        data.text(f"{_FOLDER}/fever_rte_dev.{part}").splitlines() for part in ("raw.input0", "raw.input1", "label")
    )
    for text, claim, label in zip(texts, claims, labels, strict=True):
        yield "fever", claim.strip(), text.strip(), {"entailment": "supported", "not_entailment": "not_supported"}[label]


def rows(data: DataFolder) -> Iterator[dict[str, str]]:
    """The rows, source by source."""
    found: dict[tuple[str, str, str], list[dict[str, str]]] = {}
    for source, claim, evidence, said in _claims(data):
        if said in _LABELS and claim and evidence:
            half = "tune" if hashlib.sha256(evidence.encode()).digest()[0] % 2 else "test"
            row = {"text": claim, "label": _LABELS[said], "kind": source, "evidence": evidence, "half": half, "lang": "en"}
            found.setdefault((source, row["label"], half), []).append(row)
    rng = random.Random(SEED)
    for _, group in sorted(found.items()):
        yield from rng.sample(group, min(EACH, len(group)))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    made = [json.dumps(row, ensure_ascii=False) for row in rows(DataFolder(given.data))]
    given.out.write_text("\n".join(made) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
