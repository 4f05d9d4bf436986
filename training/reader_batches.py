"""Groups to batches: which of them an epoch takes, which windows come with each, and the padded tensors."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from ragmesh_models.reading_features import POSITION_FEATURES, SENTENCE_FEATURES
from ragmesh_models.reading_text import PIECES
from torch import Tensor

from training.reader_data import Group, RankedGroup, Window

# How many groups of a source one epoch takes, and how much each counts.
TAKEN = {"qamr": 9_000, "sentqa": 8_000, "synthetic": 14_000, "boolq": 2_000, "medquad": 800, "fairytaleqa": 1_600, "covidqa": 800}
WEIGHT = {"qamr": 0.7, "synthetic": 0.5, "medquad": 0.3, "fairytaleqa": 0.7, "covidqa": 0.7}
WEIGHT |= {"wide": 0.6, "wide_changed": 0.6, "recurring": 0.4}  # of the trunk's questions
# The same of the second stage, whose groups are lists.
LISTS_TAKEN = {
    "sentqa": 5_000, "synthetic": 3_500, "boolq": 3_000, "selqa": 1_300, "changed": 1_600, "fairytaleqa": 1_500, "medquad": 900,
    "qamr": 4_000, "synthetic_single": 5_000, "covidqa": 500,
}  # fmt: skip
ALONE = 0.2  # of lists, the right passage without any other: reading one passage must not be forgotten
GONE = 0.1  # of lists, the right passage taken out
BLIND = 0.15  # of the lists that have negatives, one that was picked blindly
MOST_NEGATIVES = 5
WITH_NEGATIVE = 0.4
ONLY_NEGATIVE = 0.07
CASE_COLUMNS = slice(2, 4)  # of STATIC: capital, upper


@dataclass(frozen=True)
class Taken:
    """A group as one batch takes it."""

    group: Group
    windows: list[Window]
    answerable: bool
    lexical: tuple[float, ...] = ()  # the feature scorer's scores of the windows, where they are known


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
    lexical = np.array([one.lexical or (0.0,) * size for one in taken], dtype=np.float32)
    member = torch.from_numpy(sentence).to(device)[:, None, :] == torch.arange(most, device=device)[None, :, None]
    return {
        "rows": torch.from_numpy(rows).to(device),
        "pieces": torch.from_numpy(pieces).to(device),
        "features": scaled,
        "member": member.float(),
        "sentence_features": torch.from_numpy(described).to(device),
        "kind": torch.tensor([one.group.kind for one in taken], device=device).repeat_interleave(size),
        "lexical": torch.from_numpy(lexical).to(device),
        "starts": torch.from_numpy(gold[0]).to(device),
        "ends": torch.from_numpy(gold[1]).to(device),
        "gold_sentence": torch.from_numpy(gold_sentence).to(device),
        "spans": torch.tensor([float(one.group.spans and one.answerable) for one in taken], device=device),
        "answerable": torch.tensor([float(one.answerable) for one in taken], device=device),
        "said": torch.tensor([one.group.said for one in taken], device=device),
        "weight": torch.tensor([WEIGHT.get(one.group.source, 1.0) for one in taken], device=device),
    }


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
    return batches_of(taken, rng, positions)


def list_epoch(groups: dict[str, list[Group]], rng: random.Random, most: Mapping[str, int] = LISTS_TAKEN) -> list[Taken]:
    """One pass over lists: how many and which of the wrong passages come along is drawn anew each time."""
    taken: list[Taken] = []
    for source, known in groups.items():
        for group in rng.sample(known, min(len(known), most.get(source, len(known)))):
            taken.append(_ranked(group, rng) if isinstance(group, RankedGroup) else draw(group, rng))
    return taken


def draw(group: Group, rng: random.Random, most: int = MOST_NEGATIVES) -> Taken:
    """A list as one batch takes it: the right passage alone, beside some of the wrong ones, or seldom the wrong ones alone."""
    own, others = group.windows[:1], group.windows[1:]
    chance = rng.random()
    if not others or chance < (ALONE if group.answerable else 0.5):
        return Taken(group, own, group.answerable)
    count = min(len(others), rng.randint(2, most))
    hard, blind = others[:-1] or others, others[-1]
    # The hardest twice as likely as the rest: those that BM25 puts first are those to be told apart.
    order = sorted(range(len(hard)), key=lambda n: rng.random() ** (1.0 if n < 3 else 2.0), reverse=True)
    chosen = [hard[n] for n in order[:count]]
    if rng.random() < BLIND:
        chosen[-1] = blind
    if group.answerable and not group.said and chance < ALONE + GONE:
        return Taken(group, chosen, False)
    return Taken(group, own + (chosen if group.answerable else chosen[:2]), group.answerable)


def _ranked(group: RankedGroup, rng: random.Random) -> Taken:
    """The right window with the scorer's best wrong ones; seldom without it, as a search that missed it."""
    count = rng.randint(3, len(group.windows) - 1)
    chosen = sorted(rng.sample(range(1, len(group.windows)), count))
    if rng.random() < GONE and not group.said:
        return Taken(group, [group.windows[n] for n in chosen], False)
    chosen = [0, *chosen]
    return Taken(group, [group.windows[n] for n in chosen], True, tuple(group.lexical[n] for n in chosen))


def batches_of(taken: list[Taken], rng: random.Random, positions: int) -> list[list[Taken]]:
    """Batches of groups of one size and of like length, in random order; at most `positions` each, padding counted."""

    def length(one: Taken) -> int:
        return max(len(w.rows) for w in one.windows)

    batches: list[list[Taken]] = []
    for size in sorted({len(one.windows) for one in taken}):
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
