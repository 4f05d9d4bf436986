"""Lays a claim beside its evidence, word by word: what the verifier's network reads.

Each word of the claim is aligned with the best sentence of the evidence (two where they follow each other), else with the rest of
it; what is not there is compared with what stands in its place. All figures are plain counts, ratios and cosines, in the order of
TOKEN_NAMES and PAIR_NAMES. This module does not know the network.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ragmesh_models import sentences
from ragmesh_models.claim_facts import Missing, Read, missing, read
from ragmesh_models.opposites import COMPARISONS, EXCLUSIVES, HEDGES, NEGATIONS, opposes
from ragmesh_models.word_table import WordTable

MAX_CLAIM_WORDS = 64
MAX_EVIDENCE_WORDS = 640
_NEAR = 3  # words before an aligned word in which a negation counts as its own
_ALIKE = 0.6  # cosine from which a word that is not there is aligned with another

TOKEN_NAMES = (
    "idf", "stop", "name", "number", "negation", "exclusive", "hedge", "comparison", "proper", "place", "exact_best",
    "stem_best", "anywhere", "missing", "cosine_best", "cosine_any", "continues", "backwards", "jump", "left_same",
    "right_same", "denied_there", "denied_here", "slot_empty", "slot_length", "slot_cosine", "slot_name", "slot_number",
    "opposite", "unknown",
)  # fmt: skip
PAIR_NAMES = (
    "covered_best", "covered_any", "covered_soft", "best_in_claim", "unmatched_idf", "unmatched_share", "run", "bigrams",
    "trigrams", "missing_numbers", "missing_names", "excused", "numbers", "names", "negations_claim", "negations_best",
    "negation_differs", "exclusive_unmatched", "hedge_differs", "opposites", "inversions", "names_elsewhere",
    "numbers_elsewhere", "claim_length", "best_length", "evidence_length", "first_unmatched", "last_unmatched", "mean_cosine",
    "two_sentences",
)  # fmt: skip


@dataclass(frozen=True)
class Aligned:
    """One claim beside its evidence."""

    tokens: NDArray[np.float32]  # (T, len(TOKEN_NAMES))
    claim_rows: NDArray[np.int64]  # (T,) rows of the word table
    evidence_rows: NDArray[np.int64]  # (T,) of the word each one is aligned with, or of the one in its place; len(table): none
    pair: NDArray[np.float32]  # (len(PAIR_NAMES),)
    missing: Missing


@dataclass(frozen=True)
class _Side:
    """One text as arrays."""

    stems: list[str]
    lowered: list[str]
    stops: NDArray[np.bool_]
    places: NDArray[np.int64]  # rows of the word table
    idf: NDArray[np.float32]
    vectors: NDArray[np.float32]
    negations: NDArray[np.bool_]


def _side(text: Read, table: WordTable, most: int) -> _Side:
    stems, lowered = text.words.stems[:most], text.folded[:most]
    places = np.array([table.place(name) for name in stems], dtype=np.int64)
    return _Side(
        stems,
        lowered,
        np.array(text.words.stops[:most], dtype=bool),
        places,
        table.idf[places],
        table.vectors[places],
        np.array([word in NEGATIONS or word.endswith("n't") for word in lowered], dtype=bool),
    )


def _sentence_numbers(text: Read, count: int) -> NDArray[np.int64]:
    """Number of the sentence in which each of the first `count` words stands."""
    cuts = np.array([cut.start for cut in sentences.split(text.text)], dtype=np.int64)
    starts = np.array(text.words.starts[:count], dtype=np.int64)
    return np.maximum(np.searchsorted(cuts, starts, side="right") - 1, 0)


def _best(
    claim: _Side, evidence: _Side, numbers: NDArray[np.int64], positions: dict[str, list[int]]
) -> tuple[NDArray[np.bool_], bool]:
    """Which words of the evidence belong to the sentence, or two in a row, that say most of the claim; and whether it is two."""
    count = int(numbers[-1]) + 1
    weights: NDArray[np.float64] = np.where(claim.stops, 0.2, claim.idf).astype(np.float64)
    held = np.zeros((count, len(claim.stems)), dtype=bool)
    for n, name in enumerate(claim.stems):
        for position in positions.get(name, ()):
            held[numbers[position], n] = True
    lengths = np.bincount(numbers, minlength=count)
    single = held @ weights - 0.01 * lengths
    best = int(single.argmax())
    if count == 1:
        return np.ones(len(numbers), dtype=bool), False
    double = (held[:-1] | held[1:]) @ weights - 0.01 * (lengths[:-1] + lengths[1:])
    pair = int(double.argmax())
    # A second sentence must bring something of weight.
    if double[pair] > single[best] + 0.15 * weights.sum():
        return (numbers == pair) | (numbers == pair + 1), True
    return numbers == best, False


def _align(claim: _Side, inside: NDArray[np.bool_], positions: dict[str, list[int]]) -> NDArray[np.int64]:
    """For each word of the claim the position of its stem in the best sentence, nearest to the word before it; -1: none."""
    aligned = np.full(len(claim.stems), -1, dtype=np.int64)
    expected = -1.0
    # Words that carry content first: they say where the others are to be looked for.
    anchors: dict[int, int] = {}
    for n, name in enumerate(claim.stems):
        places = [position for position in positions.get(name, ()) if inside[position]]
        if len(places) == 1:
            anchors[n] = places[0]
    for n, name in enumerate(claim.stems):
        places = [position for position in positions.get(name, ()) if inside[position]]
        if places:
            if expected < 0:
                following = next((anchors[m] - (m - n) for m in range(n, min(n + 6, len(claim.stems))) if m in anchors), places[0])
                expected = float(following)
            aligned[n] = min(places, key=lambda place: (abs(place - expected), place))
            expected = float(aligned[n])
        if expected >= 0:
            expected += 1
    return aligned


def _slots(
    claim: _Side, evidence: _Side, aligned: NDArray[np.int64], similar: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """What stands in the evidence where a word of the claim should: (T, 3) empty, length, cosine; and the position of that word."""
    count = len(claim.stems)
    figures = np.zeros((count, 3), dtype=np.float32)
    instead = np.full(count, -1, dtype=np.int64)
    matched = np.nonzero(aligned >= 0)[0]
    for n in np.nonzero(aligned < 0)[0]:
        left = matched[matched < n]
        right = matched[matched > n]
        low = int(aligned[left[-1]]) + 1 if len(left) else (int(aligned[right[0]]) - 4 if len(right) else 0)
        high = int(aligned[right[0]]) if len(right) else low + 4
        low, high = max(0, low), min(len(evidence.stems), high)
        if high <= low:
            figures[n, 0] = 1
            continue
        window = similar[n, low : min(high, low + 12)]
        instead[n] = low + int(window.argmax())
        figures[n, 1] = min(1.0, (high - low) / 8)
        figures[n, 2] = window.max()
    return figures, instead


def _shares(items: list[tuple[str, ...]], others: set[tuple[str, ...]]) -> float:
    return sum(item in others for item in items) / len(items) if items else 1.0


def _grams(stems: list[str], size: int) -> list[tuple[str, ...]]:
    return [tuple(stems[n : n + size]) for n in range(len(stems) - size + 1)]


def align(claim_text: str, evidence_text: str, table: WordTable) -> Aligned:
    """The claim beside its evidence. Words beyond the limits are not read."""
    return aligned_of(read(claim_text, table), read(evidence_text, table), table)


def aligned_of(claim_read: Read, evidence_read: Read, table: WordTable) -> Aligned:
    found = missing(claim_read, evidence_read, table)
    claim, evidence = _side(claim_read, table, MAX_CLAIM_WORDS), _side(evidence_read, table, MAX_EVIDENCE_WORDS)
    count = len(claim.stems)
    tokens = np.zeros((max(1, count), len(TOKEN_NAMES)), dtype=np.float32)
    pair = np.zeros(len(PAIR_NAMES), dtype=np.float32)
    if not count or not evidence.stems:
        nothing = np.full(max(1, count), len(table), dtype=np.int64)
        return Aligned(tokens, nothing, nothing, pair, found)
    positions: dict[str, list[int]] = {}
    for n, name in enumerate(evidence.stems):
        positions.setdefault(name, []).append(n)
    numbers = _sentence_numbers(evidence_read, len(evidence.stems))
    inside, two = _best(claim, evidence, numbers, positions)
    aligned = _align(claim, inside, positions)
    similar = claim.vectors @ evidence.vectors.T  # (T, E)
    similar = np.where(evidence.stops[None, :] != claim.stops[:, None], 0, similar).astype(np.float32)
    slots, instead = _slots(claim, evidence, aligned, similar)
    inner = np.where(inside[None, :], similar, -1)
    nearest = inner.argmax(1)
    anywhere = np.array([name in positions for name in claim.stems])
    elsewhere = anywhere & (aligned < 0)
    partner = np.where(aligned >= 0, aligned, np.where(inner.max(1) >= _ALIKE, nearest, instead))
    evidence_rows = np.where(partner >= 0, evidence.places[np.maximum(partner, 0)], len(table))
    best_stems = {name for n, name in enumerate(evidence.stems) if inside[n]}
    opposite = np.array([not stop and opposes(name, best_stems) for name, stop in zip(claim.stems, claim.stops, strict=True)])
    is_name = np.zeros(count, dtype=bool)
    for found_name in claim_read.names:
        is_name[found_name.first : found_name.end] = True
    is_number = np.array([n in claim_read.numeric for n in range(count)])
    lacking = _lacking(claim_read, found, count)
    there = _flags(evidence_read, len(evidence.stems))
    _fill_tokens(tokens, claim, evidence, aligned, inside)
    columns: dict[str, NDArray[np.generic]] = {
        "name": is_name, "number": is_number, "anywhere": anywhere, "missing": lacking, "opposite": opposite,
        "proper": np.array([table.proper(name) for name in claim.stems]),
        "unknown": claim.places == len(table),
        "cosine_best": np.where(aligned >= 0, 1, np.maximum(inner.max(1), 0)),
        "cosine_any": np.where(anywhere, 1, np.maximum(similar.max(1), 0)),
        "slot_empty": slots[:, 0], "slot_length": slots[:, 1], "slot_cosine": slots[:, 2],
        "slot_name": np.where(instead >= 0, there[0][np.maximum(instead, 0)], False),
        "slot_number": np.where(instead >= 0, there[1][np.maximum(instead, 0)], False),
    }  # fmt: skip
    for column, values in columns.items():
        tokens[:, TOKEN_NAMES.index(column)] = values
    _fill_pair(pair, claim, evidence, tokens, aligned, inside)
    content = ~claim.stops
    extra = {
        "missing_numbers": len(found.quantities), "missing_names": min(4, len(found.words)), "excused": found.excused,
        "numbers": min(4, len(claim_read.quantities)), "names": min(4, len(claim_read.names)), "two_sentences": two,
        "opposites": min(3, int(opposite.sum())),
        "names_elsewhere": min(3, int((is_name & elsewhere).sum())),
        "numbers_elsewhere": min(3, int((is_number & elsewhere).sum())),
        "mean_cosine": _mean_cosine(claim.vectors[content], evidence.vectors[inside & ~evidence.stops]),
    }  # fmt: skip
    for column, value in extra.items():
        pair[PAIR_NAMES.index(column)] = value
    return Aligned(tokens, claim.places, evidence_rows, pair, found)


def _mean_cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    if not len(one) or not len(other):
        return 0.0
    a, b = one.mean(0), other.mean(0)
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b) + 1e-6))


def _lacking(claim: Read, found: Missing, count: int) -> NDArray[np.bool_]:
    flags = np.zeros(count, dtype=bool)
    flags[[n for n in found.words if n < count]] = True
    for quantity in found.quantities:
        for n in range(count):
            if claim.words.starts[n] < quantity.end and claim.words.ends[n] > quantity.start:
                flags[n] = True
    return flags


def _flags(text: Read, count: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which words are names, which belong to numbers."""
    names = np.zeros(count, dtype=bool)
    for name in text.names:
        names[name.first : name.end] = True
    return names, np.array([n in text.numeric for n in range(count)])


def _near_negation(negations: NDArray[np.bool_], at: int) -> bool:
    return bool(negations[max(0, at - _NEAR) : at + 1].any())


def _fill_tokens(
    tokens: NDArray[np.float32], claim: _Side, evidence: _Side, aligned: NDArray[np.int64], inside: NDArray[np.bool_]
) -> None:
    """The columns that need the alignment alone."""
    column = {name: n for n, name in enumerate(TOKEN_NAMES)}
    count = len(claim.stems)
    best_surface = {word for word, here in zip(evidence.lowered, inside, strict=True) if here}
    tokens[:, column["idf"]] = claim.idf / 12
    tokens[:, column["stop"]] = claim.stops
    tokens[:, column["negation"]] = claim.negations
    for name, words in (("exclusive", EXCLUSIVES), ("hedge", HEDGES), ("comparison", COMPARISONS), ("exact_best", best_surface)):
        tokens[:, column[name]] = [word in words for word in claim.lowered]
    tokens[:, column["place"]] = np.arange(count) / count
    tokens[:, column["stem_best"]] = aligned >= 0
    before = -2
    for n in range(count):
        at = int(aligned[n])
        if at < 0:
            continue
        if before >= 0:
            tokens[n, column["continues"]] = at == before + 1
            tokens[n, column["backwards"]] = at <= before
            tokens[n, column["jump"]] = min(1.0, math.log1p(abs(at - before - 1)) / 4)
        tokens[n, column["left_same"]] = n > 0 and at > 0 and claim.stems[n - 1] == evidence.stems[at - 1]
        tokens[n, column["right_same"]] = (
            n + 1 < count and at + 1 < len(evidence.stems) and claim.stems[n + 1] == evidence.stems[at + 1]
        )
        tokens[n, column["denied_there"]] = _near_negation(evidence.negations, at)
        before = at
    tokens[:, column["denied_here"]] = [_near_negation(claim.negations, n) for n in range(count)]


def _longest_run(aligned: NDArray[np.int64]) -> int:
    longest = run = 0
    for n, at in enumerate(aligned):
        run = run + 1 if at >= 0 and n > 0 and at == aligned[n - 1] + 1 and run else int(at >= 0)
        longest = max(longest, run)
    return longest


def _inversions(aligned: NDArray[np.int64], heavy: NDArray[np.bool_]) -> float:
    """Share of pairs of matched content words that stand in the other order."""
    order = aligned[(aligned >= 0) & heavy]
    if len(order) < 2:
        return 0.0
    later = order[None, :] < order[:, None]
    return float(np.triu(later, 1).sum() / (len(order) * (len(order) - 1) / 2))


def _fill_pair(
    pair: NDArray[np.float32],
    claim: _Side,
    evidence: _Side,
    tokens: NDArray[np.float32],
    aligned: NDArray[np.int64],
    inside: NDArray[np.bool_],
) -> None:
    column = {name: n for n, name in enumerate(TOKEN_NAMES)}
    weights = np.where(claim.stops, 0.2, claim.idf)
    total = float(weights.sum()) + 1e-6
    matched = aligned >= 0
    content = ~claim.stops
    best = [name for name, here in zip(evidence.stems, inside, strict=True) if here]
    unmatched = content & ~matched
    said = set(claim.stems)
    best_weights = np.where(evidence.stops, 0.2, evidence.idf)[inside]
    denied_claim, denied_best = int(claim.negations.sum()), int(evidence.negations[inside].sum())
    hedged = bool(tokens[:, column["hedge"]].any())
    values = {
        "covered_best": float(weights[matched].sum()) / total,
        "covered_any": float(weights[tokens[:, column["anywhere"]] > 0].sum()) / total,
        "covered_soft": float((weights * tokens[:, column["cosine_best"]]).sum()) / total,
        "best_in_claim": float(best_weights[[name in said for name in best]].sum() / (best_weights.sum() + 1e-6)),
        "unmatched_idf": float(claim.idf[unmatched].max()) / 12 if unmatched.any() else 0.0,
        "unmatched_share": float(unmatched.sum() / max(1, content.sum())),
        "run": _longest_run(aligned) / len(claim.stems),
        "bigrams": _shares(_grams(claim.stems, 2), set(_grams(best, 2))),
        "trigrams": _shares(_grams(claim.stems, 3), set(_grams(best, 3))),
        "negations_claim": min(2, denied_claim),
        "negations_best": min(2, denied_best),
        "negation_differs": (denied_claim > 0) != (denied_best > 0),
        "exclusive_unmatched": bool((tokens[:, column["exclusive"]] * (~matched)).any()),
        "hedge_differs": hedged != any(word in HEDGES for word, here in zip(evidence.lowered, inside, strict=True) if here),
        "inversions": _inversions(aligned, content),
        "claim_length": math.log1p(len(claim.stems)) / 4,
        "best_length": math.log1p(len(best)) / 4,
        "evidence_length": math.log1p(len(evidence.stems)) / 6,
        "first_unmatched": float(np.argmax(unmatched)) / len(claim.stems) if unmatched.any() else 1.0,
        "last_unmatched": 1 - float(np.argmax(unmatched[::-1])) / len(claim.stems) if unmatched.any() else 0.0,
    }
    for name, value in values.items():
        pair[PAIR_NAMES.index(name)] = value
