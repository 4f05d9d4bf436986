"""Features of the candidate passages of one question: what the passage scorer's network reads, in the order of NAMES.

Plain counts and ratios that a reader can check by hand. A passage is met through `ReadPassage`: only where the question's own words
stand is looked at, so that fifty candidates cost milliseconds. This module does not know the network.
"""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from ragmesh_models import aspects
from ragmesh_models.definitions import described
from ragmesh_models.passages import CUES, ReadPassage, prefix_of
from ragmesh_models.questions import Question

_RUN_WINDOW = 40  # words of a question that runs are looked for in
_NARROW, _WIDE = 12, 40  # words of a passage that are seen at once
_OPENING = 8  # words
_NEAR = 4  # words between two neighbours of the question
_FEW_PLACES = 8  # of one word that are paired with its neighbour's

NAMES = (
    "overlap", "overlap_title", "overlap_both", "overlap_count", "overlap_local", "overlap_local_both", "bm25", "bm25_vs_best",
    "best_sentence", "best_sentence_with_title", "best_two_sentences", "sentence_vs_best", "window_narrow", "window_wide",
    "run", "run_idf", "bigrams", "near_pairs", "prefixes", "names", "names_title", "names_both", "missed_max_idf",
    "matched_max_idf", "rarest_text", "rarest_title", "title_covered", "title_is_asked", "heading_covered", "opening", "repeats",
    *(f"sentence_{cue}" for cue in CUES), "sentence_new_name", *(f"passage_{cue}" for cue in CUES),
    "length", "sentences", "prose", "commas", "asked_aspect", "aspect", "aspect_lead", "aspect_vs_best",
    "sparse_vs_best", "sparse_place", "sparse_rank", "sparse_missing", "dense_known", "missing_everywhere", "candidates",
)  # fmt: skip


def last_line(text: str) -> str:
    return text.rstrip().rpartition("\n")[2]


class _Matched:
    """Where the words of one question stand in one passage."""

    __slots__ = ("here", "passage", "places")

    def __init__(self, question: Question, passage: ReadPassage) -> None:
        self.passage = passage
        self.here = [s for s in question.content if s in passage.places]
        self.places = sorted((at, s) for s in self.here for at in passage.places[s])

    def window(self, width: int, weights: dict[str, float]) -> float:
        """The most weight of distinct matched words that stand within `width` words."""
        best = total = 0.0
        inside: Counter[str] = Counter()
        first = 0
        for at, s in self.places:
            inside[s] += 1
            if inside[s] == 1:
                total += weights[s]
            while self.places[first][0] <= at - width:
                gone = self.places[first][1]
                inside[gone] -= 1
                if inside[gone] == 0:
                    total -= weights[gone]
                first += 1
            best = max(best, total)
        return best

    def sentences(self) -> dict[int, set[str]]:
        """Sentence -> the matched words that stand in it."""
        found: dict[int, set[str]] = {}
        for at, s in self.places:
            found.setdefault(self.passage.sentence_of[at], set()).add(s)
        return found


def _runs(question: Question, passage: ReadPassage) -> tuple[int, float, int]:
    """Longest run of words that stands in both, the most weight of a run, and how many neighbouring pairs stand together."""
    longest, heaviest = 0, 0.0
    pairs: set[tuple[str, str]] = set()
    before = ""
    previous: dict[int, tuple[int, float]] = {}
    for s in question.words.stems[:_RUN_WINDOW]:
        weight = question.weights.get(s, 0.0)
        current: dict[int, tuple[int, float]] = {}
        for at in passage.places.get(s, ()):
            length, gathered = previous.get(at - 1, (0, 0.0))
            current[at] = length + 1, gathered + weight
            if length and (before, s) in question.bigrams:
                pairs.add((before, s))
            longest = max(longest, length + 1)
            heaviest = max(heaviest, gathered + weight)
        before, previous = s, current
    return longest, heaviest, len(pairs)


def _near_pairs(question: Question, passage: ReadPassage) -> float:
    """Share of neighbouring content words of the question that stand near each other, in any order."""
    found = 0
    for a, b in zip(question.content, question.content[1:], strict=False):
        here, there = passage.places.get(a), passage.places.get(b)
        if here and there:
            found += any(abs(x - y) <= _NEAR for x in here[:_FEW_PLACES] for y in there[:_FEW_PLACES])
    return found / max(1, len(question.content) - 1)


def _definition(passage: ReadPassage, term: tuple[str, ...], content: set[str]) -> list[float] | None:
    if not all(s in passage.places for s in term) and not any(part == content for part in passage.parts):
        return None
    starts = [n for n, number in enumerate(passage.sentence_of) if n == 0 or passage.sentence_of[n - 1] != number]
    found = [
        described(passage.stems[start:end], term, passage.sentence_of[start], passage.parts, content)
        for start, end in zip(starts, [*starts[1:], len(passage.stems)], strict=True)
    ]
    rows = [row for row in found if row is not None]
    return [max(column) for column in zip(*rows, strict=True)] if rows else None


class PassageFeatures:
    """Features of all candidates of one request.

    Args:
        retrieval: (n, 3) dense, sparse and fused scores; NaN where a leg did not bring the passage.
    """

    def __init__(self, question: Question, passages: list[ReadPassage], retrieval: NDArray[np.float32]) -> None:
        if question.also:
            passages = [passage.calling(question.also) for passage in passages]
        self.kind = question.kind
        self._question = question
        self._passages = passages
        self._retrieval = retrieval
        self._aspect = aspects.aspect_of(last_line(question.text))
        count = len(passages)
        seen = Counter(s for p in passages for s in question.content if s in p.places or s in p.title)
        self._local = {s: math.log((count + 1) / (seen[s] + 0.5)) for s in question.content}
        self._local_total = sum(self._local.values()) or 1.0
        self._missing = sum(w for s, w in question.weights.items() if not seen[s]) / question.total
        self._mean = sum(len(p.stems) for p in passages) / max(1, count)
        self._rarest = max(question.content, key=lambda s: question.weights[s], default="")

    def _bm25(self, passage: ReadPassage) -> float:
        norm = 0.9 * (0.6 + 0.4 * len(passage.stems) / max(1.0, self._mean))
        total = 0.0
        for s, weight in self._question.weights.items():
            often = len(passage.places.get(s, ())) + (s in passage.title)
            if often:
                total += weight * often * 1.9 / (often + norm)
        return total

    def _words(self, matched: _Matched) -> list[float]:
        """From `overlap` to `passage_unit`, without what compares candidates."""
        question, passage = self._question, matched.passage
        weights, total = question.weights, question.total
        here = set(matched.here)
        titled = {s for s in question.content if s in passage.title}
        both = here | titled
        by_sentence = matched.sentences()
        shares = {number: sum(weights[s] for s in found) for number, found in by_sentence.items()}
        best = max(shares, key=lambda number: (shares[number], -number), default=-1)
        with_title = max((sum(weights[s] for s in found | titled) for found in by_sentence.values()), default=0.0)
        two = max(
            (sum(weights[s] for s in found | by_sentence.get(number + 1, set())) for number, found in by_sentence.items()),
            default=0.0,
        )
        longest, heaviest, pairs = _runs(question, passage)
        missed = [s for s in question.content if s not in both]
        soft = sum(weights[s] for s in missed if (prefix := prefix_of(s)) and prefix in passage.prefixes)
        names = question.names
        cues = passage.cues[best] if best >= 0 else 0
        everywhere = 0
        for found in passage.cues:
            everywhere |= found
        asked = set(question.words.stems)
        new_name = best >= 0 and any(passage.sentence_of[at] == best and passage.stems[at] not in asked for at in passage.capitals)
        # Of "Hemp > Harvest" either part may be what is asked about.
        covered = [len(part & titled) / len(part) for part in passage.parts if part]
        return [
            sum(weights[s] for s in here) / total,
            sum(weights[s] for s in titled) / total,
            sum(weights[s] for s in both) / total,
            len(both) / max(1, len(question.content)),
            sum(self._local[s] for s in here) / self._local_total,
            sum(self._local[s] for s in both) / self._local_total,
            shares.get(best, 0.0) / total,
            with_title / total,
            two / total,
            matched.window(_NARROW, weights) / total,
            matched.window(_WIDE, weights) / total,
            longest / max(1, min(_RUN_WINDOW, len(question.words.stems))),
            min(1.0, heaviest / total),  # a question may say a word twice
            pairs / max(1, len(question.bigrams)),
            _near_pairs(question, passage),
            soft / total,
            len(names & here) / len(names) if names else 0.0,
            len(names & titled) / len(names) if names else 0.0,
            len(names & both) / len(names) if names else 0.0,
            max((weights[s] for s in missed), default=0.0) / 12,
            max((weights[s] for s in both), default=0.0) / 12,
            float(self._rarest in here),
            float(self._rarest in titled),
            max(covered, default=0.0),
            float(max(covered, default=0.0) == 1.0),
            covered[-1] if len(covered) > 1 else 0.0,
            sum(weights[s] for s in here if passage.places[s][0] < _OPENING) / total,
            min(1.0, len(matched.places) / max(1, 4 * len(here))),
            *(float(bool(cues & 1 << bit)) for bit in range(len(CUES))),
            float(new_name),
            *(float(bool(everywhere & 1 << bit)) for bit in range(len(CUES))),
            math.log1p(len(passage.stems)) / 6,
            math.log1p(len(passage.cues)) / 4,
            passage.prose,
            min(1.0, 5 * passage.commas),
        ]  # fmt: skip

    def _aspects(self) -> NDArray[np.float32]:
        """(n, 4): whether an aspect is asked for, how likely each passage is about it, its lead, and that against the best."""
        table = np.zeros((len(self._passages), 4), dtype=np.float32)
        if self._aspect >= 0 and self._passages:
            known = np.stack([p.aspects for p in self._passages])  # (n, aspects)
            asked = known[:, self._aspect]
            others = np.delete(known, self._aspect, axis=1).max(1)
            table[:, 0] = 1
            table[:, 1] = np.exp(asked)
            table[:, 2] = np.clip(asked - others, -5, 5) / 5
            table[:, 3] = np.clip(asked - asked.max(), -5, 0) / 5
        return table

    def _found(self) -> NDArray[np.float32]:
        """(n, 5): the BM25 leg's scores against the best, between worst and best, ranks, misses; whether the dense leg hit."""
        table = np.zeros((len(self._passages), 5), dtype=np.float32)
        sparse = self._retrieval[:, 1]
        known = np.isfinite(sparse)
        if known.any():
            worst, best = float(sparse[known].min()), float(sparse[known].max())
            table[known, 0] = sparse[known] / best if best > 0 else 0.0
            table[known, 1] = (sparse[known] - worst) / (best - worst) if best > worst else 1.0
            order = np.argsort(-sparse[known], kind="stable")
            ranks = np.empty(len(order), dtype=np.float32)
            ranks[order] = 1 / (1 + np.arange(len(order), dtype=np.float32))
            table[known, 2] = ranks
        table[:, 3] = ~known
        table[:, 4] = np.isfinite(self._retrieval[:, 0])
        return table

    def definitions(self) -> list[list[float] | None]:
        """Of each candidate how its sentences define what the question asks for (`definitions.NAMES`), each the most of them; empty
        where it asks for no definition."""
        term = self._question.term
        content = set(term).intersection(self._question.content)
        return [_definition(passage, term, content) for passage in self._passages] if term else []

    def matrix(self) -> NDArray[np.float32]:
        """(n, len(NAMES))"""
        count = len(self._passages)
        if not count:
            return np.zeros((0, len(NAMES)), dtype=np.float32)
        words = np.array([self._words(_Matched(self._question, p)) for p in self._passages], dtype=np.float32)
        bm25 = np.array([self._bm25(p) for p in self._passages], dtype=np.float32)
        best_bm25 = float(bm25.max()) or 1.0
        sentence = words[:, 6]
        best_sentence = float(sentence.max()) or 1.0
        whole = np.full((count, 2), (self._missing, math.log1p(count) / 5), dtype=np.float32)
        compared = [
            words[:, :6],
            np.minimum(1.0, bm25 / (2 * self._question.total))[:, None],
            (bm25 / best_bm25)[:, None],
            words[:, 6:9],
            (sentence / best_sentence)[:, None],
            words[:, 9:],
            self._aspects(),
            self._found(),
            whole,
        ]
        return np.asarray(np.concatenate(compared, axis=1), dtype=np.float32)
