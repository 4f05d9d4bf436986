"""Draws the examples that the guard's own classifier learns small talk and questions from: the same as the served head's.

It writes training/runs/intent_classifier/{train,validation,test}.jsonl, of which `training.intent_classifier_recipe` makes
the weights. A row is {text, intent}; `question` is an intent of its own. This module does not know the guard.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

from training import ROOT, RUNS
from training.intent_data import Hard, Small, Utterance, Written, graded_utterances, questions, terms
from training.sources import DataFolder
from training.splits import clean, evaluation_grams, refuse_contamination

SEED = 20261121
FOLDER = RUNS / "intent_classifier"
DRAWN = {"small": 9_000, "hard": 9_000, "questions": 9_000}


def _write(path: Path, rows: list[Utterance]) -> None:
    lines = dict.fromkeys(
        json.dumps({"text": row.text, "intent": row.label}, ensure_ascii=False) for row in rows if row.text.strip()
    )
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def draw(data: DataFolder) -> None:
    rng = random.Random(SEED)
    written = Written()
    known = evaluation_grams(data, ROOT)
    asked, tune_asked = questions(data, written)
    asked = clean(asked, lambda row: row.text, known)
    about = terms(data)
    texts = [row.text for row in [*written.training, *asked]] + [term for found in about.values() for term in found]
    refuse_contamination(texts, known, "intent_classifier")
    small, hard = Small(written), Hard(written, asked, about)
    rows = [small.draw(rng) for _ in range(DRAWN["small"])] + [hard.draw(rng) for _ in range(DRAWN["hard"])]
    rows += rng.sample(asked, min(DRAWN["questions"], len(asked)))
    rng.shuffle(rows)
    FOLDER.mkdir(parents=True, exist_ok=True)
    _write(FOLDER / "train.jsonl", rows)
    _write(FOLDER / "validation.jsonl", [*written.held_out, *tune_asked[:4_000]])
    _write(FOLDER / "test.jsonl", graded_utterances())
    (FOLDER / "sources.json").write_text(json.dumps(sorted(data.used), indent=1) + "\n", encoding="utf-8")
    print(f"{len(rows)} rows in {FOLDER}", flush=True)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, required=True)
    draw(DataFolder(arguments.parse_args().data))
