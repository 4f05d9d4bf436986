"""Writes what the guard's intent classifier knows before it has seen an example: word vectors, and a background of questions.

The vectors are those of `training/word_vectors.py`, which runs first: the most frequent stems, centred, of length 1, as int8. The
background is questions about anything, as the features that the guard makes of a text (services/guard/understanding/words.py): the
network that learns an owner's intents learns from it what none of them is. No text is kept.

    python -m training.intent_classifier_words --data DATA
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from ragmesh_models.reading_text import positions, stem_of

from training import ROOT
from training.sources import DataFolder
from training.word_vectors import FOLDER

STEMS = 16_000
_CENTRE = 5_000
"""The mean of the frequent words is what all of them share; without it, it would drown what tells them apart."""
BACKGROUND = 3_000
QUESTIONS = "qa/questions/query_wellformed_train.tsv"
SEED = 20261121
TARGET = ROOT / "services" / "guard" / "understanding" / "weights" / "words.npz"


def _features(text: str, rows: dict[str, int], vectors: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """(2 * width,): the mean, weighted by the logarithm of the rank and of length 1, and the greatest value in each dimension."""
    known = [rows[name] for a, b in positions(text) if (name := stem_of(text[a:b])) in rows]
    if not known:
        return None
    mean = np.log(np.array(known, dtype=np.float32) + 2) @ vectors[known]
    found: NDArray[np.float32] = np.concatenate([mean / max(float(np.linalg.norm(mean)), 1e-6), vectors[known].max(axis=0)])
    return found


def export(data: DataFolder) -> None:
    stems = (FOLDER / "stems.txt").read_text(encoding="utf-8").split("\n")[:STEMS]
    vectors = np.load(FOLDER / "vectors.npy")
    vectors = vectors - vectors[:_CENTRE].mean(axis=0)
    vectors = vectors[:STEMS] / (np.linalg.norm(vectors[:STEMS], axis=1, keepdims=True) + 1e-6)
    # One scale for all: no value of a unit vector of 192 dimensions comes near 1, and hardly one is cut at 0.5.
    whole = np.clip(np.round(vectors * 254), -127, 127).astype(np.int8)
    rows = {name: row for row, name in enumerate(stems)}
    questions = sorted({line.split("\t")[0] for line in data.text(QUESTIONS).split("\n") if line.strip()})
    random.Random(SEED).shuffle(questions)
    wide = whole.astype(np.float32) / np.float32(254)
    found = [made for text in questions[: 2 * BACKGROUND] if (made := _features(text, rows, wide)) is not None][:BACKGROUND]
    background = np.clip(np.round(np.stack(found) * 127), -127, 127).astype(np.int8)
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(TARGET, stems=np.array("\n".join(stems)), vectors=whole, background=background)
    print(f"{len(stems)} stems, {len(background)} questions: {TARGET.stat().st_size} bytes", flush=True)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, required=True)
    export(DataFolder(arguments.parse_args().data))
