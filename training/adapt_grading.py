"""Grades a set of model graphs on an owner's questions, each question by itself, and compares two gradings pair by pair.

The order of work is that of the mesh: both legs of the search, their fusion, the passage scorer where there is one, and the
sentence that the answerer would show. This module does not train.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from ragmesh_models.embedding import Embedder
from ragmesh_models.features import FeatureReader, read_passage
from ragmesh_models.lexical import IdfTable
from ragmesh_models.questions import read_question
from ragmesh_models.runtime import open_graph
from ragmesh_models.tokens import TextTokenizer

from training import MODEL_REPOSITORY
from training.adapt_material import Question, Section
from training.passage_data import Asked, Corpus, embed_questions, fused

PASSAGES = 8  # that the answerer reads
LEG_DEPTH = 50
CUT = 10
DRAWS = 4_000
_CLUSTERS = 8  # documents; with fewer the draws are over questions


@dataclass(frozen=True)
class Graphs:
    """The graphs in effect."""

    embedder: Path
    ranker: Path
    """Of the answerer."""
    scorer: Path | None
    """Of the reranker; None where this installation has none."""


def shipped() -> Graphs:
    """The graphs of the release."""
    scorer = MODEL_REPOSITORY / "reranker" / "1" / "passages.onnx"
    return Graphs(
        MODEL_REPOSITORY / "embedder" / "1" / "embedder.onnx",
        MODEL_REPOSITORY / "answerer" / "1" / "ranker.onnx",
        scorer if scorer.is_file() else None,
    )


def tokenizer() -> TextTokenizer:
    return TextTokenizer(MODEL_REPOSITORY / "tokenizer" / "1" / "tokenizer.json")


def idf_table() -> IdfTable:
    return IdfTable.load(MODEL_REPOSITORY / "answerer" / "1" / "idf.bin")


def corpus_of(sections: list[Section], embedder: Embedder) -> Corpus:
    """The sections as the index holds them."""
    return Corpus("own", [(section.key, section.title, section.text) for section in sections], embedder)


def asked_of(question: Question) -> Asked:
    return Asked("own", question.reading.title, question.reading.question, frozenset({question.section}), ())


Marks = dict[str, NDArray[np.float64]]
"""Measure -> (questions,): reciprocal rank within ten of `bm25`, `dense`, `hybrid` and `reranked`; 0 or 1 for `right_sentence`."""


def grade(questions: list[Question], sections: list[Section], graphs: Graphs) -> Marks:
    """Every question among all sections."""
    embedder = Embedder(graphs.embedder, tokenizer())
    corpus = corpus_of(sections, embedder)
    vectors = embed_questions(embedder, [question.reading.question for question in questions])
    scored = _Scorer(corpus, graphs.scorer) if graphs.scorer else None
    answerer = _Answerer(corpus, graphs.ranker)
    rows: dict[str, list[float]] = {name: [] for name in ("bm25", "dense", "hybrid", "right_sentence")}
    if scored:
        rows["reranked"] = []
    for question, vector in zip(questions, vectors, strict=True):
        dense, sparse = corpus.legs(question.reading.question, vector, True, LEG_DEPTH)
        orders = {"bm25": list(sparse), "dense": list(dense), "hybrid": list(fused(dense, sparse)) if dense or sparse else []}
        best = orders["hybrid"]
        if scored:
            best = orders["reranked"] = scored.order(question, vector)
        for name, order in orders.items():
            rows[name].append(_reciprocal(corpus, order, question.section))
        rows["right_sentence"].append(answerer.right(question, best[:PASSAGES]))
    return {name: np.array(values) for name, values in rows.items()}


def _reciprocal(corpus: Corpus, order: list[int], section: str) -> float:
    """1 / rank of the right section, several passages of one counting once; 0 beyond ten."""
    found = list(dict.fromkeys(corpus.documents[i] for i in order))[:CUT]
    return 1 / (found.index(section) + 1) if section in found else 0.0


class _Scorer:
    """The reranker's order of what the search brings."""

    def __init__(self, corpus: Corpus, graph: Path) -> None:
        from ragmesh_models.aspects import AspectTable
        from ragmesh_models.ranking import with_dense

        from training.passage_lists import CANDIDATES, ListReader

        folder = MODEL_REPOSITORY / "reranker" / "1"
        self._reader = ListReader(corpus, IdfTable.load(folder / "idf.bin"), (AspectTable.load(folder / "aspects.bin"),))
        self._graph = open_graph(graph)
        self._weight = _dense_share(folder)
        self._with_dense = with_dense
        self._candidates = CANDIDATES

    def order(self, question: Question, vector: NDArray[np.float32]) -> list[int]:
        listing = self._reader.listing(asked_of(question), question.reading.question, vector, True, self._candidates)
        if not listing.candidates:
            return []
        features, kind = listing.features.astype(np.float32), np.array([listing.kind], dtype=np.int64)
        found = self._graph.run({"features": features, "kind": kind})
        scores = self._with_dense(np.asarray(found["scores"]), listing.dense, self._weight)
        return [listing.candidates[n] for n in np.argsort(-scores, kind="stable")]


def _dense_share(folder: Path) -> float:
    import json

    return float(json.loads((folder / "reranker.json").read_text(encoding="utf-8"))["dense"])


class _Answerer:
    """Which sentence the answerer ranks first among the passages that it gets."""

    def __init__(self, corpus: Corpus, graph: Path) -> None:
        self._corpus = corpus
        self._graph = open_graph(graph)
        self._idf = idf_table()

    def right(self, question: Question, found: list[int]) -> float:
        passages = [read_passage(self._corpus.texts[i], self._corpus.titles[i], n) for n, i in enumerate(found)]
        reader = FeatureReader(read_question(question.reading.question, self._idf), passages, self._idf)
        if not reader.candidates:
            return 0.0
        kind = np.array([reader.question.kind], dtype=np.int64)
        scores = np.asarray(self._graph.run({"features": reader.matrix().astype(np.float32), "kind": kind})["scores"])
        best = reader.candidates[int(np.argmax(scores))]
        i = found[best.passage]
        body = self._corpus.texts[i][best.start : best.end]
        return float(self._corpus.documents[i] == question.section and _overlaps(body, question.answer))


def _overlaps(body: str, answer: str) -> bool:
    """Whether the sentence holds the answer, or is one of the sentences that the answer consists of."""
    return answer in body or (len(body) > 20 and body in answer)


@dataclass(frozen=True)
class Difference:
    """What a change did to the mean of a measure."""

    before: float
    after: float
    low: float
    high: float
    """95 % interval of the difference, by paired bootstrap over documents (over questions where documents are few)."""
    better: float
    """Share of the draws in which it is above zero."""


def compare(before: NDArray[np.float64], after: NDArray[np.float64], documents: list[str]) -> Difference:
    """Paired bootstrap over whole documents, whose questions stand and fall together."""
    gain = after - before
    names = sorted(set(documents))
    if len(names) >= _CLUSTERS:
        groups = [np.flatnonzero(np.array(documents) == name) for name in names]
    else:
        groups = [np.array([n]) for n in range(len(gain))]
    sums = np.array([gain[group].sum() for group in groups])
    sizes = np.array([len(group) for group in groups])
    drawn = np.random.default_rng(7).integers(0, len(groups), (DRAWS, len(groups)))
    means = sums[drawn].sum(1) / sizes[drawn].sum(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return Difference(float(before.mean()), float(after.mean()), float(low), float(high), float((means > 0).mean()))
