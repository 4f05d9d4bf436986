"""Adapts the shipped models to an owner's documents, and promotes only what is better on documents that it never saw.

Synthetic questions about whole held-out documents are asked before and after; a model is promoted when its own measure rises in
95 % of the draws of a paired bootstrap, and when questions that people wrote (where there are any) do not get worse. Writes a
folder of weights that lie over the release's (`ragmesh up` uses it), and
`adapted.json` beside them. `ragmesh train` starts this module.

python -m training.adapt --documents DIR --out DIR [--questions FILE ...]
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from training import MODEL_REPOSITORY, adapt_answerer, adapt_embedder, adapt_reranker
from training.adapt_compare import Difference, compare
from training.adapt_documents import read_folder
from training.adapt_grading import Grader, Graphs, Marks, shipped
from training.adapt_material import Material, MaterialError, Question, gather, goldens
from training.adapt_weights import WeightsError

SURE = 0.95  # share of the bootstrap's draws
WORSE = 0.01  # what people's own questions may lose by chance


@dataclass(frozen=True)
class Adapter:
    """How one model is adapted."""

    model: str
    file: str
    field: str
    """Of `Graphs`: which graph it makes anew."""
    measure: str
    adapt: Callable[[Material, Graphs, Path, Path, Grader], float]
    """Writes the candidate's graph to the first path, its curves under the second; returns how far it went (0 to 1)."""


ADAPTERS = [
    Adapter("embedder", "embedder.onnx", "embedder", "hybrid", adapt_embedder.adapt),
    Adapter("reranker", "passages.onnx", "scorer", "reranked", adapt_reranker.adapt),
    Adapter("answerer", "ranker.onnx", "ranker", "right_sentence", adapt_answerer.adapt),
]
"""In the order of the pipeline: each is trained and graded on what those before it bring. A cross-encoder joins at the end."""


def run(folder: Path, out: Path, question_files: list[Path]) -> dict[str, Any]:
    """Reads, asks, adapts, grades, writes.

    Raises:
        MaterialError: there is too little to learn from.
    """
    began = time.monotonic()
    documents, refused = read_folder(folder)
    for line in refused:
        say(f"left out: {line}")
    material = gather(documents)
    written = goldens(question_files, material)
    counts = {part: len(found) for part, found in material.questions.items()}
    held = sum(part == "test" for part in material.part_of.values())
    say(f"{len(documents)} documents, {held} held out; questions: {counts['train']} to learn from, {counts['test']} to check")
    test = material.questions["test"]
    grader = Grader(material.sections)
    graphs = shipped()
    first = marks = grader.grade(test, graphs)
    first_own = own = grader.grade(written, graphs) if written else {}
    rows: list[dict[str, Any]] = []
    for adapter in ADAPTERS:
        if getattr(graphs, adapter.field) is None:
            continue
        draft = out / adapter.model / "1" / adapter.file
        draft.parent.mkdir(parents=True, exist_ok=True)
        try:
            share = adapter.adapt(material, graphs, draft, out / "runs", grader)
        except WeightsError as error:
            say(f"{adapter.model}: left as it is, {error}")
            shutil.rmtree(out / adapter.model)
            continue
        changed = dataclasses.replace(graphs, **{adapter.field: draft})
        after = grader.grade(test, changed)
        after_own = grader.grade(written, changed) if written else {}
        row = _row(adapter, share, _difference(adapter.measure, marks, after, test))
        shown = _difference("right_sentence", marks, after, test)
        # Better passages that lead to worse sentences help nobody.
        row["promoted"] = row["promoted"] and (shown.after >= shown.before or shown.better > 1 - SURE)
        if written:
            people = _difference(adapter.measure, own, after_own, written)
            row["written_questions"] = dataclasses.asdict(people)
            row["promoted"] = row["promoted"] and people.after >= people.before - WORSE
        rows.append(row)
        verdict = "promoted" if row["promoted"] else "not promoted"
        say(f"{adapter.model}: {adapter.measure} {row['before']:.3f} -> {row['after']:.3f}, {verdict}")
        if row["promoted"]:
            graphs, marks, own = changed, after, after_own
        else:
            shutil.rmtree(out / adapter.model)
    report = {
        "documents": len(documents),
        "held_out_documents": held,
        "questions": counts,
        "written_questions": len(written),
        "models": rows,
        "measures": _means(first, marks),
        "measures_written": _means(first_own, own),
        "seconds": round(time.monotonic() - began, 1),
        "files": _files(out, [row["model"] for row in rows if row["promoted"]]),
    }
    (out / "adapted.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return report


def say(text: str) -> None:
    print(f"[adapt] {text}", flush=True)


def _difference(measure: str, before: Marks, after: Marks, questions: list[Question]) -> Difference:
    return compare(before[measure], after[measure], [question.document for question in questions])


def _row(adapter: Adapter, share: float, found: Difference) -> dict[str, Any]:
    return {
        "model": adapter.model,
        "measure": adapter.measure,
        **{key: round(value, 4) for key, value in dataclasses.asdict(found).items()},
        "share": share,
        "promoted": found.after > found.before and found.better >= SURE,
    }


def _means(before: Marks, after: Marks) -> dict[str, dict[str, float]]:
    """Measure -> before and after; of ranks also how often the first and one of the first five is right."""
    table: dict[str, dict[str, float]] = {}
    for name, values in before.items():
        new = after[name]
        if name == "right_sentence":
            table[name] = {"before": _mean(values), "after": _mean(new)}
            continue
        table[f"{name} R@1"] = {"before": _mean(values >= 1), "after": _mean(new >= 1)}
        table[f"{name} R@5"] = {"before": _mean(values >= 0.2), "after": _mean(new >= 0.2)}
        table[f"{name} MRR@10"] = {"before": _mean(values), "after": _mean(new)}
    return table


def _mean(values: np.ndarray[Any, Any]) -> float:
    return round(float(values.mean()), 4)


def _files(out: Path, promoted: list[str]) -> dict[str, dict[str, str]]:
    """`model/1/file` -> its digest and that of the release's file which it lies over."""
    found: dict[str, dict[str, str]] = {}
    for adapter in ADAPTERS:
        if adapter.model in promoted:
            name = f"{adapter.model}/1/{adapter.file}"
            found[name] = {"sha256": _sha256(out / name), "over": _sha256(MODEL_REPOSITORY / name)}
    return found


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--documents", type=Path, required=True)
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--questions", type=Path, nargs="*", default=[])
    parsed = arguments.parse_args()
    torch.manual_seed(7)
    torch.set_num_threads(1)
    try:
        run(parsed.documents, parsed.out, parsed.questions)
    except MaterialError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
