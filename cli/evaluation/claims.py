"""What can be said of a claim without reading its evidence, and by a single score: the rows that stand beside a verifier's.

`claim_only` is a bag of words and word pairs of the claim alone; what it gets right, the pairs give away by how they are worded.
`by_threshold` turns one score into a verdict. Both learn on four fifths of the pairs and judge the rest, five times, and no claim
is in two fifths. Knows no model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from ragmesh_models.lexical import words_of

from cli.evaluation.rows import PairRow

FOLDS = 5
_BUCKETS = 2**18
_EPOCHS = 8
_RATE = 0.3
Labels = NDArray[np.int64]


def fold_of(claim: str) -> int:
    """In which fifth a claim is judged, by its words: the same claim beside two pieces of evidence is in one."""
    return hashlib.sha256(" ".join(claim.casefold().split()).encode()).digest()[0] % FOLDS


def _bag(claim: str) -> NDArray[np.int64]:
    words = [word.lower() for word in words_of(claim).surface]
    grams = {*words, *(f"{a} {b}" for a, b in pairwise(words)), "^"}
    found = {int.from_bytes(hashlib.blake2b(gram.encode(), digest_size=4).digest(), "big") % _BUCKETS for gram in grams}
    return np.array(sorted(found), dtype=np.int64)


def claim_only(rows: Sequence[PairRow], labels: Labels, kinds: int) -> Labels:
    """(rows,) labels that a logistic regression on the claims' words predicts: AdaGrad over a fixed order, zero where unseen."""
    bags = [_bag(row.claim) for row in rows]
    folds = np.array([fold_of(row.claim) for row in rows])
    predicted = np.zeros(len(rows), dtype=np.int64)
    for fold in range(FOLDS):
        weights = np.zeros((_BUCKETS, kinds), dtype=np.float32)
        squares = np.full((_BUCKETS, kinds), 1e-6, dtype=np.float32)
        training = np.random.default_rng(fold).permutation(np.nonzero(folds != fold)[0])
        for _ in range(_EPOCHS if len(training) else 0):
            for n in training:
                bag = bags[n]
                logits = weights[bag].sum(0)
                step = np.exp(logits - logits.max())
                step /= step.sum()
                step[labels[n]] -= 1
                squares[bag] += step**2
                weights[bag] -= _RATE * step / np.sqrt(squares[bag])
        for n in np.nonzero(folds == fold)[0]:
            predicted[n] = int(np.argmax(weights[bags[n]].sum(0)))
    return predicted


def by_threshold(rows: Sequence[PairRow], scores: NDArray[np.float64], labels: Labels, first: int) -> Labels:
    """(rows,) labels by one score: `first` at or above the best threshold of the other folds, their commonest other label below."""
    folds = np.array([fold_of(row.claim) for row in rows])
    predicted = np.zeros(len(rows), dtype=np.int64)
    for fold in range(FOLDS):
        others = folds != fold
        if not others.any():
            continue
        values, known = scores[others], labels[others]
        rest = known[known != first]
        other = int(np.bincount(rest).argmax()) if len(rest) else first
        order = np.argsort(-values, kind="stable")
        right = np.cumsum(known[order] == first)
        left = np.cumsum((known[order] == other)[::-1])[::-1]
        # Right ones when the best n are taken as `first`, for n = 0 .. all; equals are not torn apart.
        gained = np.append(0, right) + np.append(left, 0)
        possible = np.append(True, np.append(values[order][1:] != values[order][:-1], True))
        best = int(np.nonzero(possible)[0][np.argmax(gained[possible])])
        threshold = np.inf if best == 0 else values[order][best - 1]
        judged = folds == fold
        predicted[judged] = np.where(scores[judged] >= threshold, first, other)
    return predicted
