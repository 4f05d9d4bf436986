"""Trains, grades and exports the embedder. Resumes from its checkpoint in training/runs/embedder.

Batches come from one group of pairs (one book shelf, one question set), which makes their negatives hard at no cost.
"""

from __future__ import annotations

import argparse
import math
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ragmesh_models.embedding import DIMENSIONS, KINDS, Embedder, TextRows
from ragmesh_models.tokens import TextTokenizer
from torch import Tensor

from training import MODEL_REPOSITORY, ROOT, cards, parity
from training.bm25 import Bm25
from training.embedder_eval import benches, grade
from training.embedder_model import QuantisedEmbedder, SumEmbedder
from training.pairs import Pair, training_pairs
from training.progress import Run
from training.sources import DataFolder
from training.splits import evaluation_grams, refuse_contamination

SEED = 20260721
BATCH = 2_048
PEAK_RATE = 4e-3
ROW_DROPOUT = 0.15
WARM_UP = 60
# More passes learn the pairs by heart: held-out recall falls while the loss still does (JOURNAL.md).
EPOCHS = 2.5
TOKENIZER = MODEL_REPOSITORY / "tokenizer" / "1" / "tokenizer.json"
WEIGHTS = MODEL_REPOSITORY / "embedder" / "1" / "embedder.onnx"
CHECKPOINT_STEPS = 100


@dataclass(frozen=True)
class Side:
    """All queries or all passages as one flat array."""

    ids: NDArray[np.int32]
    often: NDArray[np.float32]
    ends: NDArray[np.int64]  # (n + 1,)

    def batch(self, chosen: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        parts = [slice(self.ends[i], self.ends[i + 1]) for i in chosen]
        ids = np.concatenate([self.ids[part] for part in parts])
        often = np.concatenate([self.often[part] for part in parts])
        starts = np.cumsum([0] + [part.stop - part.start for part in parts[:-1]])
        return torch.from_numpy(ids).long(), torch.from_numpy(often), torch.from_numpy(starts).long()


def tensorise(texts: list[str], rows: TextRows, run: Run) -> Side:
    ids: list[NDArray[np.int32]] = []
    often: list[NDArray[np.float32]] = []
    for number, text in enumerate(texts):
        found, counts = rows(text) if text else (np.zeros(0, np.int32), np.zeros(0, np.float32))
        if not len(found):
            found, counts = np.zeros(1, np.int32), np.ones(1, np.float32)
        ids.append(found)
        often.append(counts)
        run.say(number + 1, len(texts), "texts read")
    ends = np.concatenate(([0], np.cumsum([len(found) for found in ids])))
    return Side(np.concatenate(ids), np.concatenate(often), ends)


def batches(pairs: list[Pair], rng: random.Random) -> list[list[int]]:
    """One epoch: most batches from one group, the rest mixed over all groups."""
    groups: dict[str, list[int]] = {}
    mixed: list[int] = []
    for index, pair in enumerate(pairs):
        (mixed if rng.random() < 0.35 else groups.setdefault(pair.group, [])).append(index)
    found: list[list[int]] = []
    for members in groups.values():
        rng.shuffle(members)
        full = len(members) - len(members) % BATCH
        found += [members[at : at + BATCH] for at in range(0, full, BATCH)]
        mixed += members[full:]
    rng.shuffle(mixed)
    found += [mixed[at : at + BATCH] for at in range(0, len(mixed) - BATCH + 1, BATCH)]
    rng.shuffle(found)
    return found


def _not_negatives(pairs: list[Pair], chosen: list[int], keys: NDArray[np.int64], asked: NDArray[np.int64]) -> Tensor:
    """(b, b): pairs that share the passage or the question are no negatives of each other."""
    passage, query = keys[chosen], asked[chosen]
    same = (passage[:, None] == passage[None]) | (query[:, None] == query[None])
    np.fill_diagonal(same, False)
    return torch.from_numpy(same)


def _thinned(ids: Tensor, often: Tensor, starts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Switches rows off at random, so that no pair is learned by one rare row."""
    return ids, often * (torch.rand(len(often)) >= ROW_DROPOUT), starts


def weigh_by_rarity(model: SumEmbedder, passages: Side) -> None:
    """Starts the row weights at the rows' inverse document frequency; with random rows alone that is a hashed TF-IDF."""
    seen = np.bincount(passages.ids, minlength=model.table.num_embeddings)
    rarity = np.maximum(0.3, np.log((len(passages.ends)) / (seen + 1)))
    with torch.no_grad():
        model.log_weight.copy_(torch.from_numpy(np.log(rarity / rarity.mean())).float().expand(2, -1))


def fit(model: SumEmbedder, pairs: list[Pair], sides: tuple[Side, Side], epochs: float, run: Run) -> None:
    """Adam with a linear warm-up and a cosine to zero."""
    keys = np.array([hash(pair.passage[-200:]) for pair in pairs])
    asked = np.array([hash(pair.query) for pair in pairs])
    optimiser = torch.optim.Adam(model.parameters(), lr=PEAK_RATE, betas=(0.9, 0.98), fused=True)
    checkpoint = run.folder / "checkpoint.pt"
    step, steps = 0, max(1, int(epochs * len(pairs) / BATCH))
    if checkpoint.exists():
        state: dict[str, Any] = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        step = state["step"]
    rng = random.Random(SEED + step)
    queue: list[list[int]] = []
    while step < steps:
        queue = queue or batches(pairs, rng)
        chosen = queue.pop()
        rate = PEAK_RATE * min(1.0, (step + 1) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * step / steps))
        for group in optimiser.param_groups:
            group["lr"] = rate
        queries, passages = (model(*_thinned(*side.batch(chosen)), kind) for kind, side in enumerate(sides))
        loss = model.loss(queries, passages, _not_negatives(pairs, chosen, keys, asked))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        step += 1
        value = loss.item()
        run.log(step, loss=value, scale=model.log_scale.exp().item())
        run.say(step, steps, f"steps, loss {value:.3f}", every_s=15)
        if step % CHECKPOINT_STEPS == 0:
            torch.save({"model": model.state_dict(), "optimiser": optimiser.state_dict(), "step": step}, checkpoint)
    torch.save({"model": model.state_dict(), "optimiser": optimiser.state_dict(), "step": step}, checkpoint)


def export(model: SumEmbedder, target: Path) -> None:
    quantised = QuantisedEmbedder(model).eval()
    sample = (torch.ones(2, 5, dtype=torch.int32), torch.ones(2, 5), torch.tensor([0, 1], dtype=torch.int32))
    target.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        quantised,
        sample,
        str(target),
        input_names=["ids", "weights", "kind"],
        output_names=["embedding"],
        dynamic_axes={"ids": {0: "b", 1: "t"}, "weights": {0: "b", 1: "t"}, "kind": {0: "b"}, "embedding": {0: "b"}},
        opset_version=17,
        dynamo=False,
    )


def write_parity(model: SumEmbedder, rows: TextRows, folder: Path) -> None:
    """What torch gives for the quantised weights."""
    quantised = QuantisedEmbedder(model).eval()
    found: list[dict[str, Any]] = []
    for kind, text in parity.TEXTS:
        ids, often = rows(text)
        with torch.no_grad():
            vector = quantised(torch.from_numpy(ids)[None], torch.from_numpy(often)[None], torch.tensor([KINDS.index(kind)]))
        found.append({"kind": kind, "text": text, "embedding": vector[0].numpy()})
    parity.write(folder, 2e-5, rows=found)


def train(data: DataFolder, preset: str = "cpu", epochs: float = EPOCHS) -> dict[str, Any]:
    torch.manual_seed(SEED)
    torch.set_num_threads(1 if preset == "cpu" else 8)
    run = Run("embedder")
    pairs = training_pairs(data, per_document=60 if preset == "cpu" else 200)
    trained = (text for pair in pairs for text in (pair.query, pair.passage))
    refuse_contamination(trained, evaluation_grams(data, ROOT), "embedder")
    tokenizer = TextTokenizer(TOKENIZER)
    rows = TextRows(tokenizer)
    sides = tensorise([pair.query for pair in pairs], rows, run), tensorise([pair.passage for pair in pairs], rows, run)
    model = SumEmbedder()
    weigh_by_rarity(model, sides[1])
    fit(model, pairs, sides, epochs, run)
    draft = run.folder / "embedder.onnx"
    export(model, draft)
    served = Embedder(draft, tokenizer)

    def embed(texts: list[str], kind: str) -> NDArray[np.float32]:
        return served(texts, [kind] * len(texts)) if texts else np.zeros((0, DIMENSIONS), np.float32)

    metrics: dict[str, Any] = {"pairs": len(pairs), "epochs": epochs, "benches": {}}
    for bench in benches(data):
        metrics["benches"][bench.name] = grade(bench, embed, Bm25(bench.passages))
        print(bench.name, metrics["benches"][bench.name], flush=True)
    WEIGHTS.parent.mkdir(parents=True, exist_ok=True)
    WEIGHTS.write_bytes(draft.read_bytes())
    write_parity(model, rows, WEIGHTS.parent)
    cards.write("embedder", metrics, data.used)
    run.finish(metrics)
    return metrics


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--preset", choices=("cpu", "gpu"), default="cpu")
    arguments.add_argument("--epochs", type=float, default=EPOCHS)
    parsed = arguments.parse_args()
    train(DataFolder(parsed.data), parsed.preset, parsed.epochs)
