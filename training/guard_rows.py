"""Writes the guard's validation rows, in the form that `ragmesh eval guard` reads; no row of them is trained on.

python -m training.guard_rows --data DIR --out build/guard

`questions.jsonl`: held-out clusters of the open jailbreaks, the evaluation-only attacks and honest chats, the held-out half of
PUD, our own sets (tests/data/guard/attacks). `documents.jsonl`: instructions hidden at any offset of held-out documents, and the same documents without.
`tune` files are the half that the threshold is chosen on, `test` files the half that is reported; a row falls on a side by its text.
The same data gives the same bytes. The files are not committed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

from training import injection_sources as sources
from training.injection_sources import Text, bucket
from training.sources import DataFolder


def questions(data: DataFolder) -> list[Text]:
    """Everything that is judged as a question."""
    _, held = sources.split(sources.attacks(data))
    return [*held, *sources.validation_only(data), *sources.sentences(data, held_out=True)]


def write(rows: Iterable[Text], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        json.dumps({"text": row.text, "label": row.label, "source": row.source, "lang": row.lang}, ensure_ascii=False) + "\n"
        for row in rows
    ]
    path.write_text("".join(lines), encoding="utf-8")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--out", type=Path, required=True)
    parsed = arguments.parse_args()
    rows = questions(DataFolder(parsed.data))
    write([row for row in rows if bucket(row.text, "ragmesh-half") < 50], parsed.out / "questions.tune.jsonl")
    write([row for row in rows if bucket(row.text, "ragmesh-half") >= 50], parsed.out / "questions.test.jsonl")


if __name__ == "__main__":
    main()
