"""Grades an embedder beside BM25, alone and fused, on questions about held-out articles.

`grade` takes any function from texts and kinds to vectors, so that the torch model and the exported graph are graded alike.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training import reading_sets
from training.bm25 import Bm25
from training.open_text import documents
from training.sources import DataFolder
from training.splits import held_out

Embed = Callable[[list[str], str], NDArray[np.float32]]
SEED = 7
DEPTH = 100
# Of the dense score, each score over its best; measured on the tune half (JOURNAL.md).
FUSION_WEIGHT = 0.3


@dataclass(frozen=True)
class Bench:
    """Questions, the passages they are asked of, and which passage is right."""

    name: str
    passages: list[str]
    questions: list[str]
    gold: list[set[int]]


def _bench(name: str, asked: list[tuple[str, str]], distractors: list[str], size: int, questions: int) -> Bench:
    rng = random.Random(SEED)
    passages = list(dict.fromkeys(passage for _, passage in asked))
    rng.shuffle(distractors)
    passages += [text for text in distractors if text not in set(passages)][: max(0, size - len(passages))]
    where = {passage: index for index, passage in enumerate(passages)}
    gold: dict[str, set[int]] = {}
    for question, passage in asked:
        gold.setdefault(question, set()).add(where[passage])
    chosen = rng.sample(sorted(gold), min(questions, len(gold)))
    return Bench(name, passages, chosen, [gold[question] for question in chosen])


def benches(data: DataFolder, size: int = 20_000) -> list[Bench]:
    """Held-out SQuAD and MedQuAD articles, and the questions of real users, each among mixed paragraphs."""
    squad = reading_sets.squad(data)
    asked = [(row.question, row.passage) for row in squad if row.answers and held_out(row.title)]
    others = [row.passage for row in squad] + [text for _, text in reading_sets.wiki_paragraphs(data)]
    for document in documents(data):
        if document.source.startswith(("openstax", "cia", "craft")):
            others.extend(text for _, text in document.sections if 200 < len(text) < 2_000)
    medical = [row for row in reading_sets.med_quad(data) if held_out(row.title)]
    health = [(row.question, f"{row.title}\n{row.passage[:1_200]}") for row in medical]
    oracle = data.rows("qa/reading/nq_open_oracle_2655.jsonl", use="evaluate")
    users: list[tuple[str, str]] = []
    for row in oracle:
        contexts = row["ctxs"]
        assert isinstance(contexts, list)
        users.append((str(row["question"]), f"{contexts[0]['title']}\n{contexts[0]['text']}"))
    others = list(dict.fromkeys(others))
    return [
        _bench("squad held-out articles", asked, others, size, 1_000),
        _bench("medquad held-out topics", health, list(others), size // 2, 600),
        # The first half is for tuning; the second is left for the test of a release.
        _bench("nq-oracle tune half (evaluation only)", users[: len(users) // 2], list(others), size, 800),
    ]


def _metrics(ranked: list[list[int]], gold: list[set[int]]) -> dict[str, float]:
    ranks = [next((r for r, i in enumerate(row) if i in right), DEPTH) for row, right in zip(ranked, gold, strict=True)]
    count = len(ranks)
    return {
        "R@1": round(sum(r < 1 for r in ranks) / count, 4),
        "R@5": round(sum(r < 5 for r in ranks) / count, 4),
        "R@20": round(sum(r < 20 for r in ranks) / count, 4),
        "MRR@10": round(sum(1 / (r + 1) for r in ranks if r < 10) / count, 4),
    }


def _fuse(sparse: NDArray[np.float32], dense: NDArray[np.float32], weight: float) -> list[int]:
    """Weighted sum of both scores, each divided by its best."""
    total = sparse / max(1e-6, float(sparse.max())) + weight * dense / max(1e-6, float(dense.max()))
    return [int(index) for index in np.argsort(-total, kind="stable")[:DEPTH]]


def grade(bench: Bench, embed: Embed, index: Bm25, weight: float = FUSION_WEIGHT) -> dict[str, dict[str, float]]:
    """BM25, dense and fused figures of one bench."""
    vectors = np.concatenate([embed(bench.passages[at : at + 256], "passage") for at in range(0, len(bench.passages), 256)])
    queries = embed(bench.questions, "query")
    rows: dict[str, list[list[int]]] = {"bm25": [], "dense": [], "fused": []}
    for question, query in zip(bench.questions, queries, strict=True):
        sparse, dense = index.scores(question), vectors @ query
        rows["bm25"].append(np.argsort(-sparse, kind="stable")[:DEPTH].tolist())
        rows["dense"].append(np.argsort(-dense, kind="stable")[:DEPTH].tolist())
        rows["fused"].append(_fuse(sparse, dense, weight))
    return {name: _metrics(ranked, bench.gold) for name, ranked in rows.items()}
