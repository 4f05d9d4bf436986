"""Lists of candidate sentences for the answerer: questions beside the passages that a search would have handed over.

A question comes with its own passage among others that BM25 finds, or with passages of other articles only (no answer there), or,
for the unanswerable questions of SQuAD 2.0, with its own passage that lacks the answer. Features are read here, once.
"""

from __future__ import annotations

import itertools
import random
import re
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from ragmesh_models import sentences
from ragmesh_models.features import NAMES, FeatureReader, Passage, read_passage
from ragmesh_models.lexical import MAX_IDF, IdfTable, words_of
from ragmesh_models.questions import read_question

from training import ROOT, reading_sets
from training.bm25 import Bm25
from training.open_text import documents
from training.progress import Run
from training.reading_sets import Reading
from training.sources import DataFolder
from training.splits import clean, evaluation_grams, evaluation_titles, held_out, shares, title_key, trainable

SEED = 20260721
CHUNK_CHARS = 1_400
MAX_PASSAGES = 8
IDF_STEMS = 48_000
NO_OVERLAP_SHARE = 0.3


@dataclass(frozen=True)
class Listing:
    """One question with its candidate sentences."""

    source: str
    case: str
    """`answerable`, `impossible` (its passage lacks the answer) or `elsewhere` (only other articles' passages)."""
    kind: int
    features: NDArray[np.float16]  # (n, F)
    gold: NDArray[np.bool_]  # (n,) sentences that hold the answer
    ignored: NDArray[np.bool_]  # (n,) sentences that may hold it too


def background(data: DataFolder) -> IdfTable:
    """Document frequencies over paragraphs of the open text and the question sets' passages, held-out articles apart."""
    seen: Counter[str] = Counter()
    total = 0
    known, evaluated = evaluation_grams(data, ROOT), evaluation_titles(data)
    titled = ((document.title, text) for document in documents(data) for _, text in document.sections[::3])
    for title, text in itertools.chain(titled, reading_sets.wiki_paragraphs(data)):
        if trainable(title, evaluated) and not shares(text, known):
            seen.update(set(words_of(text).stems))
            total += 1
    kept = seen.most_common(IDF_STEMS)
    return IdfTable({s: min(MAX_IDF, float(np.log(total / count))) for s, count in kept if len(s) < 40})


def chunks(text: str) -> list[tuple[int, int]]:
    """Ranges of whole sentences of at most CHUNK_CHARS characters."""
    ranges: list[tuple[int, int]] = []
    for cut in sentences.split(text):
        if ranges and cut.end - ranges[-1][0] <= CHUNK_CHARS:
            ranges[-1] = ranges[-1][0], cut.end
        else:
            ranges.append((cut.start, cut.end))
    return ranges


@dataclass(frozen=True)
class Asked:
    """A question and the chunk that its answers stand in."""

    row: Reading
    chunk: int
    answers: tuple[tuple[int, int], ...]  # inside the chunk


class Pool:
    """All passages of one side of the split as chunks, with their sentences read and a BM25 index."""

    def __init__(self, rows: list[Reading], extra: list[tuple[str, str]], idf: IdfTable) -> None:
        self.texts: list[str] = []
        self.titles: list[str] = []
        self.asked: list[Asked] = []
        self.idf = idf
        ranges_of: dict[tuple[str, str], list[tuple[int, int, int]]] = {}
        for title, text in [(row.title, row.passage) for row in rows] + extra:
            if (title, text) not in ranges_of:
                ranges_of[title, text] = [(start, end, self._add(title, text[start:end])) for start, end in chunks(text)]
        for row in rows:
            ranges = ranges_of[row.title, row.passage]
            if not row.answers:
                if len(ranges) == 1:
                    self.asked.append(Asked(row, ranges[0][2], ()))
                continue
            for start, end, chunk in ranges:
                inside = tuple((a - start, b - start) for a, b in row.answers if start <= a < end)
                if inside:
                    self.asked.append(Asked(row, chunk, inside))
                    break
        self.index = Bm25([f"{title}\n{text}" for title, text in zip(self.titles, self.texts, strict=True)])
        self._read: dict[tuple[int, int], Passage] = {}

    def _add(self, title: str, text: str) -> int:
        self.texts.append(text)
        self.titles.append(title)
        return len(self.texts) - 1

    def choose(self, asked: Asked, case: str, rng: random.Random) -> tuple[list[int], bool]:
        """The chunks that a search would have handed over, best first, and whether their titles come with them."""
        row = asked.row
        found = self.index.top(row.question, 40)
        own = title_key(row.title)
        if case == "elsewhere":
            # A dense search also hands over passages that share no word with the question; so does a small knowledge base.
            if rng.random() < NO_OVERLAP_SHARE:
                middle = rng.randrange(len(self.texts))
                found = [i for i in range(middle, middle + MAX_PASSAGES) if i < len(self.texts)]
            elif rng.random() < NO_OVERLAP_SHARE:
                found = found[rng.randint(5, 30) :]
            chosen = [i for i in found if title_key(self.titles[i]) != own]
            answers = [row.passage[a:b] for a, b in row.answers]
            # By chance another article may hold the answer too: such a passage is no proof of absence.
            chosen = [i for i in chosen if not any(len(a) > 3 and a in self.texts[i] for a in answers)][
                : rng.randint(1, MAX_PASSAGES)
            ]
        else:
            others = [i for i in found if i != asked.chunk][: rng.randint(0, MAX_PASSAGES - 1)]
            order = {i: rank for rank, i in enumerate(found)}
            chosen = sorted([*others, asked.chunk], key=lambda i: order.get(i, 40))
        if not chosen:
            return [], False
        # MedQuAD's answers often do not name what they are about: without its title such a list teaches to answer anything.
        return chosen, row.source == "medquad" or rng.random() < 0.7

    def listing(self, asked: Asked, case: str, rng: random.Random) -> Listing | None:
        row = asked.row
        chosen, use_titles = self.choose(asked, case, rng)
        if not chosen:
            return None
        passages = [read_passage(self.texts[i], self.titles[i] if use_titles else "", n) for n, i in enumerate(chosen)]
        question = read_question(row.question, self.idf)
        reader = FeatureReader(question, passages, self.idf)
        if not reader.candidates:
            return None
        gold = np.zeros(len(reader.candidates), dtype=bool)
        ignored = np.zeros(len(reader.candidates), dtype=bool)
        if case == "answerable":
            self.mark(asked, chosen, reader, gold, ignored)
            if not gold.any():
                return None
        return Listing(row.source, case, question.kind, reader.matrix().astype(np.float16), gold, ignored)

    def mark(
        self, asked: Asked, chosen: list[int], reader: FeatureReader, gold: NDArray[np.bool_], ignored: NDArray[np.bool_]
    ) -> None:
        """Which sentences hold the answer, and which only its words."""
        words = [self.texts[asked.chunk][a:b] for a, b in asked.answers] if asked.row.spans else []
        patterns = [re.compile(rf"(?<!\w){re.escape(word)}(?!\w)") for word in words]
        for n, candidate in enumerate(reader.candidates):
            if chosen[candidate.passage] == asked.chunk:
                gold[n] = any(candidate.start < b and a < candidate.end for a, b in asked.answers)
            if not gold[n]:
                body = self.texts[chosen[candidate.passage]][candidate.start : candidate.end]
                ignored[n] = any(pattern.search(body) for pattern in patterns)


def pools(data: DataFolder, idf: IdfTable) -> tuple[Pool, Pool]:
    """The training pool and the held-out pool; nothing of the first shares 13 words with the other, or with any evaluation text."""
    rows = reading_sets.squad(data) + reading_sets.sel_qa(data) + reading_sets.fairy_tales(data) + reading_sets.covid_qa(data)
    health = reading_sets.med_quad(data)
    random.Random(SEED).shuffle(health)
    rows += health[:6_000]
    wiki = reading_sets.wiki_paragraphs(data)
    kept = [row for row in rows if held_out(row.title)]
    known, evaluated = evaluation_grams(data, ROOT), evaluation_titles(data)
    training = clean((row for row in rows if trainable(row.title, evaluated)), lambda row: (row.question, row.passage), known)
    background_side = clean((pair for pair in wiki if trainable(pair[0], evaluated)), lambda pair: pair, known)
    return Pool(training, background_side, idf), Pool(kept, [pair for pair in wiki if held_out(pair[0])], idf)


def listings(pool: Pool, share: float, run: Run) -> list[Listing]:
    """One list a question as it is, and for a share of the questions one with other articles' passages only."""
    rng = random.Random(SEED)
    found: list[Listing] = []
    for number, asked in enumerate(pool.asked):
        cases = ["answerable" if asked.answers else "impossible"]
        if rng.random() < share:
            cases.append("elsewhere")
        for case in cases:
            listing = pool.listing(asked, case, rng)
            if listing is not None:
                found.append(listing)
        run.say(number + 1, len(pool.asked), f"questions read, {len(found)} lists of {len(NAMES)} features")
    rng.shuffle(found)
    return found
