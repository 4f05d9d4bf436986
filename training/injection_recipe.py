"""Trains, calibrates, grades and exports the guard's injection classifier, in minutes on a CPU.

What the two heads learn: of a question, whether it (or a window of it) attacks; of a document, whether a sentence speaks to the
assistant that reads it. An instruction that is honest as a question ("write a poem") is not in the middle of a report, so that the
heads are taught opposite things about it.
"""

from __future__ import annotations

import argparse
import datetime
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from services.guard.classifier import features
from services.guard.classifier.network import HEADS
from training import ROOT
from training.injection_card import write_card
from training.injection_data import Example, Material, draw
from training.injection_model import InjectionNetwork
from training.progress import Run
from training.sources import DataFolder
from training.splits import clean, evaluation_grams, refuse_contamination

SEED = 20261121
TARGET = ROOT / "services" / "guard" / "classifier"
BATCH = 128
EPOCHS = 2
RATE = 4e-3
DECAY = 1e-3
MOST_TOKENS = 192
THRESHOLD = 0.9973
"""Probability from which the guard blocks by the classifier alone, chosen on the tuning half of the validation rows."""
SMOOTHING = 0.02
DOCUMENT_SCALE = 1.34
"""Of the document head's temperature: with less, Markdown headings of the sample corpus were held back."""
_SIGNS = 96

Surprise = NDArray[np.float32]


@dataclass(frozen=True)
class Judged:
    """One stretch of one text, ready for the network."""

    rows: NDArray[np.int32]
    start: int
    end: int
    numbers: NDArray[np.float32]
    attack: bool
    head: int


def surprise_of(texts: list[str]) -> Surprise:
    """(96 * 96,) bits of each pair of signs in honest text, with one added to every count."""
    counts = np.ones((_SIGNS, _SIGNS))
    for text in texts:
        codes = np.frombuffer(features.plain(text).lower().encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
        if len(codes) > 1:
            np.add.at(counts.reshape(-1), features.pairs(codes), 1)
    bits = -np.log2(counts / counts.sum(1, keepdims=True))
    return np.minimum(bits, 14).astype(np.float32).reshape(-1)


def stretches_of(example: Example, surprise: Surprise, rng: random.Random) -> list[Judged]:
    """What an example teaches."""
    read = features.read(example.text, surprise, placed=example.kind == "question")
    if not len(read):
        return []
    if example.kind == "question":
        spans = [(0, len(read))]
        whole = example.source not in ("application", "suffix") and not example.source.startswith("drawn:")
        if len(read) > features.QUESTION_WINDOW and (whole or not example.attack):
            starts, ends = read.windows(features.QUESTION_WINDOW)
            one = rng.randrange(len(starts))
            spans.append((int(starts[one]), int(ends[one])))
        if len(read) > MOST_TOKENS and example.attack and not whole:
            return []  # the attack might lie outside what is kept
        return [_judged(example, read, start, end, example.attack, rng) for start, end in spans]
    starts, ends = read.sentences()
    honest, hostile = [], []
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        first, last = int(read.starts[start]), int(read.ends[end - 1])
        inside = 0 if example.payload is None else min(last, example.payload[1]) - max(first, example.payload[0])
        length = 0 if example.payload is None else example.payload[1] - example.payload[0]
        if inside <= 0:
            honest.append((start, end))
        elif inside >= 0.5 * min(last - first, 400) and inside >= min(0.6 * length, 60):
            hostile.append((start, end))
    found = [_judged(example, read, start, end, True, rng) for start, end in rng.sample(hostile, min(1, len(hostile)))]
    return found + [_judged(example, read, start, end, False, rng) for start, end in rng.sample(honest, min(2, len(honest)))]


def _judged(example: Example, read: features.Read, start: int, end: int, attack: bool, rng: random.Random) -> Judged:
    numbers = read.numbers(np.array([start]), np.array([end]))[0]
    end = min(end, start + MOST_TOKENS) if end - start > MOST_TOKENS else end
    first = max(0, min(start - (MOST_TOKENS - (end - start)) // 2, len(read) - MOST_TOKENS))
    rows = read.rows[first : first + MOST_TOKENS].copy()
    return Judged(rows, start - first, end - first, numbers, attack, HEADS.index(example.kind))


def batches(judged: list[Judged], rng: random.Random) -> list[list[Judged]]:
    """Batches of about equal lengths, shuffled."""
    order = sorted(judged, key=lambda one: (len(one.rows) // 8, rng.random()))
    found = [order[at : at + BATCH] for at in range(0, len(order), BATCH)]
    rng.shuffle(found)
    return found


def tensors(batch: list[Judged]) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """rows, tokens, stretch, numbers, labels, heads."""
    longest = max(len(one.rows) for one in batch)
    rows = np.zeros((len(batch), longest, features.LOOKUPS), dtype=np.int64)
    tokens, stretch = np.zeros((2, len(batch), longest), dtype=bool)
    for place, one in enumerate(batch):
        rows[place, : len(one.rows)] = one.rows
        tokens[place, : len(one.rows)] = True
        stretch[place, one.start : one.end] = True
    numbers = np.stack([one.numbers for one in batch])
    labels = torch.tensor([float(one.attack) for one in batch])
    heads = torch.tensor([one.head for one in batch])
    return torch.from_numpy(rows), torch.from_numpy(tokens), torch.from_numpy(stretch), torch.from_numpy(numbers), labels, heads


def fit(network: InjectionNetwork, judged: list[Judged], run: Run, epochs: int = EPOCHS) -> None:
    rng = random.Random(SEED)
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    steps = epochs * -(-len(judged) // BATCH)
    step = 0
    network.train()
    for _ in range(epochs):
        for batch in batches(judged, rng):
            for group in optimiser.param_groups:
                group["lr"] = RATE * min(1, (step + 1) / 60) * 0.5 * (1 + np.cos(np.pi * step / steps))
            *inputs, labels, heads = tensors(batch)
            logits = network(*inputs).gather(1, heads[:, None])[:, 0]
            loss = functional.binary_cross_entropy_with_logits(logits, labels * (1 - 2 * SMOOTHING) + SMOOTHING)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            step += 1
            run.log(step, loss=loss.item())
            run.say(step, steps, f"loss {loss.item():.4f}")
    network.eval()


def logits_of(network: InjectionNetwork, judged: list[Judged]) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]:
    """Log odds, labels and heads."""
    found, labels, heads = [], [], []
    with torch.no_grad():
        for at in range(0, len(judged), BATCH):
            *inputs, label, head = tensors(judged[at : at + BATCH])
            found.append(network(*inputs).gather(1, head[:, None])[:, 0].numpy())
            labels.append(label.numpy() > 0.5)
            heads.append(head.numpy())
    return np.concatenate(found).astype(np.float64), np.concatenate(labels), np.concatenate(heads)


def temperature_of(logits: NDArray[np.float64], labels: NDArray[np.bool_]) -> float:
    """What the log odds are divided by so that they are least surprised by the labels."""
    candidates = np.geomspace(0.3, 6, 120)
    losses = [np.logaddexp(0, np.where(labels, -logits, logits) / one).mean() for one in candidates]
    return float(candidates[int(np.argmin(losses))])


def train(
    data: DataFolder, preset: str = "cpu", *, share: float = 1.0, epochs: int = EPOCHS, target: Path = TARGET
) -> dict[str, Any]:
    torch.manual_seed(SEED)
    torch.set_num_threads(1 if preset == "cpu" else 8)
    run = Run("injection")
    known = evaluation_grams(data, ROOT)
    material = Material.of(data, held_out=False)
    examples = clean(draw(data, material, SEED, share), lambda row: row.text, known)
    refuse_contamination([row.text for row in examples], known, "injection")
    surprise = surprise_of(material.passages[:4_000] + [row.text for row in examples if row.source.startswith("pud")])
    rng = random.Random(SEED)
    judged = [one for row in examples for one in stretches_of(row, surprise, rng)]
    run.say(1, 1, f"{len(examples)} examples, {len(judged)} stretches", every_s=0)
    network = InjectionNetwork()
    fit(network, judged, run, epochs)
    tuning = draw(data, Material.of(data, held_out=True), SEED + 1, 0.1 * share)
    held = [one for row in tuning for one in stretches_of(row, surprise, rng)]
    logits, labels, heads = logits_of(network, held)
    temperature = [temperature_of(logits[heads == head], labels[heads == head]) for head in range(len(HEADS))]
    temperature[HEADS.index("document")] *= DOCUMENT_SCALE
    version = datetime.date.today().isoformat() if target == TARGET else "draft"
    about = {"version": version, "threshold": THRESHOLD, "examples": len(examples), "stretches": len(judged)}
    arrays = network.arrays() | {
        "surprise": surprise.astype(np.float16),
        "temperature": np.array(temperature, dtype=np.float32),
        "about": np.frombuffer(json.dumps(about).encode(), dtype=np.uint8),
    }
    target.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(target / "injection.npz", **arrays)
    metrics: dict[str, Any] = dict(about) | {"temperature": temperature}
    for head, kind in enumerate(HEADS):
        chosen = heads == head
        right = (logits[chosen] > 0) == labels[chosen]
        metrics[f"{kind}: accuracy on drawn texts of other words"] = f"{right.mean():.4f} of {int(chosen.sum())}"
    write_card(target, metrics, data.used)
    run.finish(metrics)
    print(json.dumps(metrics, indent=1), flush=True)
    return metrics


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--preset", choices=("cpu", "gpu"), default="cpu")
    arguments.add_argument("--share", type=float, default=1.0, help="of the examples; for a quick look")
    arguments.add_argument("--epochs", type=int, default=EPOCHS)
    arguments.add_argument("--target", type=Path, default=TARGET)
    parsed = arguments.parse_args()
    train(DataFolder(parsed.data), parsed.preset, share=parsed.share, epochs=parsed.epochs, target=parsed.target)
