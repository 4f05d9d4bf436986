"""What the reader learns from: a question with the windows that a search would have handed over, packed into a few flat arrays.

A group is a question with its own window and, where there is one, a window of BM25's that does not hold the answer. Groups are read
once and kept as bytes, so that an epoch costs no text analysis. Sources differ in what they can teach; `Group.teaches` says it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from ragmesh_models.lexical import IdfTable
from ragmesh_models.reading_features import AskedQuestion, Pair, PairReader, ReadPassage, ask, read_passage
from ragmesh_models.reading_text import Vocabulary

from training import ROOT, reading_sets
from training.bm25 import Bm25
from training.progress import Run
from training.reading_sets import Reading
from training.sources import DataFolder
from training.splits import clean, evaluation_grams, evaluation_titles, held_out, title_key, trainable
from training.synthetic import triples
from training.synthetic_sources import wiki_documents

SEED = 20260721
YES, NO = 1, 2
ASKED_BY_RULE = 52_000
_NEGATIVES = 12  # of BM25's best, the first that lacks the answer


@dataclass(slots=True)
class Window:
    """One pair as bytes, with what is right in it."""

    rows: NDArray[np.int16]
    pieces: NDArray[np.int16]
    features: NDArray[np.uint8]  # 255 is 1
    sentence: NDArray[np.int8]
    sentence_features: NDArray[np.float16]
    starts: list[int] = field(default_factory=list)  # positions of T at which an answer begins
    ends: list[int] = field(default_factory=list)  # last positions
    gold_sentences: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Group:
    """A question: its own window first, then those without the answer."""

    source: str
    kind: int
    windows: list[Window]
    answerable: bool
    spans: bool
    said: int = 0  # YES or NO where the question asks for that


@dataclass(slots=True)
class RankedGroup(Group):
    """A group whose windows the feature scorer has ranked: the wrong ones best first."""

    lexical: tuple[float, ...] = ()  # its score of each window


@dataclass(frozen=True)
class Example:
    """A question about a passage before it is read."""

    source: str
    title: str
    question: str
    passage: str
    answers: tuple[tuple[int, int], ...]
    spans: bool
    said: int = 0
    negatives: tuple[tuple[str, str], ...] = ()  # title, text; hardest first


def pack(pair: Pair) -> Window:
    return Window(
        pair.rows.astype(np.int16),
        pair.pieces.astype(np.int16),
        np.round(pair.features * 255).astype(np.uint8),
        pair.sentence.astype(np.int8),
        pair.sentence_features.astype(np.float16),
    )


def _everywhere(text: str, answers: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """All places of the answer strings: `answer_start` is only the first of them."""
    found = set(answers)
    for word in {text[a:b] for a, b in answers}:
        if len(word) > 1:
            found.update(match.span() for match in re.finditer(rf"(?<!\w){re.escape(word)}(?!\w)", text))
    return tuple(sorted(found))


class GroupReader:
    """Reads examples; passages are analysed once."""

    def __init__(self, vocabulary: Vocabulary, idf: IdfTable) -> None:
        self._vocabulary = vocabulary
        self._idf = idf
        self._pairs = PairReader(idf)
        self._passages: dict[tuple[str, str], ReadPassage] = {}

    def passage(self, title: str, text: str) -> ReadPassage:
        key = title, text
        if key not in self._passages:
            if len(self._passages) > 20_000:
                self._passages.clear()
            self._passages[key] = read_passage(text, title, self._vocabulary, 4_096)
        return self._passages[key]

    def group(self, example: Example) -> Group | None:
        asked = ask(example.question, self._vocabulary, self._idf)
        passage = self.passage(example.title, example.passage)
        answers = _everywhere(example.passage, example.answers) if example.spans else example.answers
        window = self._own(asked, passage, answers, example.spans)
        if window is None or (example.answers and not window.gold_sentences):
            return None
        windows = [window]
        others = (self._own(asked, self.passage(*negative), (), False) for negative in example.negatives)
        windows.extend(other for other in others if other is not None)
        spans = example.spans and bool(window.starts)
        return Group(example.source, asked.lexical.kind, windows, bool(example.answers) or example.said > 0, spans, example.said)

    def _own(self, asked: AskedQuestion, passage: ReadPassage, answers: tuple[tuple[int, int], ...], spans: bool) -> Window | None:
        """The window that holds the first answer, or the first one."""
        if not passage.windows:
            return None
        pairs = self._pairs.pairs(asked, passage)
        reading = passage.reading
        for pair, (begin, end) in zip(pairs, passage.windows, strict=True):
            low, high = int(reading.starts[begin]), int(reading.ends[end - 1])
            inside = (
                [(a, b) for a, b in answers if low <= a and b <= high]
                if spans
                else [(a, b) for a, b in answers if a < high and low < b]
            )
            if not inside and answers:
                continue
            window = pack(pair)
            for a, b in inside:
                touched = np.nonzero((reading.starts[begin:end] < b) & (reading.ends[begin:end] > a))[0]
                if not len(touched):
                    continue
                if spans:
                    window.starts.append(int(touched[0]) + pair.offset)
                    window.ends.append(int(touched[-1]) + pair.offset)
                sentences = {int(s) for s in window.sentence[touched + pair.offset] if s >= 0}
                # A long answer is a run of sentences; a short one begins in the sentence that counts.
                window.gold_sentences.extend(sentences if not spans else {int(window.sentence[touched[0] + pair.offset])} - {-1})
            window.gold_sentences = sorted(set(window.gold_sentences))
            return window
        return None


def _pseudo_passages(rows: list[tuple[str, str, str, str]], rng: random.Random, source: str) -> Iterator[Example]:
    """(key, question, sentence, answer) rows to passages of a few sentences: the sentence among its neighbours of the file."""
    sentences = list(dict.fromkeys(sentence for _, _, sentence, _ in rows))
    place = {sentence: n for n, sentence in enumerate(sentences)}
    for _, question, sentence, answer in rows:
        match = re.search(rf"(?<!\w){re.escape(answer)}(?!\w)", sentence, re.IGNORECASE) if answer else None
        if match is None:
            continue
        at = place[sentence]
        before, after = rng.randint(0, 2), rng.randint(0, 2)
        around = [*sentences[max(0, at - before) : at], sentence, *sentences[at + 1 : at + 1 + after]]
        # Where the source is lower-cased, a capital keeps the sentences apart.
        around = [text[0].upper() + text[1:] for text in around]
        begin = sum(len(text) + 1 for text in around[: min(before, at)])
        a, b = match.start() + begin, match.end() + begin
        yield Example(source, "", question, " ".join(around), ((a, b),), True)


def _with_negatives(rows: list[Reading], rng: random.Random, run: Run) -> list[Example]:
    passages = list(dict.fromkeys((row.title, row.passage[:2_400]) for row in rows))
    index = Bm25([f"{title}\n{text}" for title, text in passages])
    found: list[Example] = []
    for number, row in enumerate(rows):
        answers = [row.passage[a:b] for a, b in row.answers]
        negatives: tuple[tuple[str, str], ...] = ()
        ranked = [passages[i] for i in index.top(row.question, _NEGATIVES)]
        others = [p for p in ranked if p[1] != row.passage[:2_400] and not (row.spans and any(a in p[1] for a in answers))]
        if others:
            negatives = (others[min(len(others) - 1, int(rng.expovariate(0.7)))],)
        found.append(Example(row.source, row.title, row.question, row.passage, row.answers, row.spans, negatives=negatives))
        run.say(number + 1, len(rows), "negatives found")
    return found


def examples(data: DataFolder, run: Run) -> list[Example]:
    """Everything the reader may learn from; held-out articles and what shares text with evaluation files apart."""
    rng = random.Random(SEED)
    evaluated = evaluation_titles(data)
    rows = reading_sets.squad(data) + reading_sets.sel_qa(data) + reading_sets.fairy_tales(data) + reading_sets.covid_qa(data)
    health = reading_sets.med_quad(data)
    rng.shuffle(health)
    rows = [row for row in rows + health[:5_000] if trainable(row.title, evaluated)]
    found = _with_negatives(rows, rng, run)
    found.extend(_pseudo_passages([("", q, s, a) for q, s, a in reading_sets.sentence_answers(data)], rng, "sentqa"))
    qamr = [row for row in reading_sets.qamr_answers(data) if trainable(row[0], evaluated)]
    found.extend(_pseudo_passages(qamr, rng, "qamr"))
    for title, question, passage, yes in reading_sets.bool_answers(data):
        if trainable(title, evaluated):
            found.append(Example("boolq", title, question, passage, (), False, said=YES if yes else NO))
    found.extend(asked_by_rule(data))
    kept = clean(found, _trained_texts, evaluation_grams(data, ROOT))
    print(
        f"[reader] {len(found) - len(kept)} of {len(found)} examples share text with evaluation files and are dropped", flush=True
    )
    return kept


def asked_by_rule(data: DataFolder) -> list[Example]:
    """Questions that rules made of Wikipedia's text (`synthetic`), evaluation text and held-out articles apart."""
    rng = random.Random(SEED)
    texts = list(wiki_documents(data))
    rng.shuffle(texts)
    rows = clean(triples(texts, SEED, copies=3), lambda row: (row.passage, row.question), evaluation_grams(data, ROOT))
    rng.shuffle(rows)
    return [Example("synthetic", row.title, row.question, row.passage, row.answers, True) for row in rows[:ASKED_BY_RULE]]


def _trained_texts(example: Example) -> tuple[str, ...]:
    return (example.question, example.passage, *(text for _, text in example.negatives))


def held_examples(data: DataFolder) -> list[Example]:
    """The held-out articles' questions, as they are."""
    rows = reading_sets.squad(data) + reading_sets.sel_qa(data)
    return [Example(r.source, r.title, r.question, r.passage, r.answers, r.spans) for r in rows if held_out(r.title)]


def half_of(title: str) -> int:
    """Which half of the held-out articles: 0 tunes, 1 tests."""
    return len(title_key(title)) % 2
