"""Writes claims of people beside what they were written about, for fitting the guard's thresholds: harder than its own pairs.

    python -m training.output_claims DATA-FOLDER claims.jsonl

From Fool Me Twice and FEVER (training/manifest.json has their licences), of what the verifier was not trained on. A row is as in
tests/data/guard/output/pairs.jsonl: faithful where it is supported, corrupted where it is refuted. `half` splits by what shares a
sentence of evidence or a claim; of FEVER as where the verifier is graded, whose probabilities are calibrated on `tune`, so that
nothing is fitted to `test`. Same seed, same file.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path

from training.claim_sets import Row, fever_pairs, first_half, fool_me_twice, groups
from training.sources import DataFolder

SEED = 20261121
EACH = 150
"""Of each source, label and half, at most."""
_LABELS = {"supported": "faithful", "contradicted": "corrupted"}


def rows(data: DataFolder) -> Iterator[dict[str, str]]:
    """The rows, source by source."""
    found: dict[tuple[str, str, str], list[dict[str, str]]] = {}
    sources: tuple[tuple[str, list[Row]], ...] = (("fever", fever_pairs(data)), ("foolmetwice", fool_me_twice(data)))
    for source, pairs in sources:
        for pair, group in zip(pairs, groups([(pair["evidence"], pair["claim"]) for pair in pairs]), strict=True):
            half = "tune" if first_half(group) else "test"
            row = {"text": pair["claim"], "label": _LABELS[pair["label"]], "kind": source, "evidence": pair["evidence"]}
            found.setdefault((source, row["label"], half), []).append({**row, "half": half, "lang": "en"})
    rng = random.Random(SEED)
    for _, group_rows in sorted(found.items()):
        yield from rng.sample(group_rows, min(EACH, len(group_rows)))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    made = [json.dumps(row, ensure_ascii=False) for row in rows(DataFolder(given.data))]
    given.out.write_text("\n".join(made) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
