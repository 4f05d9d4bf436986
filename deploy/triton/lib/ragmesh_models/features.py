"""Lexical features of every sentence of the given passages for one question: what the answerer's network reads.

The features are plain counts and ratios that a reader can check by hand, in the order of NAMES. This module does not know the
network.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ragmesh_models import sentences
from ragmesh_models.definitions import described
from ragmesh_models.lexical import IdfTable, Words, words_of
from ragmesh_models.other_names import OtherName, entitled, renamed
from ragmesh_models.questions import Question, letters
from ragmesh_models.sentences import SentenceKind

MAX_CANDIDATES = 2_048  # sentences of one request; the rest is not read
_RUN_WINDOW = 40  # words of a question that runs are looked for in

NAMES = (
    "overlap_idf", "overlap_count", "overlap_local", "bm25", "bm25_vs_best", "missed_max_idf", "matched_max_idf", "rarest_here",
    "overlap_previous", "overlap_next", "overlap_with_neighbours", "title_overlap", "passage_overlap", "covered_with_title",
    "missing_everywhere", "run", "bigrams", "window", "soft_overlap", "names_here", "names_in_passage", "exact_surface",
    "length", "place", "first", "opens_pronoun", "asks", "verb", "heading", "bullet", "table",
    "has_number", "has_year", "has_new_name", "has_reason", "has_list", "has_unit", "defines", "novelty", "rank", "best_passage",
    "unanchored",
)  # fmt: skip

_PRONOUN = re.compile(
    r"\W*(?:he|she|it|they|this|that|these|those|his|her|its|their|such|here|there|however|therefore|moreover|furthermore|also|thus|"
    r"hence|"
    r"instead|then|but|and|so|consequently|additionally|in addition|for example|for instance|as a result|"
    r"the latter|the former|both|"
    r"nevertheless|similarly|otherwise)\b",
    re.IGNORECASE,
)
_YEAR = re.compile(r"\b(?:1[0-9]|20)\d\d\b|\b\d{1,2}(?:st|nd|rd|th) century\b")
_MONTH = re.compile(r"\b(?:January|February|March|April|May|June|July|August|September|October|November|December)\b")
_NUMBER = re.compile(
    r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty|fifty|hundred|thousand|million|billion|"
    r"half|third|quarter|dozen|twice|once)\b",
    re.IGNORECASE,
)
_UNIT = re.compile(
    r"[%$£€°]|\b(?:percent|per cent|mg|ml|kg|km|miles?|metres?|meters?|feet|years?|months?|days?|hours?|minutes?)\b", re.IGNORECASE
)
_REASON = re.compile(
    r"\b(?:because|due to|since|as a result|so that|in order to|caus(?:e[sd]?|ing)|leads? to|led to|owing to|therefore|reasons?|"
    r"result(?:s|ed) (?:in|from)|by \w+ing|to (?:avoid|prevent|reduce|protect|allow|make|keep))\b",
    re.IGNORECASE,
)
_DEFINES = re.compile(
    r"^[^.;]{0,90}?\b(?:is|are|was|were|refers? to|means?|describes?|denotes?|(?:is|are) (?:called|known as|defined as))\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One sentence of a passage with what every question needs of it."""

    passage: int
    position: int  # in its passage
    start: int  # characters of the passage
    end: int
    kind: SentenceKind
    words: Words
    counts: Counter[str]  # content stems
    flags: tuple[float, ...]  # those that do not depend on the question
    capitals: set[str]  # stems of capitalised words after the first
    is_pronoun_led: bool
    definition: int  # how many characters stand before its defining verb, -1 without one


@dataclass(frozen=True, slots=True)
class Passage:
    candidates: list[Candidate]
    stems: set[str]
    title: set[str]
    parts: tuple[frozenset[str], ...] = ()  # content stems of each part of the title, the document's first

    def numbered(self, number: int) -> Passage:
        """The same passage as the one of that number in a request."""
        if all(candidate.passage == number for candidate in self.candidates):
            return self
        return replace(self, candidates=[replace(candidate, passage=number) for candidate in self.candidates])

    def calling(self, names: tuple[OtherName, ...]) -> Passage:
        """The same passage with a question's own names for what it calls otherwise."""
        candidates = [_calling(candidate, names) for candidate in self.candidates]
        stems = {s for candidate in candidates for s in candidate.counts}
        parts = tuple(frozenset(entitled(part, names)) for part in self.parts)
        return Passage(candidates, stems, entitled(self.title, names), parts)


def _calling(candidate: Candidate, names: tuple[OtherName, ...]) -> Candidate:
    words = candidate.words
    changed = renamed(words.stems, words.surface, names)
    if changed is None:
        return candidate
    stems, surface = changed
    counts = Counter(s for s, stop in zip(stems, words.stops, strict=True) if not stop)
    for name in names:
        if name.asked[-1] in counts:
            counts.update(s for s in name.asked if s not in counts)
    return replace(candidate, words=replace(words, stems=stems, surface=surface), counts=counts)


def _candidate(text: str, number: int, position: int, sentence: sentences.Sentence) -> Candidate:
    body = text[sentence.start : sentence.end]
    words = words_of(body)
    counts = Counter(s for s, stop in zip(words.stems, words.stops, strict=True) if not stop)
    capitals = {
        s
        for i, (surface, s, stop) in enumerate(zip(words.surface, words.stems, words.stops, strict=True))
        if i > 0 and not stop and surface[0].isupper()
    }
    led = _PRONOUN.match(body) is not None
    defines = _DEFINES.match(body)
    flags = (
        math.log1p(len(words.stems)) / 4,
        float(led),
        float(body.rstrip("\"'”’) ").endswith("?")),
        float(sentences.has_verb(body)),
        float(sentence.kind is SentenceKind.HEADING),
        float(sentence.kind is SentenceKind.BULLET),
        float(sentence.kind is SentenceKind.TABLE),
        float(_NUMBER.search(body) is not None),
        float(_YEAR.search(body) is not None or _MONTH.search(body) is not None),
        float(_REASON.search(body) is not None),
        float(body.count(",") >= 2),
        float(_UNIT.search(body) is not None),
    )
    definition = defines.end() if defines else -1
    return Candidate(number, position, sentence.start, sentence.end, sentence.kind, words, counts, flags, capitals, led, definition)


def read_passage(text: str, title: str, number: int) -> Passage:
    """Takes one passage apart; independent of any question."""
    candidates = [_candidate(text, number, position, sentence) for position, sentence in enumerate(sentences.split(text))]
    stems = {s for candidate in candidates for s in candidate.counts}
    named = map(words_of, title.split(" > "))
    parts = tuple(frozenset(s for s, stop in zip(part.stems, part.stops, strict=True) if not stop) for part in named)
    return Passage(candidates, stems, {s for part in parts for s in part}, parts)


def _longest_run(question: list[str], sentence: list[str]) -> int:
    """Length of the longest run of stems that stands in both."""
    if len(set(question) & set(sentence)) < 2:
        return int(not set(question).isdisjoint(sentence))
    best = 0
    previous = [0] * (len(sentence) + 1)
    for asked in question:
        current = [0] * (len(sentence) + 1)
        for j, said in enumerate(sentence, start=1):
            if asked == said:
                current[j] = previous[j - 1] + 1
                best = max(best, current[j])
        previous = current
    return best


def _window(words: Words, wanted: set[str]) -> float:
    """How densely the matched words stand: their number over the words between the first and the last."""
    places = [i for i, s in enumerate(words.stems) if s in wanted]
    return len({words.stems[i] for i in places}) / (places[-1] - places[0] + 1) if len(places) > 1 else 0.0


class FeatureReader:
    """Features of all candidates of one request; `rows` may be read passage by passage."""

    def __init__(self, question: Question, passages: list[Passage], idf: IdfTable) -> None:
        if question.also:
            passages = [passage.calling(question.also) for passage in passages]
        self.question = question
        self.passages = passages
        self.candidates = [c for passage in passages for c in passage.candidates][:MAX_CANDIDATES]
        self._idf = idf
        count = len(self.candidates)
        seen = Counter(s for c in self.candidates for s in c.counts)
        self._local = {s: math.log((count + 1) / (seen[s] + 0.5)) for s in question.content}
        self._local_total = sum(self._local.values()) or 1.0
        self._mean = sum(len(c.words.stems) for c in self.candidates) / max(1, count)
        everywhere = set().union(*(p.stems | p.title for p in passages)) if passages else set()
        self._missing = 1 - self._share(everywhere)
        self._best_passage = max((self._share(p.stems | p.title) for p in passages), default=0.0)
        self._rarest = max(question.content, key=lambda s: question.weights[s], default="")
        self._surfaces = {w for w in question.words.surface if w[0].isupper() or w[0].isdigit()} - set(question.words.surface[:1])

    def _share(self, stems: set[str] | Counter[str]) -> float:
        """Which part of the question's weight these stems hold."""
        return sum(w for s, w in self.question.weights.items() if s in stems) / self.question.total

    def _bm25(self, candidate: Candidate) -> float:
        norm = 0.9 * (0.6 + 0.4 * len(candidate.words.stems) / max(1.0, self._mean))
        return sum(
            w * candidate.counts[s] * 1.9 / (candidate.counts[s] + norm)
            for s, w in self.question.weights.items()
            if s in candidate.counts
        )

    def _soft(self, candidate: Candidate, here: set[str]) -> float:
        """Overlap where a word that is missing counts by its best likeness in letters (derived forms, misspellings)."""
        total = sum(self.question.weights[s] for s in here)
        others = [letters(s) for s in candidate.counts if s not in here]
        for s, mine in self.question.trigrams.items():
            if s not in here and len(s) > 3:
                likeness = max((2 * len(mine & other) / (len(mine) + len(other)) for other in others), default=0.0)
                total += self.question.weights[s] * likeness if likeness > 0.45 else 0.0
        return total / self.question.total

    def _row(
        self, candidate: Candidate, previous: Candidate | None, following: Candidate | None, bm25: float, best: float
    ) -> list[float]:
        question, passage = self.question, self.passages[candidate.passage]
        here = {s for s in question.content if s in candidate.counts}
        missed = [question.weights[s] for s in question.content if s not in here]
        stems = set(candidate.counts)
        before = set(previous.counts) if previous else set()
        after = set(following.counts) if following else set()
        pairs = set(zip(candidate.words.stems, candidate.words.stems[1:], strict=False))
        length, led, asks, verb, heading, bullet, table, number, year, reason, listed, unit = candidate.flags
        names = question.names
        opening = set(candidate.words.stems[: sum(e <= candidate.definition for e in candidate.words.ends)])
        share = self._share(stems)
        return [
            share,
            len(here) / max(1, len(question.content)),
            sum(self._local[s] for s in here) / self._local_total,
            min(1.0, bm25 / (2 * question.total)),
            bm25 / best,
            max(missed, default=0.0) / 12,
            max((question.weights[s] for s in here), default=0.0) / 12,
            float(self._rarest in here),
            self._share(before),
            self._share(after),
            self._share(stems | before | after),
            self._share(passage.title),
            self._share(passage.stems),
            self._share(stems | passage.title),
            self._missing,
            _longest_run(question.words.stems[:_RUN_WINDOW], candidate.words.stems) / max(1, len(question.words.stems)),
            len(pairs & question.bigrams) / max(1, len(question.bigrams)),
            _window(candidate.words, here),
            self._soft(candidate, here),
            len(names & stems) / len(names) if names else 0.0,
            len(names & (passage.stems | passage.title)) / len(names) if names else 0.0,
            len(self._surfaces.intersection(candidate.words.surface)) / len(self._surfaces) if self._surfaces else 0.0,
            length,
            min(1.0, candidate.position / 10),
            float(candidate.position == 0),
            led, asks, verb, heading, bullet, table, number, year,
            float(bool(candidate.capitals - set(question.words.stems))),
            reason, listed, unit,
            self._share(opening) if candidate.definition >= 0 else 0.0,
            min(1.0, len(stems - set(question.content)) / 25),
            1 / (1 + candidate.passage),
            self._best_passage,
            float(not names) * 0.5 + float(bool(names)) * (1 - len(names & (passage.stems | passage.title)) / max(1, len(names))),
        ]  # fmt: skip

    def definitions(self) -> list[list[float] | None]:
        """Of each candidate how it defines what the question asks for (`definitions.NAMES`); empty where it wants no definition."""
        term = self.question.term
        if not term:
            return []
        content = set(term).intersection(self.question.content)
        return [
            described(one.words.stems, term, one.position, self.passages[one.passage].parts, content) for one in self.candidates
        ]

    def matrix(self) -> NDArray[np.float32]:
        """(candidates, len(NAMES))"""
        found = self.candidates
        bm25 = [self._bm25(candidate) for candidate in found]
        best = max(bm25, default=0.0) or 1.0
        rows: list[list[float]] = []
        for i, candidate in enumerate(found):
            previous = found[i - 1] if i and found[i - 1].passage == candidate.passage else None
            following = found[i + 1] if i + 1 < len(found) and found[i + 1].passage == candidate.passage else None
            rows.append(self._row(candidate, previous, following, bm25[i], best))
        return np.asarray(rows, dtype=np.float32).reshape(-1, len(NAMES))
