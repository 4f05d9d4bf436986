"""Continues the embedder on an owner's documents: questions, headings and sentences beside the passages that they belong to.

Pairs come from training documents only. How far to go from the shipped weights is decided on the tuning documents, where there are
enough of them. This module does not know the answerer or the reranker.
"""

from __future__ import annotations

import dataclasses
import math
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from ragmesh_models import sentences
from ragmesh_models.embedding import TextRows
from torch import Tensor

from training.adapt_grading import Grader, Graphs, tokenizer
from training.adapt_material import Material
from training.adapt_weights import copied, load_embedder, mixed
from training.answerer_data import chunks
from training.embedder_model import SumEmbedder
from training.embedder_recipe import Side, export, tensorise
from training.progress import Run

BATCH = 256
EPOCHS = 6
RATE = 1e-3
ROW_DROPOUT = 0.15
SHARES = (0.25, 0.5, 0.75, 1.0)
SHARE_UNTUNED = 0.5
SEED = 7
# Of the contrast's logits; the shipped graph does not hold the trained one, which ends near it.
LOG_SCALE = 3.7


def pairs_of(material: Material) -> list[tuple[str, str]]:
    """(query, passage) of the training part, the passage as the index embeds it."""
    rng = random.Random(SEED)
    pairs: list[tuple[str, str]] = []
    passages: dict[str, list[tuple[int, int, str]]] = {}
    for section in material.of("train"):
        cut = [(start, end, f"{section.title}\n{section.text[start:end]}") for start, end in chunks(section.text)]
        passages[section.key] = cut
        for start, end, passage in cut:
            pairs.append((section.title, section.text[start:end]))
            found = sentences.split(section.text[start:end])
            if len(found) >= 3:
                one = rng.choice(found)
                text = section.text[start:end]
                pairs.append((text[one.start : one.end][:300], passage.replace(text[one.start : one.end], "", 1)))
    for question in material.questions["train"]:
        at = question.reading.answers[0][0]
        pairs += [(question.reading.question, passage) for start, end, passage in passages[question.section] if start <= at < end]
    return pairs


def adapt(material: Material, graphs: Graphs, target: Path, runs: Path, grader: Grader) -> float:
    """Trains on, chooses how far to go, writes the graph; returns the share of the way."""
    model = load_embedder(graphs.embedder)
    before = copied(model)
    fit(model, pairs_of(material), runs)
    after = copied(model)

    def write(share: float, path: Path) -> None:
        model.load_state_dict(mixed(before, after, share))
        export(model, path)

    share = choose(material, lambda path: dataclasses.replace(graphs, embedder=path), write, grader, "hybrid")
    write(share, target)
    return share


def choose(
    material: Material,
    changed: Callable[[Path], Graphs],
    write: Callable[[float, Path], None],
    grader: Grader,
    measure: str,
) -> float:
    """The share of the way with the best mean of a measure on the tuning documents, the shorter way where two are as good."""
    tune = material.questions["tune"]
    if not tune:
        return SHARE_UNTUNED
    best, chosen = -1.0, SHARES[0]
    with tempfile.TemporaryDirectory() as folder:
        for share in SHARES:
            path = Path(folder) / f"{share}.onnx"
            write(share, path)
            mean = float(grader.grade(tune, changed(path), (measure,))[measure].mean())
            grader.forget(path)
            if mean > best + 1e-6:
                best, chosen = mean, share
    return chosen


def fit(model: SumEmbedder, pairs: list[tuple[str, str]], runs: Path) -> None:
    """Adam with a cosine to zero over shuffled batches; pairs that share a side are no negatives of each other."""
    run = Run("adapt-embedder", runs)
    rows = TextRows(tokenizer())
    sides: tuple[Side, Side] = (
        tensorise([query for query, _ in pairs], rows, run),
        tensorise([text for _, text in pairs], rows, run),
    )
    keys = np.array([hash(text[-200:]) for _, text in pairs]), np.array([hash(query) for query, _ in pairs])
    with torch.no_grad():
        model.log_scale.fill_(LOG_SCALE)
    optimiser = torch.optim.Adam(model.parameters(), lr=RATE, betas=(0.9, 0.98))
    rng = random.Random(SEED)
    size = min(BATCH, len(pairs))
    steps, step = max(1, EPOCHS * (len(pairs) // size)), 0
    while step < steps:
        order = rng.sample(range(len(pairs)), len(pairs))
        for at in range(0, len(order) - size + 1, size):
            chosen = order[at : at + size]
            for group in optimiser.param_groups:
                group["lr"] = RATE * 0.5 * (1 + math.cos(math.pi * step / steps))
            queries, passages = (model(*_thinned(*side.batch(chosen)), kind) for kind, side in enumerate(sides))
            same = (keys[0][chosen][:, None] == keys[0][chosen]) | (keys[1][chosen][:, None] == keys[1][chosen])
            np.fill_diagonal(same, False)
            loss = model.loss(queries, passages, torch.from_numpy(same))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            step += 1
            run.say(step, steps, f"steps, loss {loss.item():.3f}")


def _thinned(ids: Tensor, often: Tensor, starts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return ids, often * (torch.rand(len(often)) >= ROW_DROPOUT), starts
