"""Grades the passage scorer beside BM25 and the fusion, over corpora of a real size, on questions about held-out articles.

python -m training.passage_eval --data DIR    the fusion at several shares of the dense leg

Ranks count documents: a document stands where its best passage does. Half of the held-out articles tunes, the other is reported.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from ragmesh_models.embedding import DIMENSIONS, Embedder

from training import dev_sets
from training.dev_sets import Row
from training.passage_data import LEG_DEPTH, Asked, Corpus, embed_questions, fused, served_embedder
from training.passage_lists import Listing, ListReader
from training.sources import DataFolder
from training.splits import title_key

SEED = 7
QUESTIONS = 600
CANDIDATES = 50

Score = Callable[[Listing], NDArray[np.float32]]


@dataclass(frozen=True)
class Bench:
    """Questions over one corpus."""

    name: str
    corpus: Corpus
    titled: bool
    asked: list[Asked]


def tuning(title: str) -> bool:
    """Whether a held-out article belongs to the half that tunes."""
    return len(title_key(title)) % 2 == 0


def _corpus(name: str, rows: list[Row], embedder: Embedder) -> Corpus:
    return Corpus(name, [(row["id"], row["title"], row["text"]) for row in rows], embedder)


def _asked(source: str, queries: list[Row], corpus: list[Row], most: int) -> list[Asked]:
    titles = {row["id"]: row["title"] for row in corpus}
    chosen = random.Random(SEED).sample(queries, min(most, len(queries)))
    return [Asked(source, titles[row["relevant"][0]], row["text"], frozenset(row["relevant"]), ()) for row in chosen]


def benches(data: DataFolder, embedder: Embedder) -> list[Bench]:
    """The corpora and queries of `training.dev_sets`: SQuAD and users over 20,000 paragraphs, MedQuAD over all its answers."""
    data = data.apart()
    rows = dev_sets.mixed_corpus(data)
    squad = dev_sets.as_queries(dev_sets.squad_questions(dev_sets.squad_articles(data, "squad11_wiki32"), rows))
    users = dev_sets.as_queries(dev_sets.nq_questions(dev_sets.natural_questions(data), rows))
    medical, _, health = dev_sets.med_quad(data)
    mixed, answers = _corpus("mixed", rows, embedder), _corpus("medquad", medical, embedder)
    asked = {
        "squad": _asked("squad", squad, rows, QUESTIONS),
        "users": _asked("users", users, rows, QUESTIONS),
        "medquad": _asked("medquad", health, medical, QUESTIONS),
    }
    return [
        Bench("squad", mixed, True, asked["squad"]),
        Bench("squad_untitled", mixed, False, asked["squad"]),
        Bench("users", mixed, True, asked["users"]),
        Bench("medquad", answers, True, asked["medquad"]),
        Bench("medquad_untitled", answers, False, asked["medquad"]),
    ]


def lists_of(bench: Bench, reader: ListReader, embedder: Embedder) -> list[Listing]:
    """The lists that the retriever would hand over."""
    vectors = embed_questions(embedder, [one.question for one in bench.asked])
    return [
        reader.listing(one, one.question, vector, bench.titled, CANDIDATES)
        for one, vector in zip(bench.asked, vectors, strict=True)
    ]


def metrics(ranks: list[int]) -> dict[str, float]:
    """`ranks` count from 0; a document that was not found has a large one."""
    count = max(1, len(ranks))
    found = {f"r{k}": round(100 * sum(rank < k for rank in ranks) / count, 1) for k in (1, 5, 20, 50)}
    return found | {"mrr10": round(sum(1 / (rank + 1) for rank in ranks if rank < 10) / count, 3)}


def document_rank(listing: Listing, documents_of: list[str], wanted: frozenset[str], scores: NDArray[np.float32]) -> int:
    """Where the first right document stands, counting each document once; 1,000 where none does."""
    seen: set[str] = set()
    for n in np.argsort(-scores, kind="stable"):
        document = documents_of[listing.candidates[n]]
        if document in wanted:
            return len(seen)
        seen.add(document)
    return 1_000


def grade(bench: Bench, lists: list[Listing], score: Score, wanted: Callable[[str], bool] = lambda title: True) -> dict[str, float]:
    """Figures of one order over the questions whose article is `wanted`."""
    ranks = [
        document_rank(listing, bench.corpus.documents, asked.documents, score(listing))
        for asked, listing in zip(bench.asked, lists, strict=True)
        if wanted(asked.title)
    ]
    return {**metrics(ranks), "n": len(ranks)}


def bm25_order(bench: Bench, wanted: Callable[[str], bool] = lambda title: True) -> dict[str, float]:
    """Figures of the BM25 leg alone."""
    nowhere = np.zeros(DIMENSIONS, dtype=np.float32)
    ranks: list[int] = []
    for asked in bench.asked:
        if wanted(asked.title):
            _, sparse = bench.corpus.legs(asked.question, nowhere, bench.titled, 2 * CANDIDATES)
            order = list(dict.fromkeys(bench.corpus.documents[i] for i in sparse))
            ranks.append(next((rank for rank, document in enumerate(order) if document in asked.documents), 1_000))
    return {**metrics(ranks), "n": len(ranks)}


def fusion_order(bench: Bench, embedder: Embedder, weights: tuple[float, ...]) -> dict[float, dict[str, float]]:
    """Share of the dense leg -> figures of the fusion of both legs' best, over the tuning half (users' questions: all)."""
    asked = [one for one in bench.asked if one.source == "users" or tuning(one.title)]
    ranks: dict[float, list[int]] = {weight: [] for weight in weights}
    for one, vector in zip(asked, embed_questions(embedder, [one.question for one in asked]), strict=True):
        dense, sparse = bench.corpus.legs(one.question, vector, bench.titled, LEG_DEPTH)
        for weight in weights:
            found = list(dict.fromkeys(bench.corpus.documents[i] for i in fused(dense, sparse, weight)))
            ranks[weight].append(next((rank for rank, document in enumerate(found) if document in one.documents), 1_000))
    return {weight: {**metrics(found), "n": len(found)} for weight, found in ranks.items()}


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    model = served_embedder()
    for each in benches(DataFolder(arguments.parse_args().data), model):
        for share, figures in fusion_order(each, model, (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)).items():
            print(each.name, share, figures, flush=True)
