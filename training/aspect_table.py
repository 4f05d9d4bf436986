"""Trains the table that says which aspect of its subject a passage is about: a softmax over the mean of one row a stem.

Two tables are trained on one half of the subjects each, so that a list of the scorer is made with the one that has not seen it; the
third, of all, is served.
"""

# mypy: allow-untyped-calls
from __future__ import annotations

import random
import zlib
from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from ragmesh_models.aspects import NAMES, AspectTable
from ragmesh_models.lexical import words_of
from torch.nn import functional

from training.answerer_data import chunks
from training.splits import title_key

SEED = 20260721
STEMS = 6_000
EPOCHS = 6
BATCH = 256
RATE = 0.02


def fold_of(title: str) -> int:
    """0 or 1, by the subject."""
    return zlib.crc32(title_key(title).encode()) % 2


@dataclass(frozen=True)
class _Example:
    stems: tuple[str, ...]
    aspect: int
    weight: float
    fold: int


def _examples(rows: list[tuple[str, str, str]]) -> list[_Example]:
    found: list[_Example] = []
    for title, aspect, passage in rows:
        if aspect in NAMES:
            cuts = chunks(passage)
            for start, end in cuts:
                stems = tuple(dict.fromkeys(words_of(passage[start:end]).stems))
                if stems:
                    found.append(_Example(stems, NAMES.index(aspect), 1 / len(cuts), fold_of(title)))
    return found


def _fit(examples: list[_Example]) -> AspectTable:
    torch.manual_seed(SEED)
    counts = Counter(s for one in examples for s in one.stems)
    stems = [s for s, often in counts.most_common(STEMS) if often >= 3]
    shape = AspectTable(stems, np.zeros((len(stems), len(NAMES)), np.float32), np.zeros(len(NAMES), np.float32))
    rows = [torch.tensor(shape.rows_of(one.stems), dtype=torch.int64) for one in examples]
    weights = torch.nn.Parameter(torch.zeros(len(stems), len(NAMES)))
    bias = torch.nn.Parameter(torch.zeros(len(NAMES)))
    optimiser = torch.optim.AdamW([weights, bias], lr=RATE, weight_decay=0.05)
    rng = random.Random(SEED)
    for _ in range(EPOCHS):
        order = list(range(len(examples)))
        rng.shuffle(order)
        for at in range(0, len(order), BATCH):
            part = order[at : at + BATCH]
            sizes = torch.tensor([max(1, len(rows[i])) for i in part])
            starts = torch.cumsum(torch.tensor([0] + [len(rows[i]) for i in part[:-1]]), 0)
            summed = functional.embedding_bag(torch.cat([rows[i] for i in part]), weights, starts, mode="sum")
            logits = summed / sizes.sqrt()[:, None] + bias
            each = functional.cross_entropy(logits, torch.tensor([examples[i].aspect for i in part]), reduction="none")
            share = torch.tensor([examples[i].weight for i in part])
            loss = (each * share).sum() / share.sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return AspectTable(stems, weights.detach().numpy(), bias.detach().numpy())


def right_aspect(table: AspectTable, rows: list[tuple[str, str, str]]) -> float:
    """Share of first chunks whose likeliest aspect is the one that they were written for."""
    hits = [
        int(np.argmax(table(set(words_of(passage[slice(*chunks(passage)[0])]).stems)))) == NAMES.index(aspect)
        for _, aspect, passage in rows
        if aspect in NAMES and chunks(passage)
    ]
    return round(float(np.mean(hits)), 4)


def train(rows: list[tuple[str, str, str]]) -> tuple[AspectTable, tuple[AspectTable, AspectTable]]:
    """(the table of all, the table for each fold, trained on the other one). `rows` are (title, aspect, passage)."""
    examples = _examples(rows)
    return _fit(examples), (_fit([one for one in examples if one.fold == 1]), _fit([one for one in examples if one.fold == 0]))


def all_aspects(table: AspectTable, stems: list[set[str]]) -> NDArray[np.float32]:
    """(n, len(NAMES)) log-probabilities."""
    return np.stack([table(one) for one in stems])
