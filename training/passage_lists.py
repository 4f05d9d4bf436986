"""Reads the features of candidate lists once, so that the network trains on arrays. Knows no network."""

from __future__ import annotations

import dataclasses
import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from ragmesh_models.aspects import AspectTable
from ragmesh_models.embedding import Embedder
from ragmesh_models.lexical import IdfTable
from ragmesh_models.passage_features import PassageFeatures
from ragmesh_models.passages import ReadPassage, read_passage
from ragmesh_models.questions import read_question

from training.aspect_table import fold_of
from training.passage_data import LEG_DEPTH, SEED, Asked, Corpus, embed_questions, fused, in_other_words, mark, retrieval_scores
from training.progress import Run

CANDIDATES = 30
WITHOUT_TITLES = 0.35
WITHOUT_SCORES = 0.1
SHORT_LISTS = 0.25


@dataclass(frozen=True)
class Listing:
    """One question with its candidates, in the order of the fusion."""

    source: str
    title: str
    kind: int
    features: NDArray[np.float16]  # (n, F)
    fused: NDArray[np.float32]  # (n,) scores of the fusion
    gold: NDArray[np.bool_]  # (n,)
    ignored: NDArray[np.bool_]  # (n,) those that may answer too
    candidates: tuple[int, ...]  # passages of the corpus


class ListReader:
    """Reads each passage of a corpus once, with and without its title.

    Args:
        tables: the aspect table for each fold of subjects; one of all where nothing was trained on the corpus.
    """

    def __init__(self, corpus: Corpus, idf: IdfTable, tables: tuple[AspectTable, ...]) -> None:
        self.corpus = corpus
        self._idf = idf
        self._tables = tables
        self._read: dict[tuple[int, bool, int], ReadPassage] = {}

    def passage(self, i: int, titled: bool, fold: int) -> ReadPassage:
        found = self._read.get((i, titled, fold))
        if found is None:
            title = self.corpus.titles[i] if titled else ""
            other = self._read.get((i, titled, 1 - fold))
            if other is None:
                found = read_passage(title, self.corpus.texts[i], self._tables[fold])
            else:
                found = dataclasses.replace(other, aspects=self._tables[fold](other.places))
            self._read[i, titled, fold] = found
        return found

    def listing(
        self, asked: Asked, question: str, vector: NDArray[np.float32], titled: bool, candidates: int, known: bool = True
    ) -> Listing:
        """The list of one question; `known` says whether the scorer gets to see what the legs thought."""
        dense, sparse = self.corpus.legs(question, vector, titled, LEG_DEPTH)
        marks = fused(dense, sparse)
        found = list(marks)[:candidates]
        scores = retrieval_scores(found, dense, sparse, marks)
        gold, ignored = mark(self.corpus, asked, found)
        fold = fold_of(asked.title) if len(self._tables) > 1 else 0
        read = read_question(question, self._idf)
        shown = scores if known else np.full_like(scores, np.nan)
        features = PassageFeatures(read, [self.passage(i, titled, fold) for i in found], shown).matrix()
        return Listing(asked.source, asked.title, read.kind, features.astype(np.float16), scores[:, 2], gold, ignored, tuple(found))


def training_lists(reader: ListReader, asked: list[Asked], embedder: Embedder, run: Run) -> list[Listing]:
    """Lists with at least one right and one wrong candidate; questions, titles, scores and lengths are varied."""
    rng = random.Random(SEED)
    questions = [in_other_words(one.question, rng) for one in asked]
    vectors = embed_questions(embedder, questions)
    found: list[Listing] = []
    for number, (one, question, vector) in enumerate(zip(asked, questions, vectors, strict=True)):
        short = rng.random() < SHORT_LISTS
        count = rng.randint(3, CANDIDATES) if short else CANDIDATES
        listing = reader.listing(one, question, vector, rng.random() >= WITHOUT_TITLES, count, known=rng.random() >= WITHOUT_SCORES)
        if listing.gold.any() and not (listing.gold | listing.ignored).all():
            found.append(listing)
        run.say(number + 1, len(asked), f"questions of {reader.corpus.name} read, {len(found)} lists")
    return found
