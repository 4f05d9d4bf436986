"""What the reader is told about each position of a question and a passage, and about each sentence, before it reads them.

The match features carry what a small network cannot learn from little text (Chen et al., "Reading Wikipedia to Answer Open-Domain
Questions", 2017: without them DrQA loses a quarter). All lie in 0..1. This module does not know the network.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ragmesh_models.features import NAMES as SENTENCE_FEATURES
from ragmesh_models.features import FeatureReader
from ragmesh_models.features import Passage as LexicalPassage
from ragmesh_models.features import read_passage as read_lexical
from ragmesh_models.lexical import IdfTable
from ragmesh_models.questions import Question, letters, read_question
from ragmesh_models.reading_text import (
    MAX_PASSAGE,
    MAX_QUESTION,
    MAX_TITLE,
    PIECES,
    SEPARATOR,
    STATIC,
    Reading,
    Vocabulary,
    read_text,
)

DYNAMIC = (
    "exact", "stem", "idf", "idf_matched", "soft", "bigram", "sentence_share", "best_sentence", "near", "frequency", "in_title",
    "question", "title", "passage",
)  # fmt: skip
POSITION_FEATURES = len(STATIC) + len(DYNAMIC)
MAX_SENTENCES = 64  # of one window
_SOFT = 0.45
_MAX_IDF = 12.0


@dataclass(frozen=True)
class AskedQuestion:
    """A question, taken apart once for all passages."""

    lexical: Question
    reading: Reading
    words: frozenset[str]  # content words, lower-cased
    stems: frozenset[str]  # content stems
    bigrams: frozenset[tuple[str, str]]
    soft: dict[str, float] = field(default_factory=dict)  # stems of passages seen so far

    def likeness(self, stemmed: str) -> float:
        """Best likeness in letters to a content stem of the question (Dice over trigrams); 0 below 0.45."""
        found = self.soft.get(stemmed)
        if found is None:
            mine = letters(stemmed)
            found = max((2 * len(mine & other) / (len(mine) + len(other)) for other in self.lexical.trigrams.values()), default=0.0)
            found = self.soft[stemmed] = found if found > _SOFT else 0.0
        return found


@dataclass(frozen=True)
class ReadPassage:
    """A passage with its title, taken apart once for all questions."""

    text: str
    reading: Reading
    title: Reading
    lexical: LexicalPassage
    windows: list[tuple[int, int]]  # positions; whole sentences, at most MAX_PASSAGE positions and MAX_SENTENCES sentences


@dataclass(frozen=True, slots=True)
class Pair:
    """One question with one window of a passage, as the network takes it."""

    rows: NDArray[np.int32]  # (T,)
    pieces: NDArray[np.int32]  # (T, PIECES)
    features: NDArray[np.float32]  # (T, POSITION_FEATURES)
    sentence: NDArray[np.int32]  # (T,) sentence of the window, -1 outside
    sentence_features: NDArray[np.float32]  # (S, len(SENTENCE_FEATURES))
    offset: int  # where the window begins in T
    first_position: int  # of the window, in the passage's positions
    first_sentence: int  # of the window, in the passage's sentences


def ask(text: str, vocabulary: Vocabulary, idf: IdfTable) -> AskedQuestion:
    lexical = read_question(text, idf)
    reading = read_text(text, vocabulary, MAX_QUESTION, whole=True)
    content = [
        (w, s) for w, s, static in zip(reading.words, reading.stems, reading.static, strict=True) if not (static[0] or static[1])
    ]
    return AskedQuestion(
        lexical,
        reading,
        frozenset(w for w, _ in content),
        frozenset(s for _, s in content),
        frozenset(zip(reading.stems, reading.stems[1:], strict=False)),
    )


def _windows(reading: Reading) -> list[tuple[int, int]]:
    """Runs of whole sentences that fit; a sentence that does not fit alone is cut."""
    windows: list[tuple[int, int]] = []
    begin = 0
    edges = [0, *(np.nonzero(np.diff(reading.sentence))[0] + 1).tolist(), len(reading)]
    for start, end in pairwise(edges):
        too_long = end - begin > MAX_PASSAGE
        too_many = reading.sentence[end - 1] - reading.sentence[begin] >= MAX_SENTENCES
        if (too_long or too_many) and start > begin:
            windows.append((begin, start))
            begin = start
        while end - begin > MAX_PASSAGE:
            windows.append((begin, begin + MAX_PASSAGE))
            begin += MAX_PASSAGE
    if begin < len(reading):
        windows.append((begin, len(reading)))
    return windows


def read_passage(
    text: str, title: str, vocabulary: Vocabulary, most_positions: int = 64 * MAX_PASSAGE, lexical: LexicalPassage | None = None
) -> ReadPassage:
    """Takes a passage apart; `lexical` is its lexical half where that was done before."""
    reading = read_text(text, vocabulary, most_positions)
    heading = read_text(title, vocabulary, MAX_TITLE, whole=True)
    half = lexical.numbered(0) if lexical is not None else read_lexical(text, title, 0)
    return ReadPassage(text, reading, heading, half, _windows(reading) if len(reading) else [])


class PairReader:
    """Makes the network's input of questions and passages."""

    def __init__(self, idf: IdfTable) -> None:
        self._idf = idf

    def sentences(self, asked: AskedQuestion, passage: ReadPassage) -> NDArray[np.float32]:
        """(sentences of the passage, features): the lexical features, read as if this passage were the only one."""
        matrix = FeatureReader(asked.lexical, [passage.lexical], self._idf).matrix()
        missing = len(passage.reading.sentences) - len(matrix)
        return np.pad(matrix, ((0, missing), (0, 0))) if missing > 0 else matrix

    def pairs(self, asked: AskedQuestion, passage: ReadPassage) -> list[Pair]:
        """One a window."""
        features = self.sentences(asked, passage)
        return [self._pair(asked, passage, features, begin, end) for begin, end in passage.windows]

    def _pair(self, asked: AskedQuestion, passage: ReadPassage, sentences: NDArray[np.float32], begin: int, end: int) -> Pair:
        question, title, reading = asked.reading, passage.title, passage.reading
        offset = len(question) + len(title) + 2
        length = offset + end - begin
        rows = np.full(length, SEPARATOR, dtype=np.int32)
        pieces = np.zeros((length, PIECES), dtype=np.int32)
        features = np.zeros((length, POSITION_FEATURES), dtype=np.float32)
        sentence = np.full(length, -1, dtype=np.int32)
        first = int(max(0, reading.sentence[begin]))
        after_question = len(question) + 1
        for at, part, low, high in (
            (0, question, 0, len(question)),
            (after_question, title, 0, len(title)),
            (offset, reading, begin, end),
        ):
            rows[at : at + high - low] = part.rows[low:high]
            pieces[at : at + high - low] = part.pieces[low:high]
            features[at : at + high - low, : len(STATIC)] = part.static[low:high]
        inside = reading.sentence[begin:end]
        sentence[offset:] = np.where(inside >= 0, inside - first, -1)
        dynamic = features[:, len(STATIC) :]
        self._describe_question(asked, passage, begin, end, dynamic)
        self._describe_title(asked, title, dynamic[after_question : after_question + len(title)])
        self._describe_passage(asked, passage, begin, end, dynamic[offset:])
        last = int(sentence.max(initial=-1)) + 1
        return Pair(rows, pieces, features, sentence, sentences[first : first + last], offset, begin, first)

    def _describe_question(
        self, asked: AskedQuestion, passage: ReadPassage, begin: int, end: int, dynamic: NDArray[np.float32]
    ) -> None:
        words = set(passage.reading.words[begin:end])
        stems = set(passage.reading.stems[begin:end])
        titled = set(passage.title.stems)
        for n, (word, s) in enumerate(zip(asked.reading.words, asked.reading.stems, strict=True)):
            weight = min(1.0, self._idf(s) / _MAX_IDF)
            content = s in asked.stems
            dynamic[n, :4] = word in words, content and s in stems, weight, weight * (content and s in stems)
            dynamic[n, 10:12] = s in titled, 1

    def _describe_title(self, asked: AskedQuestion, title: Reading, dynamic: NDArray[np.float32]) -> None:
        for n, (word, s) in enumerate(zip(title.words, title.stems, strict=True)):
            weight = min(1.0, self._idf(s) / _MAX_IDF)
            dynamic[n, :4] = word in asked.words, s in asked.stems, weight, weight * (s in asked.stems)
            dynamic[n, 12] = 1

    def _describe_passage(
        self, asked: AskedQuestion, passage: ReadPassage, begin: int, end: int, dynamic: NDArray[np.float32]
    ) -> None:
        words, stems = passage.reading.words[begin:end], passage.reading.stems[begin:end]
        inside = passage.reading.sentence[begin:end].tolist()
        titled = set(passage.title.stems)
        counts = Counter(stems)
        matched = [s in asked.stems for s in stems]
        shares: dict[int, dict[str, float]] = {}
        for n, hit in enumerate(matched):
            if hit:
                shares.setdefault(inside[n], {})[stems[n]] = asked.lexical.weights.get(stems[n], 0.0)
        share = {index: min(1.0, sum(found.values()) / asked.lexical.total) for index, found in shares.items()}
        best = max(share.values(), default=0.0)
        near = _nearness(matched)
        static = passage.reading.static[begin:end]
        for n, (word, s) in enumerate(zip(words, stems, strict=True)):
            weight = min(1.0, self._idf(s) / _MAX_IDF) if not static[n, 1] else 0.0
            hit = matched[n]
            soft = 1.0 if hit else asked.likeness(s) if len(s) > 3 and not static[n, 0] else 0.0
            pair = n + 1 < len(stems) and (s, stems[n + 1]) in asked.bigrams
            before = n > 0 and (stems[n - 1], s) in asked.bigrams
            mine = share.get(inside[n], 0.0)
            dynamic[n, :11] = (
                word in asked.words, hit, weight, weight * hit, soft, pair or before, mine, mine > 0 and mine >= best,
                near[n], min(1.0, (counts[s] - 1) / 4) if not static[n, 0] and not static[n, 1] else 0.0, s in titled,
            )  # fmt: skip
        dynamic[:, 13] = 1


def _nearness(matched: list[bool]) -> list[float]:
    """1 / (1 + distance) to the nearest other match."""
    found = [0.0] * len(matched)
    for order in (range(len(matched)), range(len(matched) - 1, -1, -1)):
        last = None
        for n in order:
            if last is not None:
                found[n] = max(found[n], 1 / (1 + abs(n - last)))
            if matched[n]:
                last = n
    return found


__all__ = ["POSITION_FEATURES", "SENTENCE_FEATURES", "AskedQuestion", "Pair", "PairReader", "ReadPassage", "ask", "read_passage"]
