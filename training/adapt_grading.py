"""Grades a set of model graphs on an owner's questions, each question by itself.

The order of work is that of the mesh: both legs of the search, their fusion, the passage scorer where there is one, and the
sentence that the answerer would show. This module does not train.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from ragmesh_models.aspects import AspectTable
from ragmesh_models.embedding import Embedder
from ragmesh_models.features import FeatureReader, read_passage
from ragmesh_models.lexical import IdfTable
from ragmesh_models.questions import read_question
from ragmesh_models.ranking import with_fusion
from ragmesh_models.runtime import Graph, open_graph
from ragmesh_models.tokens import TextTokenizer

from training import MODEL_REPOSITORY
from training.adapt_material import Question, Section
from training.passage_data import Asked, Corpus, embed_questions, fused
from training.passage_lists import CANDIDATES, Listing, ListReader

PASSAGES = 8  # that the answerer reads
LEG_DEPTH = 50
CUT = 10


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


ALL = ("bm25", "dense", "hybrid", "reranked", "right_sentence")


class Grader:
    """Asks questions among all sections. What two sets of graphs share (vectors, lists, features) is read once."""

    def __init__(self, sections: list[Section]) -> None:
        self._sections = sections
        self._searches: dict[tuple[Path, int], _Search] = {}
        self._idf = idf_table()

    def grade(self, questions: list[Question], graphs: Graphs, measures: tuple[str, ...] = ALL) -> Marks:
        """Measure -> a mark for each question; only the measures that are asked for, `reranked` only with a scorer."""
        key = graphs.embedder, hash(tuple(questions))
        if key not in self._searches:
            # Drafts of an embedder are graded once each; those that served stay.
            self._searches[key] = _Search(questions, self._sections, graphs.embedder)
        search = self._searches[key]
        marks: Marks = {name: search.ranks(search.orders[name]) for name in ("bm25", "dense", "hybrid") if name in measures}
        if not {"reranked", "right_sentence"} & set(measures):
            return marks
        orders = search.reranked(graphs.scorer) if graphs.scorer else search.orders["hybrid"]
        if graphs.scorer and "reranked" in measures:
            marks["reranked"] = search.ranks(orders)
        if "right_sentence" in measures:
            marks["right_sentence"] = search.right_sentences(orders, graphs.ranker, self._idf)
        return marks

    def forget(self, embedder: Path) -> None:
        """Drops what was read with a draft."""
        self._searches = {key: found for key, found in self._searches.items() if key[0] != embedder}


class _Search:
    """The questions with what both legs bring for them under one embedder."""

    def __init__(self, questions: list[Question], sections: list[Section], embedder: Path) -> None:
        served = Embedder(embedder, tokenizer())
        self._questions = questions
        self._corpus = corpus_of(sections, served)
        self._vectors = embed_questions(served, [question.reading.question for question in questions])
        self.orders: dict[str, list[list[int]]] = {"bm25": [], "dense": [], "hybrid": []}
        for question, vector in zip(questions, self._vectors, strict=True):
            dense, sparse = self._corpus.legs(question.reading.question, vector, True, LEG_DEPTH)
            self.orders["bm25"].append(list(sparse))
            self.orders["dense"].append(list(dense))
            self.orders["hybrid"].append(list(fused(dense, sparse)) if dense or sparse else [])
        self._lists: list[Listing] = []
        self._read: dict[tuple[int, tuple[int, ...]], tuple[FeatureReader, NDArray[np.float32]]] = {}

    def ranks(self, orders: list[list[int]]) -> NDArray[np.float64]:
        """1 / rank of the right section, several passages of one counting once; 0 beyond ten."""
        found = []
        for question, order in zip(self._questions, orders, strict=True):
            documents = list(dict.fromkeys(self._corpus.documents[i] for i in order))[:CUT]
            found.append(1 / (documents.index(question.section) + 1) if question.section in documents else 0.0)
        return np.array(found)

    def reranked(self, scorer: Path) -> list[list[int]]:
        """The reranker's orders."""
        folder = MODEL_REPOSITORY / "reranker" / "1"
        if not self._lists:
            tables = (AspectTable.load(folder / "aspects.bin"),)
            reader = ListReader(self._corpus, IdfTable.load(folder / "idf.bin"), tables)
            for question, vector in zip(self._questions, self._vectors, strict=True):
                text = question.reading.question
                self._lists.append(reader.listing(asked_of(question), text, vector, True, CANDIDATES))
        graph, weight = open_graph(scorer), _fusion_share(folder)
        orders: list[list[int]] = []
        for listing in self._lists:
            if not listing.candidates:
                orders.append([])
                continue
            features, kind = listing.features.astype(np.float32), np.array([listing.kind], dtype=np.int64)
            found = np.asarray(graph.run({"features": features, "kind": kind})["scores"])
            best = np.argsort(-with_fusion(found, listing.fused, weight), kind="stable")
            orders.append([listing.candidates[n] for n in best])
        return orders

    def right_sentences(self, orders: list[list[int]], ranker: Path, idf: IdfTable) -> NDArray[np.float64]:
        """Whether the sentence that the answerer ranks first is the right one, among the first passages of each order."""
        graph = open_graph(ranker)
        return np.array([self._right(n, tuple(order[:PASSAGES]), graph, idf) for n, order in enumerate(orders)])

    def _right(self, number: int, found: tuple[int, ...], graph: Graph, idf: IdfTable) -> float:
        question, corpus = self._questions[number], self._corpus
        if (number, found) not in self._read:
            passages = [read_passage(corpus.texts[i], corpus.titles[i], n) for n, i in enumerate(found)]
            reader = FeatureReader(read_question(question.reading.question, idf), passages, idf)
            matrix = reader.matrix() if reader.candidates else np.zeros((0, 0))
            self._read[number, found] = reader, matrix.astype(np.float32)
        reader, features = self._read[number, found]
        if not reader.candidates:
            return 0.0
        kind = np.array([reader.question.kind], dtype=np.int64)
        scores = np.asarray(graph.run({"features": features, "kind": kind})["scores"])
        best = reader.candidates[int(np.argmax(scores))]
        i = found[best.passage]
        body = corpus.texts[i][best.start : best.end]
        return float(corpus.documents[i] == question.section and _overlaps(body, question.answer))


def _fusion_share(folder: Path) -> float:
    return float(json.loads((folder / "reranker.json").read_text(encoding="utf-8"))["fusion"])


def _overlaps(body: str, answer: str) -> bool:
    """Whether the sentence holds the answer, or is one of the sentences that the answer consists of."""
    return answer in body or (len(body) > 20 and body in answer)
