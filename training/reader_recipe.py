"""Trains the joint reader: batches of like length, one loss for all heads, an average of the weights, checkpoints that resume.

python -m training.reader_recipe --data DIR [--preset cpu|gpu] [--experiment NAME --steps N]
"""

from __future__ import annotations

import argparse
import copy
import json
import pickle
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ragmesh_models.lexical import IdfTable
from ragmesh_models.reading_features import POSITION_FEATURES, SENTENCE_FEATURES
from ragmesh_models.reading_text import PIECES, Vocabulary
from ragmesh_models.tokens import TextTokenizer
from torch import Tensor
from torch.nn import functional

from training import RUNS, cards, reader_calibrate, reader_export, word_vectors
from training.progress import Run
from training.reader_calibrate import FOLDER, TOKENIZER
from training.reader_data import Group, GroupReader, Window, examples, half_of, held_examples
from training.reader_model import NONE, JointReader, Sizes
from training.sources import DataFolder

SEED = 20260721
POSITIONS = 5_000  # of one batch, padding counted
RATE = 1e-3
WARM_UP = 200
DECAY = 0.4  # the last part of the steps, over which the rate falls to a fiftieth
AVERAGE = 0.998
CHECKPOINT_S = 120.0
EVALUATE_EVERY = 400
LONGEST_SPAN = 16
# How many groups of a source one epoch takes, and how much each counts.
TAKEN = {"qamr": 9_000, "sentqa": 8_000, "synthetic": 14_000, "boolq": 2_000, "medquad": 800, "fairytaleqa": 1_600, "covidqa": 800}
WEIGHT = {"qamr": 0.7, "synthetic": 0.5, "medquad": 0.3, "fairytaleqa": 0.7, "covidqa": 0.7}
WITH_NEGATIVE = 0.4
ONLY_NEGATIVE = 0.07
CASE_DROPPED = 0.25
CASE_COLUMNS = slice(2, 4)


@dataclass(frozen=True)
class Preset:
    sizes: Sizes
    steps: int
    device: str
    positions: int


PRESETS = {
    "cpu": Preset(Sizes(), 5_400, "cpu", POSITIONS),
    "gpu": Preset(Sizes(width=384, blocks=8, heads=6, inner=1_536), 30_000, "cuda", 8 * POSITIONS),
}


@dataclass(frozen=True)
class Taken:
    """A group as one batch takes it."""

    group: Group
    windows: list[Window]
    answerable: bool


def collate(taken: list[Taken], device: str, drop_case: NDArray[np.bool_] | None = None) -> dict[str, Tensor]:
    """Groups of one size to padded tensors; pairs of a group stand one after another."""
    windows = [window for one in taken for window in one.windows]
    size = len(taken[0].windows)
    length = max(len(w.rows) for w in windows)
    most = max(1, max(len(w.sentence_features) for w in windows))
    rows = np.zeros((len(windows), length), dtype=np.int64)
    pieces = np.zeros((len(windows), length, PIECES), dtype=np.int64)
    features = np.zeros((len(windows), length, POSITION_FEATURES), dtype=np.uint8)
    sentence = np.full((len(windows), length), -1, dtype=np.int64)
    described = np.zeros((len(windows), most, len(SENTENCE_FEATURES)), dtype=np.float32)
    gold = np.zeros((3, len(windows), length), dtype=np.float32)
    gold_sentence = np.zeros((len(windows), most), dtype=np.float32)
    for n, w in enumerate(windows):
        t = len(w.rows)
        rows[n, :t], pieces[n, :t], features[n, :t], sentence[n, :t] = w.rows, w.pieces, w.features, w.sentence
        described[n, : len(w.sentence_features)] = w.sentence_features
        gold[0, n, w.starts], gold[1, n, w.ends] = 1, 1
        gold_sentence[n, w.gold_sentences] = 1
    scaled = torch.from_numpy(features).to(device).float() / 255
    if drop_case is not None:
        scaled[torch.from_numpy(np.repeat(drop_case, size)).to(device), :, CASE_COLUMNS] = 0
    member = torch.from_numpy(sentence).to(device)[:, None, :] == torch.arange(most, device=device)[None, :, None]
    return {
        "rows": torch.from_numpy(rows).to(device),
        "pieces": torch.from_numpy(pieces).to(device),
        "features": scaled,
        "member": member.float(),
        "sentence_features": torch.from_numpy(described).to(device),
        "kind": torch.tensor([one.group.kind for one in taken], device=device).repeat_interleave(size),
        "starts": torch.from_numpy(gold[0]).to(device),
        "ends": torch.from_numpy(gold[1]).to(device),
        "gold_sentence": torch.from_numpy(gold_sentence).to(device),
        "spans": torch.tensor([float(one.group.spans and one.answerable) for one in taken], device=device),
        "answerable": torch.tensor([float(one.answerable) for one in taken], device=device),
        "said": torch.tensor([one.group.said for one in taken], device=device),
        "weight": torch.tensor([WEIGHT.get(one.group.source, 1.0) for one in taken], device=device),
    }


def run_model(model: JointReader, batch: dict[str, Tensor]) -> tuple[Tensor, ...]:
    with torch.autocast(batch["rows"].device.type, torch.bfloat16):
        outputs = model(
            batch["rows"], batch["pieces"], batch["features"], batch["member"], batch["sentence_features"], batch["kind"]
        )
    return tuple(output.float() for output in outputs)


def _marginal(scores: Tensor, gold: Tensor) -> Tensor:
    """(N, M), (N, M) -> (N,): minus the log of the share that all right places have."""
    return torch.logsumexp(scores, 1) - torch.logsumexp(scores.masked_fill(gold == 0, NONE), 1)


def loss_of(model: JointReader, batch: dict[str, Tensor]) -> Tensor:
    """Spans and sentences over all windows of a question, "no sentence" at 0; yes or no; whether each window answers."""
    start, end, sentence, passage, said = run_model(model, batch)
    groups = len(batch["answerable"])
    size = len(passage) // groups
    weight, answerable = batch["weight"], batch["answerable"]
    spans = batch["spans"] * weight
    level = passage[:, None]
    each = [
        _marginal((scores + level).reshape(groups, -1), batch[name].reshape(groups, -1))
        for scores, name in ((start, "starts"), (end, "ends"))
    ]
    span_loss = ((each[0] + each[1]) * spans).sum() / spans.sum().clamp(min=1)
    gold = batch["gold_sentence"].reshape(groups, -1)
    nothing = torch.zeros(groups, 1, device=passage.device)
    scores = torch.cat([(sentence + level).reshape(groups, -1), nothing], dim=1)
    graded = ((gold.sum(1) > 0) | (answerable == 0)).float() * weight
    wanted = torch.cat([gold, (answerable == 0).float()[:, None]], dim=1)
    sentence_loss = (_marginal(scores, wanted) * graded).sum() / graded.sum().clamp(min=1)
    holds = torch.zeros(groups, size, device=passage.device)
    holds[:, 0] = answerable
    window_loss = functional.binary_cross_entropy_with_logits(passage.view(groups, size), holds, reduction="none").mean(1)
    said_loss = functional.cross_entropy(said.view(groups, size, 3)[:, 0], batch["said"], reduction="none")
    return 0.5 * span_loss + sentence_loss + 0.5 * (window_loss * weight).mean() + 0.3 * said_loss.mean()


def epoch_of(groups: dict[str, list[Group]], rng: random.Random, positions: int) -> list[list[Taken]]:
    """One pass over the sources, as batches of like length."""
    taken: list[Taken] = []
    for source, known in groups.items():
        for group in rng.sample(known, min(len(known), TAKEN.get(source, len(known)))):
            windows, answerable = group.windows[:1], group.answerable
            if len(group.windows) > 1:
                chance = rng.random()
                if chance < ONLY_NEGATIVE and not group.said:
                    windows, answerable = group.windows[1:], False
                elif chance < ONLY_NEGATIVE + WITH_NEGATIVE or source == "medquad":
                    windows = group.windows
            taken.append(Taken(group, windows, answerable))

    def length(one: Taken) -> int:
        return max(len(w.rows) for w in one.windows)

    batches: list[list[Taken]] = []
    for size in (1, 2):
        part = sorted((one for one in taken if len(one.windows) == size), key=lambda one: length(one) + rng.random() * 12)
        batch: list[Taken] = []
        for one in part:
            if batch and (len(batch) + 1) * size * max(length(one), max(map(length, batch))) > positions:
                batches.append(batch)
                batch = []
            batch.append(one)
        if batch:
            batches.append(batch)
    rng.shuffle(batches)
    return batches


def best_span(start: NDArray[np.float32], end: NDArray[np.float32]) -> tuple[int, int]:
    """The best pair of positions at most LONGEST_SPAN apart."""
    best, found = -np.inf, (0, 0)
    for shift in range(min(LONGEST_SPAN, len(start))):
        total = start[: len(start) - shift] + end[shift:]
        at = int(total.argmax())
        if total[at] > best:
            best, found = float(total[at]), (at, at + shift)
    return found


def grade(model: JointReader, groups: list[Group], device: str) -> dict[str, float]:
    """Exact positions, right sentence among one window's, and how well the passage head tells impossible questions."""
    model.eval()
    exact, right, asked, sentences = 0, 0, 0, 0
    believed: list[tuple[float, bool]] = []
    order = sorted(groups, key=lambda group: len(group.windows[0].rows))
    with torch.no_grad():
        for at in range(0, len(order), 32):
            part = [Taken(group, group.windows[:1], group.answerable) for group in order[at : at + 32]]
            start, end, sentence, passage, _ = (t.cpu().numpy() for t in run_model(model, collate(part, device)))
            for n, one in enumerate(part):
                window = one.windows[0]
                believed.append((float(passage[n]), one.answerable))
                if window.starts:
                    asked += 1
                    exact += best_span(start[n], end[n]) in set(zip(window.starts, window.ends, strict=True))
                if window.gold_sentences:
                    sentences += 1
                    right += int(sentence[n].argmax()) in window.gold_sentences
    model.train()
    yes, no = [b for b, ok in believed if ok], [b for b, ok in believed if not ok]
    auc = float(np.mean([np.mean(np.array(yes) > b) for b in no])) if yes and no else float("nan")
    return {"exact": exact / max(1, asked), "sentence": right / max(1, sentences), "auroc": auc}


class Averaged:
    """An exponential average of the weights: what is exported."""

    def __init__(self, model: JointReader) -> None:
        self.state = {name: value.detach().clone() for name, value in model.state_dict().items()}

    def update(self, model: JointReader, step: int) -> None:
        keep = min(AVERAGE, (1 + step) / (10 + step))
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                self.state[name].lerp_(value.detach(), 1 - keep)


def fit(
    model: JointReader, groups: dict[str, list[Group]], tune: dict[str, list[Group]], preset: Preset, run: Run, seed: int
) -> JointReader:
    """Trains to `preset.steps`, from the last checkpoint where there is one; -> the averaged model."""
    device = preset.device
    model.to(device).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.02, betas=(0.9, 0.98), fused=True)
    average = Averaged(model)
    path = run.folder / "checkpoint.pt"
    step, epoch = 0, 0
    if path.is_file():
        saved = torch.load(path, map_location=device, weights_only=True)
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        # The pass that was cut short is not repeated: another begins.
        average.state, step, epoch, run.curves = saved["average"], saved["step"], saved["epoch"] + 1, saved["curves"]
        print(f"[{run.name}] resumed at step {step}", flush=True)
    first, saved_at = step, time.monotonic()
    while step < preset.steps:
        rng = random.Random(seed * 1_000 + epoch)
        for taken in epoch_of(groups, rng, preset.positions):
            rate = RATE * min(1.0, (step + 1) / WARM_UP, max(0.02, (1 - step / preset.steps) / DECAY))
            for part in optimiser.param_groups:
                part["lr"] = rate
            dropped = np.array([rng.random() < CASE_DROPPED for _ in taken])
            loss = loss_of(model, collate(taken, device, dropped))
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            step += 1
            average.update(model, step)
            if step % 20 == 0:
                run.log(step, loss=loss.item())
            run.say(step - first, preset.steps - first, f"step {step} epoch {epoch} loss {loss.item():.3f}", every_s=20.0)
            if step % EVALUATE_EVERY == 0:
                candidate = JointReader(model.sizes).to(device)
                candidate.load_state_dict(average.state)
                for name, known in tune.items():
                    found = grade(candidate, known, device)
                    run.log(step, **{f"{name}_{key}": value for key, value in found.items()})
                    print(f"[{run.name}] {step} {name} " + " ".join(f"{k} {v:.4f}" for k, v in found.items()), flush=True)
            if time.monotonic() - saved_at > CHECKPOINT_S:
                _save(path, model, optimiser, average, step, epoch, run)
                saved_at = time.monotonic()
            if step >= preset.steps:
                break
        epoch += 1
    _save(path, model, optimiser, average, step, epoch, run)
    model.load_state_dict(average.state)
    model.eval()
    return model


def _save(
    path: Path, model: JointReader, optimiser: torch.optim.Optimizer, average: Averaged, step: int, epoch: int, run: Run
) -> None:
    state = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "average": average.state}
    torch.save({**state, "step": step, "epoch": epoch, "curves": run.curves}, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)


def read_groups(data: DataFolder, vocabulary: Vocabulary, run: Run) -> dict[str, list[Group]]:
    """Source -> its groups; kept in the run's folder beside the checkpoint, since reading them takes minutes."""
    kept = run.folder / "groups.pickle"
    if kept.is_file():
        with kept.open("rb") as file:
            known_groups: dict[str, list[Group]] = pickle.load(file)  # noqa: S301 - our own file
        return known_groups
    idf = IdfTable.load(FOLDER / "idf.bin")
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
    reader = GroupReader(vocabulary, IdfTable.load(FOLDER / "idf.bin"))
    tune: dict[str, list[Group]] = {"squad": [], "selqa": []}
    for example in held_examples(data):
        group = reader.group(example)
        if group is not None and half_of(example.title) == 0:
            tune["selqa" if example.source == "selqa" else "squad"].append(group)
    model = fit(start_model(chosen.sizes, vectors, groups), groups, tune, chosen, run, seed)
    torch.save(model.state_dict(), run.folder / "reader.pt")
    metrics: dict[str, Any] = {source: grade(model, known, chosen.device) for source, known in tune.items()}
    run.finish(metrics)
    print(f"[{name}] {metrics}", flush=True)
    return model.to("cpu"), stems, metrics


def train(data: DataFolder, preset: str = "cpu") -> dict[str, Any]:
    """Learns, exports, calibrates, and writes the card of the answerer with both its engines."""
    model, stems, _ = learn(data, preset)
    (FOLDER / "stems.txt").write_text("\n".join(stems), encoding="utf-8")
    reader_export.export(copy.deepcopy(model), FOLDER / "reader.onnx")
    run = Run("reader_calibrate")
    metrics = reader_calibrate.calibrate(data, run)
    reader_export.write_parity(model, FOLDER)
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
    parsed = arguments.parse_args()
    if parsed.experiment:
        learn(DataFolder(parsed.data), parsed.preset, parsed.experiment, parsed.steps, parsed.seed, parsed.without)
    else:
        train(DataFolder(parsed.data), parsed.preset)
