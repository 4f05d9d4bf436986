"""The joint reader at work: a question and passages through the exported graph, in batches of like length.

Passages are analysed once and kept (bounded), since a reranker and an answerer see the same ones again and again. So is what was
read in them for a question, since an answer is chosen from what a search had read a moment before: that is half of a turn's time.
All ranges are in characters. What the numbers are used for, `reader_engine` and the reranker know.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragmesh_models.features import Passage as LexicalPassage
from ragmesh_models.lexical import IdfTable
from ragmesh_models.reading_features import (
    MAX_SENTENCES,
    POSITION_FEATURES,
    SENTENCE_FEATURES,
    AskedQuestion,
    Pair,
    PairReader,
    ReadPassage,
    ask,
    read_passage,
)
from ragmesh_models.reading_text import MAX_PASSAGE, PIECES, Vocabulary
from ragmesh_models.runtime import open_graph
from ragmesh_models.tokens import TextTokenizer

FILES = ("reader.onnx", "reader.json", "stems.txt", "idf.bin")
NONE = -1e4
LONGEST_SPAN = 16  # positions
MAX_WINDOWS = 8  # of one passage; what follows is not read
_BATCH_POSITIONS = 2_048  # on a GPU
# On a CPU: what stays in a core's own cache. Larger batches take a fifth longer.
_WORKER_POSITIONS = 512
# Two threads almost halve what a visitor waits, more would starve the rest of a small host. Each runs batches of its own: two
# threads on one batch take a quarter more of the processor, and what a batch is made of (Python) would wait for the one before.
THREADS = min(2, os.cpu_count() or 1)
_KEPT_PASSAGES = 2_048
_KEPT_CHARS = 4_000  # a longer passage is not kept
_KEPT_READINGS = 512  # of a question and a passage, some 3 KB each: what some fifty searches read


def best_span(start: NDArray[np.float32], end: NDArray[np.float32]) -> tuple[float, int, int] | None:
    """The best pair of positions, at most LONGEST_SPAN of them: its logit, first and last; None where nothing was read."""
    found: tuple[float, int, int] | None = None
    for apart in range(min(LONGEST_SPAN, len(start))):
        total = start[: len(start) - apart] + end[apart:]
        at = int(total.argmax())
        if float(total[at]) > (found[0] if found else NONE):
            found = float(total[at]), at, at + apart
    return found


@dataclass(frozen=True)
class PassageReading:
    """What the network says about one passage, all in nats before normalisation."""

    passage: ReadPassage
    start: NDArray[np.float32]  # (n,) of each position; NONE where it was not read
    end: NDArray[np.float32]
    sentences: NDArray[np.float32]  # (sentences,)
    score: float
    """How likely the passage holds an answer, as a logit: the best of its windows."""
    said: NDArray[np.float32]  # (3,) neither, yes, no

    @property
    def odds(self) -> float:
        """Log odds that the passage holds an answer: all its sentences together, levelled by its score. What training ranks by."""
        top = float(self.sentences.max(initial=NONE))
        return top + math.log(float(np.exp(self.sentences - top).sum())) + self.score if len(self.sentences) else NONE

    def best_span(self, low: int, high: int) -> tuple[float, int, int] | None:
        """The best span among positions [low, high): its logit and its characters; None where nothing was read there."""
        found = best_span(self.start[low:high], self.end[low:high])
        if found is None:
            return None
        reading = self.passage.reading
        return found[0], int(reading.starts[low + found[1]]), int(reading.ends[low + found[2]])

    def spans(self) -> dict[int, tuple[float, int, int]]:
        """Index of a sentence -> its best span."""
        membership = self.passage.reading.sentence
        edges = [0, *(np.nonzero(np.diff(membership))[0] + 1).tolist(), len(membership)]
        found: dict[int, tuple[float, int, int]] = {}
        for low, high in pairwise(edges):
            if high > low and membership[low] >= 0 and (best := self.best_span(low, high)) is not None:
                found[int(membership[low])] = best
        return found


class Reader:
    """The exported network with its vocabulary. Not safe for use by several threads at once.

    Args:
        threads: batches that are read at a time, on a CPU.
    """

    def __init__(self, folder: Path, tokenizer: Path, threads: int = THREADS) -> None:
        self.graph = open_graph(folder / "reader.onnx")
        self._workers = ThreadPoolExecutor(threads, thread_name_prefix="reader")
        self.config: dict[str, Any] = json.loads((folder / "reader.json").read_text(encoding="utf-8"))
        self.vocabulary = Vocabulary.load(folder / "stems.txt", TextTokenizer(tokenizer))
        self.idf = IdfTable.load(folder / "idf.bin")
        self._pairs = PairReader(self.idf)
        self._known: OrderedDict[tuple[str, str], ReadPassage] = OrderedDict()
        # By a digest of the texts, so that no question is kept. A reader has one set of weights: nothing else decides what it says.
        self._read: OrderedDict[bytes, PassageReading] = OrderedDict()

    @classmethod
    def open(cls, folder: Path, tokenizer: Path, threads: int = THREADS) -> Reader | None:
        """The reader of a model folder; None where none is installed."""
        return cls(folder, tokenizer, threads) if (folder / "reader.onnx").is_file() else None

    def passage(self, text: str, title: str, lexical: LexicalPassage | None = None) -> ReadPassage:
        """The passage taken apart; `lexical` is its lexical half where the caller has that already."""
        key = title, text
        found = self._known.get(key)
        if found is None:
            found = read_passage(text, title, self.vocabulary, MAX_WINDOWS * MAX_PASSAGE, lexical)
            if len(text) <= _KEPT_CHARS:
                self._known[key] = found
                if len(self._known) > _KEPT_PASSAGES:
                    self._known.popitem(last=False)
        else:
            self._known.move_to_end(key)
        return found

    def read(
        self,
        question: str,
        passages: Sequence[str],
        titles: Sequence[str],
        lexical: Sequence[LexicalPassage] | None = None,
    ) -> list[PassageReading]:
        """What the network says about each passage, in order; what was read for the same question lately is not read again."""
        halves = [None] * len(passages) if lexical is None else lexical
        known = [self.passage(text, title, half) for text, title, half in zip(passages, titles, halves, strict=True)]
        keys = [_key(question, title, text) for text, title in zip(passages, titles, strict=True)]
        found = {key: self._read[key] for key in keys if key in self._read}
        new = {key: passage for key, passage in zip(keys, known, strict=True) if key not in found}
        if new:
            asked = ask(question, self.vocabulary, self.idf)
            found |= zip(new, self._read_new(asked, list(new.values())), strict=True)
        self._keep(found)
        return [found[key] for key in keys]

    def _keep(self, found: dict[bytes, PassageReading]) -> None:
        for key, reading in found.items():
            if len(reading.passage.text) <= _KEPT_CHARS:
                self._read[key] = reading
                self._read.move_to_end(key)
        while len(self._read) > _KEPT_READINGS:
            self._read.popitem(last=False)

    def lexical_half(self, text: str, title: str) -> LexicalPassage | None:
        """The lexical half of a passage that was read lately. May be asked from any thread."""
        found = self._known.get((title, text))
        return found.lexical if found is not None else None

    def _read_new(self, asked: AskedQuestion, known: Sequence[ReadPassage]) -> list[PassageReading]:
        if self.graph.runtime != "ONNXRUNTIME":
            return self._read_batch(asked, known)
        order = sorted(range(len(known)), key=lambda n: -len(known[n].reading))
        groups: list[list[int]] = []
        for n in order:
            if not groups or (len(groups[-1]) + 1) * len(known[groups[-1][0]].reading) > _WORKER_POSITIONS:
                groups.append([])
            groups[-1].append(n)
        read = self._workers.map(lambda group: self._read_batch(asked, [known[n] for n in group]), groups)
        found = {
            n: reading for group, readings in zip(groups, read, strict=True) for n, reading in zip(group, readings, strict=True)
        }
        return [found[n] for n in range(len(known))]

    def _read_batch(self, asked: AskedQuestion, known: Sequence[ReadPassage]) -> list[PassageReading]:
        pairs = [(n, pair) for n, passage in enumerate(known) for pair in self._pairs.pairs(asked, passage)]
        outputs = self._run(asked, [pair for _, pair in pairs])
        found = [
            PassageReading(
                passage,
                np.full(len(passage.reading), NONE, dtype=np.float32),
                np.full(len(passage.reading), NONE, dtype=np.float32),
                np.full(len(passage.reading.sentences), NONE, dtype=np.float32),
                max((outputs[i][3] for i, (m, _) in enumerate(pairs) if m == n), default=NONE),
                next((outputs[i][4] for i, (m, _) in enumerate(pairs) if m == n), np.array([0, NONE, NONE], dtype=np.float32)),
            )
            for n, passage in enumerate(known)
        ]
        for (n, pair), (start, end, sentence, score, _) in zip(pairs, outputs, strict=True):
            into, first = found[n], pair.first_position
            # Windows of one passage are levelled by their own passage scores.
            into.start[first : first + len(start)] = start + score - into.score
            into.end[first : first + len(end)] = end + score - into.score
            into.sentences[pair.first_sentence : pair.first_sentence + len(sentence)] = sentence + score - into.score
        return found

    def passage_scores(self, question: str, passages: Sequence[str], titles: Sequence[str]) -> NDArray[np.float32]:
        """(passages,) log odds that a passage holds an answer."""
        return np.array([reading.odds for reading in self.read(question, passages, titles)], dtype=np.float32)

    def _run(self, asked: AskedQuestion, pairs: list[Pair]) -> list[tuple[Any, ...]]:
        """Start, end (window's positions), sentence logits, passage logit and yes/no logits of each pair."""
        order = sorted(range(len(pairs)), key=lambda i: len(pairs[i].rows))
        found: list[tuple[Any, ...]] = [()] * len(pairs)
        batch: list[int] = []
        for i in order:
            if batch and (len(batch) + 1) * len(pairs[i].rows) > _BATCH_POSITIONS:
                self._run_batch(asked, pairs, batch, found)
                batch = []
            batch.append(i)
        if batch:
            self._run_batch(asked, pairs, batch, found)
        return found

    def _run_batch(self, asked: AskedQuestion, pairs: list[Pair], batch: list[int], found: list[tuple[Any, ...]]) -> None:
        outputs = self.graph.run(feeds([pairs[i] for i in batch], asked.lexical.kind))
        for n, i in enumerate(batch):
            pair = pairs[i]
            begin, end = pair.offset, len(pair.rows)
            found[i] = (
                outputs["start"][n, begin:end],
                outputs["end"][n, begin:end],
                outputs["sentence_score"][n, : len(pair.sentence_features)],
                float(outputs["passage"][n]),
                outputs["said"][n],
            )


def _key(question: str, title: str, text: str) -> bytes:
    sizes = f"{len(question)} {len(title)}\0"
    return hashlib.blake2b(f"{sizes}{question}{title}{text}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


def feeds(pairs: Sequence[Pair], kind: int) -> dict[str, NDArray[Any]]:
    """Pairs of one question as the graph's padded inputs."""
    length = max(len(pair.rows) for pair in pairs)
    most = max(1, max(len(pair.sentence_features) for pair in pairs))
    rows = np.zeros((len(pairs), length), dtype=np.int32)
    pieces = np.zeros((len(pairs), length, PIECES), dtype=np.int32)
    features = np.zeros((len(pairs), length, POSITION_FEATURES), dtype=np.float32)
    sentence = np.full((len(pairs), length), MAX_SENTENCES, dtype=np.int32)
    described = np.zeros((len(pairs), most, len(SENTENCE_FEATURES)), dtype=np.float32)
    for n, pair in enumerate(pairs):
        t = len(pair.rows)
        rows[n, :t], pieces[n, :t], features[n, :t] = pair.rows, pair.pieces, pair.features
        # A position outside of all sentences belongs to one that does not exist.
        sentence[n, :t] = np.where(pair.sentence < 0, MAX_SENTENCES, pair.sentence)
        described[n, : len(pair.sentence_features)] = pair.sentence_features
    return {
        "rows": rows,
        "pieces": pieces,
        "features": features,
        "sentence": sentence,
        "sentence_features": described,
        "kind": np.full(len(pairs), kind, dtype=np.int32),
    }
