"""Ranks candidate passages for a question: by features all of them, then by what a cross-encoder reads in the best few.

The scores of one request may be compared with each other and with nothing else. This module does not know Triton.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ragmesh_models import other_names
from ragmesh_models.aspects import AspectTable
from ragmesh_models.definitions import FILE as DEFINITIONS
from ragmesh_models.definitions import DefinitionScorer, asked_term
from ragmesh_models.identity import TOKENIZER_FILE
from ragmesh_models.lexical import IdfTable, words_of
from ragmesh_models.passage_features import PassageFeatures, last_line
from ragmesh_models.passages import PassageReader, ReadPassage
from ragmesh_models.questions import Question, kind_of, read_question
from ragmesh_models.reading import FILES as READER_FILES
from ragmesh_models.reading import Reader
from ragmesh_models.runtime import Graph, open_graph

READER_FOLDER = Path("answerer") / "1"
MAX_PASSAGES = 100
MAX_TEXT_BYTES = 256 * 1024
MAX_QUESTION_BYTES = 8 * 1024
# What was not read stands behind what was: a score of the one says nothing beside a score of the other.
_BEHIND = 1e-3
_BEFORE = 0.5  # weight of words that only the question before has, as in the search


class PassageScores(Protocol):
    """What is needed of a cross-encoder."""

    def passage_scores(self, question: str, passages: Sequence[str], titles: Sequence[str]) -> NDArray[np.float32]:
        """A logit of each passage: (n,)."""
        ...


@dataclass(frozen=True)
class Ranking:
    """One entry a passage, in the order they were given in."""

    scores: NDArray[np.float32]  # (n,) higher is better
    lexical: NDArray[np.float32]  # (n,) by features alone
    read: NDArray[np.bool_]  # (n,) whether the cross-encoder read it


def with_fusion(scores: NDArray[np.float32], fused: NDArray[np.float32], weight: float) -> NDArray[np.float32]:
    """`scores` with the share of the search's own order, which knows what no feature does.

    The network sees no cosine, since it was trained on questions that the embedder knows by heart; here is where they come in.

    Args:
        fused: (n,) scores of the fusion, NaN where there is none; those count as the lowest.
    """
    known = np.isfinite(fused)
    if weight == 0 or not known.any():
        return scores
    lowest, highest = float(fused[known].min()), float(fused[known].max())
    place = np.where(known, (np.nan_to_num(fused) - lowest) / max(1e-6, highest - lowest), 0.0)
    return np.asarray(scores + weight * place, dtype=np.float32)


def blend(lexical: NDArray[np.float32], read: NDArray[np.int64], logits: NDArray[np.float32], weight: float) -> NDArray[np.float32]:
    """`lexical` and `weight` times the logits for what was read; behind it the rest in its own order.

    Args:
        read: (d,) which passages were read, with a logit each in `logits`.
    """
    scores = lexical.copy()
    scores[read] = lexical[read] + weight * logits
    rest = np.setdiff1d(np.arange(len(lexical)), read)
    if len(rest) and len(read):
        scores[rest] = np.minimum(0.0, lexical[rest] - lexical[rest].max()) + scores[read].min() - _BEHIND
    return np.asarray(scores, dtype=np.float32)


def reader_share(folder: Path) -> float:
    """How much the joint reader's logit counts beside the features' score, as `training.passage_blend` found it; 0: not at all."""
    return float(json.loads((folder / "reranker.json").read_text(encoding="utf-8"))["reader"])


def read_asked(text: str, idf: IdfTable) -> Question:
    """A question; where it refers back, the one before stands in the line above it, whose own words count half."""
    asked = read_question(text, idf)
    last = last_line(text)
    last, _ = other_names.part(last)
    own = set(words_of(last).stems)
    weights = {s: weight if s in own else _BEFORE * weight for s, weight in asked.weights.items()}
    return replace(asked, kind=kind_of(last), term=asked_term(last), weights=weights, total=sum(weights.values()) or 1.0)


class Ranker:
    """The exported scorer with its tables, and a cross-encoder where there is one. Not safe to use from several threads."""

    def __init__(self, folder: Path, reader: PassageScores | None = None, threads: int = 1) -> None:
        table = AspectTable.load(folder / "aspects.bin")
        self._config = json.loads((folder / "reranker.json").read_text(encoding="utf-8"))
        self._idf = IdfTable.load(folder / "idf.bin")
        self._definitions = DefinitionScorer.load(folder)
        self._passages = PassageReader(table)
        self._reader = reader
        self.graph = open_graph(folder / "passages.onnx", threads)
        self.graphs: list[Graph] = [self.graph]

    @classmethod
    def open(cls, folder: Path, threads: int = 1) -> Ranker:
        """The scorer of a model folder, with the joint reader where that is installed beside it and found to be worth its time."""
        repository = folder.parent.parent
        reader = Reader.open(repository / READER_FOLDER, repository / TOKENIZER_FILE) if reader_share(folder) > 0 else None
        ranker = cls(folder, reader, threads)
        ranker.graphs += [reader.graph] if reader else []
        return ranker

    @staticmethod
    def files(folder: Path) -> list[Path]:
        """What the model loads, for its digest."""
        joint = folder.parent.parent / READER_FOLDER
        installed = READER_FILES if reader_share(folder) > 0 and (joint / "reader.onnx").is_file() else ()
        # Both load a table of frequencies; the reader's is named by the answerer's digest already.
        own = ("passages.onnx", "reranker.json", "idf.bin", "aspects.bin", DEFINITIONS)
        return [*(folder / name for name in own), *(joint / name for name in installed if name not in own)]

    def lexical(
        self, question: str, passages: Sequence[str], titles: Sequence[str], retrieval: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """(n,) scores by features and the fusion."""
        if not passages:
            return np.zeros(0, dtype=np.float32)
        features = PassageFeatures(self.asked(question), self.read(passages, titles), retrieval)
        scores = self._scores(features, retrieval)
        gains = [self._definitions.score(found) for found in features.definitions()]
        return scores + np.array(gains, dtype=np.float32) if gains else scores

    def undefined(
        self, question: str, passages: Sequence[str], titles: Sequence[str], retrieval: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """(n,) scores without what a definition gains."""
        return self._scores(PassageFeatures(self.asked(question), self.read(passages, titles), retrieval), retrieval)

    def asked(self, question: str) -> Question:
        """A question, taken apart."""
        return read_asked(question, self._idf)

    def read(self, passages: Sequence[str], titles: Sequence[str]) -> list[ReadPassage]:
        """The passages, taken apart."""
        return [self._passages(title, text) for title, text in zip(titles, passages, strict=True)]

    def _scores(self, features: PassageFeatures, retrieval: NDArray[np.float32]) -> NDArray[np.float32]:
        kind = np.array([features.kind], dtype=np.int64)
        scores = self.graph.run({"features": features.matrix(), "kind": kind})["scores"]
        return with_fusion(scores, retrieval[:, 2], float(self._config["fusion"]))

    def __call__(
        self, question: str, passages: Sequence[str], titles: Sequence[str], retrieval: NDArray[np.float32], depth: int
    ) -> Ranking:
        """Ranks the passages.

        Args:
            retrieval: (n, 3) dense, sparse and fused scores, NaN where a leg did not bring the passage.
            depth: how many the cross-encoder may read: the best by features.
        """
        lexical = self.lexical(question, passages, titles, retrieval)
        read = np.zeros(len(passages), dtype=bool)
        if self._reader is None or depth <= 0 or not passages:
            return Ranking(lexical, lexical, read)
        best = np.argsort(-lexical, kind="stable")[:depth]
        logits = self._reader.passage_scores(question, [passages[i] for i in best], [titles[i] for i in best])
        read[best] = True
        return Ranking(blend(lexical, best, logits, float(self._config["reader"])), lexical, read)
