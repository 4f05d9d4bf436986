"""Grades the verifier on what is held out: accuracy, AUROC and calibration, beside a claim alone and the overlap of words.

Half of the held-out FEVER groups, swaps (those of `claim_sets`, and our own kind on held-out articles) and MNLI premises set the
calibration (`tune`), the other half is reported; FoolMeTwice's held-out pages, FEVER symmetric and BEGIN are reported whole.
This module does not know how the network is built.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ragmesh_models.lexical import words_of
from torch.nn import functional

from training.claim_sets import fever_pairs, first_half, fool_me_twice, groups, swapped_pairs
from training.measures import auroc
from training.reading_sets import detokenise
from training.sources import DataFolder
from training.splits import held_out
from training.verifier_data import MNLI, Pair, made_of_questions
from training.verifier_swaps import CONTRADICTED, SUPPORTED

SEED = 20261121
BINS = 10
_MOST_OWN = 3_000
_LABELS = {"supported": SUPPORTED, "contradicted": CONTRADICTED, "SUPPORTS": SUPPORTED, "REFUTES": CONTRADICTED}
_BUCKETS = 2**18


@dataclass(frozen=True)
class Graded:
    """The held-out pairs of one set."""

    name: str
    tune: list[Pair]
    test: list[Pair]


def _halves(name: str, pairs: list[Pair], keys: Sequence[str]) -> Graded:
    sides: tuple[list[Pair], list[Pair]] = ([], [])
    for pair, key in zip(pairs, keys, strict=True):
        sides[0 if first_half(key) else 1].append(pair)
    return Graded(name, *sides)


def _symmetric(data: DataFolder) -> list[Pair]:
    rows = data.rows("qa/nli_verify/fever_symmetric_dev.jsonl", "evaluate")
    return [
        Pair(detokenise(str(row["claim"])), detokenise(str(row["evidence"])), _LABELS[str(row["label"])], "symmetric", "")
        for row in rows
    ]


def _begin(data: DataFolder) -> list[Pair]:
    """Replies of dialogue systems beside the knowledge that they were given; what is only partly in it counts as not supported."""
    text = data.text("qa/nli_verify/begin_wow_test.tsv", "evaluate")
    found = []
    for row in csv.DictReader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE):
        if row["begin_label"] in ("Fully attributable", "Not fully attributable") and row["response"].strip():
            label = SUPPORTED if row["begin_label"] == "Fully attributable" else CONTRADICTED
            found.append(Pair(row["response"].strip(), row["knowledge"].strip(), label, "begin", ""))
    return found


def _mnli(data: DataFolder) -> list[Pair]:
    found = []
    for name in ("train", "test"):
        for row in json.loads(data.text(f"qa/nli_verify/mnli_{name}_olora.json")):
            first, _, second = row["sentence"].partition("\nsentence 2: ")
            premise = first.removeprefix("sentence 1: ").strip()
            if row["label"] in MNLI and premise and second.strip() and held_out(premise):
                found.append(Pair(second.strip(), premise, MNLI[row["label"]], "mnli", row["label"]))
    return found


def graded_sets(data: DataFolder) -> list[Graded]:
    # Nothing that is read here is trained on.
    data = data.apart()

    def pairs(rows: list[dict[str, Any]], name: str) -> list[Pair]:
        return [Pair(row["claim"], row["evidence"], _LABELS[row["label"]], name, row.get("kind", "")) for row in rows]

    fever = pairs(fever_pairs(data), "fever")
    swaps = pairs(swapped_pairs(data, random.Random(SEED)), "swaps")
    mnli = _mnli(data)
    # Single sentences without an article can not be told apart from those that are trained on.
    own = [pair for pair in made_of_questions(data, held_out, random.Random(SEED)) if pair.source != "sentqa"]
    own = random.Random(SEED).sample(own, min(_MOST_OWN, len(own)))
    return [
        _halves("fever", fever, groups([(pair.evidence, pair.claim) for pair in fever])),
        _halves("swaps", swaps, [pair.evidence for pair in swaps]),
        _halves("own swaps", own, [pair.evidence for pair in own]),
        _halves("mnli", mnli, [pair.evidence for pair in mnli]),
        Graded("foolmetwice", [], pairs(fool_me_twice(data), "foolmetwice")),
        Graded("symmetric", [], _symmetric(data)),
        Graded("begin", [], _begin(data)),
    ]


def calibration_error(probability: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Expected calibration error over ten bins of equal width of how likely the first label is."""
    bins = np.minimum((probability * BINS).astype(int), BINS - 1)
    return float(sum(abs(probability[bins == b].mean() - right[bins == b].mean()) * (bins == b).mean() for b in set(bins.tolist())))


def best_threshold(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """The threshold with the highest accuracy."""
    order = np.argsort(-scores, kind="stable")
    gained = np.cumsum(positive[order] * 2 - 1)
    last = np.append(scores[order][1:] != scores[order][:-1], True)
    best = int(np.argmax(np.where(last, gained, -len(scores))))
    return float(scores[order][best])


def _bag(claim: str) -> list[int]:
    words = [word.lower() for word in words_of(claim).surface] or ["^"]
    grams = {*words, *(f"{a} {b}" for a, b in pairwise(words))}
    return [int.from_bytes(hashlib.blake2b(gram.encode(), digest_size=4).digest(), "big") % _BUCKETS for gram in grams]


def claim_only(train: list[Pair], test: list[Pair]) -> float:
    """Accuracy of a logistic regression over words and word pairs of the claim, on `test`: what the wording gives away.

    For a set without a training side `train` is its own other half.
    """

    def bags(pairs: list[Pair]) -> tuple[torch.Tensor, torch.Tensor]:
        found = [_bag(pair.claim) for pair in pairs]
        starts = np.cumsum([0, *(len(bag) for bag in found[:-1])])
        return torch.tensor([n for bag in found for n in bag]), torch.from_numpy(starts)

    weights = torch.zeros(_BUCKETS, 1, requires_grad=True)
    optimiser = torch.optim.Adagrad([weights], lr=0.3)
    y = torch.tensor([float(pair.label == SUPPORTED) for pair in train])
    ids, starts = bags(train)
    for _ in range(25):
        logits = functional.embedding_bag(ids, weights, starts, mode="mean")[:, 0] * 4
        loss = functional.binary_cross_entropy_with_logits(logits, y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        found = functional.embedding_bag(*(bags(test)[0], weights, bags(test)[1]), mode="mean")[:, 0].numpy() >= 0
    return float((found == np.array([pair.label == SUPPORTED for pair in test])).mean())


def figures(probabilities: NDArray[np.float64], labels: NDArray[np.int64], missing: NDArray[np.bool_]) -> dict[str, Any]:
    """Two-way figures of `supported` against the rest, and what the hard layer says."""
    supported = labels == SUPPORTED
    chosen = probabilities[:, SUPPORTED] >= 0.5
    balanced = (
        (chosen & supported).sum() / max(1, supported.sum()) + (~chosen & ~supported).sum() / max(1, (~supported).sum())
    ) / 2
    return {
        "accuracy": round(float((chosen == supported).mean()), 4),
        "balanced_accuracy": round(float(balanced), 4),
        "auroc": round(auroc(probabilities[supported, SUPPORTED], probabilities[~supported, SUPPORTED]), 4),
        "ece": round(calibration_error(probabilities[:, SUPPORTED], supported), 4),
        "missing_of_supported": round(float(missing[supported].mean()), 4),
        "missing_of_others": round(float(missing[~supported].mean()), 4),
        "n": len(labels),
    }
