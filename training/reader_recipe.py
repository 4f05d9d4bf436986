"""The recipe of the joint reader: reads what it learns from, fits it, exports it, weighs it against the feature scorer.

python -m training.reader_recipe --data DIR [--preset cpu|gpu] [--experiment NAME --steps N]
"""

from __future__ import annotations

import argparse
import copy
import json
import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ragmesh_models.lexical import IdfTable
from ragmesh_models.reading_text import Vocabulary
from ragmesh_models.tokens import TextTokenizer

from training import (
    ANSWERER,
    RUNS,
    TOKENIZER,
    answer_decision,
    cards,
    passage_blend,
    reader_calibrate,
    reader_export,
    reader_listwise,
    word_vectors,
)
from training.progress import Run
from training.reader_data import Group, GroupReader, examples, half_of, held_examples
from training.reader_fit import PRESETS, PausedError, fit, grade
from training.reader_model import JointReader, Sizes
from training.sources import DataFolder

SEED = 20260721
LISTWISE_MINUTES = 64.0


def read_groups(data: DataFolder, vocabulary: Vocabulary, run: Run) -> dict[str, list[Group]]:
    """Source -> its groups; kept in the run's folder beside the checkpoint, since reading them takes minutes."""
    kept = run.folder / "groups.pickle"
    if kept.is_file():
        with kept.open("rb") as file:
            known_groups: dict[str, list[Group]] = pickle.load(file)  # noqa: S301 - our own file
        return known_groups
    idf = IdfTable.load(ANSWERER / "idf.bin")
    reader = GroupReader(vocabulary, idf)
    found: dict[str, list[Group]] = {}
    known = examples(data, run)
    for number, example in enumerate(known):
        group = reader.group(example)
        if group is not None:
            found.setdefault(group.source, []).append(group)
        run.say(number + 1, len(known), "questions read")
    with kept.open("wb") as file:
        pickle.dump(found, file, protocol=5)
    return found


def start_model(sizes: Sizes, vectors: NDArray[np.float32], groups: dict[str, list[Group]]) -> JointReader:
    """Fresh weights, the stem rows from the word vectors, sentence features standardised."""
    model = JointReader(replace(sizes, stems=len(vectors)))
    width = min(sizes.width, vectors.shape[1])
    scaled = vectors[:, :width] / vectors.std() * 0.3
    with torch.no_grad():
        model.stems.weight[-len(vectors) :, :width] = torch.from_numpy(scaled)
        sample = [g.windows[0].sentence_features for known in groups.values() for g in known[:600]]
        stacked = torch.from_numpy(np.concatenate(sample).astype(np.float32))
        model.mean.copy_(stacked.mean(0))
        model.scale.copy_(stacked.std(0) + 0.05)
    return model


def learn(
    data: DataFolder,
    preset: str = "cpu",
    name: str = "reader",
    steps: int | None = None,
    seed: int = SEED,
    without: Sequence[str] = (),
    minutes: float | None = None,
) -> tuple[JointReader, list[str], dict[str, Any]]:
    """The trained model, its stems, and how it does on the tuning articles. Resumes the run of that name where there is one.

    `without` names what an experiment leaves out: `vectors` (random stem rows instead), or a source of groups.
    """
    torch.manual_seed(seed)
    torch.set_num_threads(1 if preset == "cpu" else 8)
    chosen = PRESETS[preset] if steps is None else replace(PRESETS[preset], steps=steps)
    run = Run(name)
    stems, vectors = word_vectors.train(data, preset)
    vocabulary = Vocabulary(stems, TextTokenizer(TOKENIZER))
    groups = {source: known for source, known in read_groups(data, vocabulary, run).items() if source not in without}
    if "vectors" in without:
        vectors = np.random.default_rng(seed).standard_normal(vectors.shape).astype(np.float32)
    print(f"[{name}] " + ", ".join(f"{source} {len(known)}" for source, known in groups.items()), flush=True)
    reader = GroupReader(vocabulary, IdfTable.load(ANSWERER / "idf.bin"))
    tune: dict[str, list[Group]] = {"squad": [], "selqa": []}
    for example in held_examples(data):
        group = reader.group(example)
        if group is not None and half_of(example.title) == 0:
            tune["selqa" if example.source == "selqa" else "squad"].append(group)
    model = fit(start_model(chosen.sizes, vectors, groups), groups, tune, chosen, run, seed, minutes)
    torch.save(model.state_dict(), run.folder / "reader.pt")
    metrics: dict[str, Any] = {source: grade(model, known, chosen.device) for source, known in tune.items()}
    run.finish(metrics)
    print(f"[{name}] {metrics}", flush=True)
    return model.to("cpu"), stems, metrics


def train(data: DataFolder, preset: str = "cpu", minutes: float | None = None) -> dict[str, Any]:
    """Learns in two stages, exports, chooses the share in the ranking, calibrates, and writes the card of the answerer."""
    _, stems, _ = learn(data, preset, minutes=minutes)
    (ANSWERER / "stems.txt").write_text("\n".join(stems), encoding="utf-8")
    model = reader_listwise.learn(data, LISTWISE_MINUTES)
    return ship(data, model)


def ship(data: DataFolder, model: JointReader) -> dict[str, Any]:
    """Exports and fits all that depends on the weights; -> the figures of the test half."""
    reader_export.export(copy.deepcopy(model), ANSWERER / "reader.onnx")
    run = Run("reader_calibrate")
    passage_blend.tune(data)
    metrics = reader_calibrate.calibrate(data, run)
    metrics["searched"] = answer_decision.tune(data, Run("reader_served"))
    reader_export.write_parity(model, ANSWERER)
    # The feature scorer's own figures stand beside the reader's.
    scorer = RUNS / "answerer" / "metrics.json"
    if scorer.is_file():
        metrics["feature_scorer"] = json.loads(scorer.read_text(encoding="utf-8"))
    cards.write("answerer", metrics, data.used)
    run.finish(metrics)
    return metrics


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--preset", choices=tuple(PRESETS), default="cpu")
    arguments.add_argument("--experiment", help="learn under this name and grade, and ship nothing")
    arguments.add_argument("--steps", type=int, help="of an experiment")
    arguments.add_argument("--seed", type=int, default=SEED, help="of an experiment")
    arguments.add_argument("--without", nargs="*", default=[], help="of an experiment: vectors, synthetic or another source")
    arguments.add_argument("--minutes", type=float, help="pause after so long, with a checkpoint: for machines lent by the hour")
    parsed = arguments.parse_args()
    try:
        if parsed.experiment:
            wanted = parsed.experiment, parsed.steps, parsed.seed, parsed.without, parsed.minutes
            learn(DataFolder(parsed.data), parsed.preset, *wanted)
        else:
            train(DataFolder(parsed.data), parsed.preset, parsed.minutes)
    except PausedError as paused:
        print(f"[reader] {paused}", flush=True)
