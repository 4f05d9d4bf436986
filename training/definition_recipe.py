"""Fits how much a sentence or a passage gains by looking like the definition that a question asks for.

python -m training.definition_recipe --data DIR

A conditional logit over the features of `ragmesh_models.definitions`, upon the scores that the trained networks give (McFadden,
"Conditional logit analysis of qualitative choice behavior", 1974), so that it learns what these lack and changes no other question.
Writes definitions.json beside the answerer's and the reranker's graphs; their recipes come first, and their cards read it.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ragmesh_models import sentences
from ragmesh_models.definitions import FILE, NAMES, asked_term
from ragmesh_models.features import FeatureReader, read_passage
from ragmesh_models.lexical import IdfTable
from ragmesh_models.passage_features import PassageFeatures
from ragmesh_models.questions import read_question
from ragmesh_models.ranking import Ranker
from ragmesh_models.runtime import Graph, open_graph

from training import MODEL_REPOSITORY, ROOT, reading_sets
from training.answerer_data import Asked, Pool
from training.progress import Run
from training.reading_sets import Reading
from training.sources import DataFolder
from training.splits import clean, evaluation_grams, evaluation_titles, held_out, refuse_contamination, title_key, trainable

SEED = 20260721
MOST_HEALTH = 500  # of MedQuAD, whose definitions all are of one kind
MOST_ARTICLES = 800
MOST_PASSAGES = 8
CANDIDATES = 30
DECAY = 5e-4
HEALTH_WEIGHT = 0.5


@dataclass(frozen=True)
class Choice:
    """One question with its candidates: what the network says of each, how each defines, which are right."""

    source: str
    offset: NDArray[np.float64]  # (n,)
    features: NDArray[np.float64]  # (n, len(NAMES))
    right: NDArray[np.bool_]  # (n,)
    tunes: bool


def _rows(found: Sequence[list[float] | None]) -> NDArray[np.float64]:
    return np.array([row if row is not None else [0.0] * len(NAMES) for row in found], dtype=np.float64).reshape(-1, len(NAMES))


def _half(title: str) -> bool:
    return len(title_key(title)) % 2 == 0


class Reader:
    """Makes choices of questions: between sentences and between passages."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._sentences: Graph = open_graph(MODEL_REPOSITORY / "answerer" / "1" / "ranker.onnx")
        self._ranker = Ranker(MODEL_REPOSITORY / "reranker" / "1")
        self._idf = IdfTable.load(MODEL_REPOSITORY / "answerer" / "1" / "idf.bin")

    def sentences(self, asked: Asked, rng: random.Random) -> Choice | None:
        pool, row = self._pool, asked.row
        chosen, use_titles = pool.choose(asked, "answerable", rng)
        passages = [read_passage(pool.texts[i], pool.titles[i] if use_titles else "", n) for n, i in enumerate(chosen)]
        reader = FeatureReader(read_question(row.question, self._idf), passages, self._idf)
        gold, ignored = np.zeros(len(reader.candidates), dtype=bool), np.zeros(len(reader.candidates), dtype=bool)
        pool.mark(asked, chosen, reader, gold, ignored)
        if not gold.any():
            return None
        kind = np.array([reader.question.kind], dtype=np.int64)
        offset = np.asarray(self._sentences.run({"features": reader.matrix(), "kind": kind})["scores"], dtype=np.float64)
        kept = ~ignored | gold
        return Choice(row.source, offset[kept], _rows(reader.definitions())[kept], gold[kept], _half(row.title))

    def passages(self, asked: Asked) -> Choice | None:
        pool, question = self._pool, asked.row.question
        scores = pool.index.scores(question)
        best = [int(i) for i in np.argsort(-scores, kind="stable")[:CANDIDATES] if scores[i] > 0]
        if asked.chunk not in best:
            return None
        right = np.array([i == asked.chunk for i in best])
        words = [asked.row.passage[a:b] for a, b in asked.row.answers] if asked.row.spans else []
        kept = [n for n, i in enumerate(best) if right[n] or not any(len(w) > 3 and w in pool.texts[i] for w in words)]
        best, right = [best[n] for n in kept], right[kept]
        texts, titles = [pool.texts[i] for i in best], [pool.titles[i] for i in best]
        found = scores[best].astype(np.float32)
        retrieval = np.stack([np.full(len(best), np.nan, dtype=np.float32), found, found], axis=1)
        offset = self._ranker.undefined(question, texts, titles, retrieval)
        features = PassageFeatures(self._ranker.asked(question), self._ranker.read(texts, titles), retrieval).definitions()
        return Choice(asked.row.source, offset.astype(np.float64), _rows(features), right, _half(asked.row.title))


def fit(choices: Sequence[Choice]) -> list[float]:
    """The weights that make the right candidates likeliest."""
    weights = torch.zeros(len(NAMES), dtype=torch.float64, requires_grad=True)
    shares = [HEALTH_WEIGHT if choice.source == "medquad" else 1.0 for choice in choices]
    tensors = [(torch.from_numpy(one.offset), torch.from_numpy(one.features), torch.from_numpy(one.right)) for one in choices]
    optimiser = torch.optim.LBFGS([weights], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = DECAY * (weights**2).sum()
        for share, (offset, features, right) in zip(shares, tensors, strict=True):
            scores = offset + features @ weights
            loss = loss + share * (torch.logsumexp(scores, 0) - torch.logsumexp(scores[right], 0)) / len(tensors)
        loss.backward()
        return loss

    optimiser.step(closure)
    return [round(float(weight), 4) for weight in weights.detach()]


def grade(choices: Sequence[Choice], weights: Sequence[float]) -> dict[str, dict[str, float]]:
    """Share of questions whose best candidate is right, without and with the weights, by source."""
    found: dict[str, dict[str, float]] = {}
    for source in sorted({choice.source for choice in choices}):
        part = [choice for choice in choices if choice.source == source]
        before = [bool(one.right[int(one.offset.argmax())]) for one in part]
        after = [bool(one.right[int((one.offset + one.features @ np.array(weights)).argmax())]) for one in part]
        found[source] = {
            "questions": len(part),
            "before": round(float(np.mean(before)), 4),
            "after": round(float(np.mean(after)), 4),
        }
    return found


def articles(wiki: Sequence[tuple[str, str]]) -> list[Reading]:
    """Questions for what articles of an encyclopedia are titled by; their first sentences answer."""
    found = []
    for title, text in random.Random(SEED).sample(list(wiki), len(wiki)):
        question = f"{'Who' if re.search(r'[(] ?born|[0-9] [(]?[–-] ', text[:120]) else 'What'} is {title}?"
        cuts = sentences.split(text)
        if "(" not in title and asked_term(question) and len(cuts) > 2:
            found.append(Reading("articles", title, question, text, ((cuts[0].start, cuts[0].end),), False))
    return found[:MOST_ARTICLES]


def _pool(rows: list[Reading], wiki: list[tuple[str, str]], idf: IdfTable) -> Pool:
    """Questions for a definition, beside the passages of all."""
    asked = [row for row in rows if row.answers and asked_term(row.question)]
    return Pool(asked, [(row.title, row.passage) for row in rows] + wiki, idf)


def choices_of(pool: Pool, run: Run) -> tuple[list[Choice], list[Choice]]:
    """Between sentences, and between passages."""
    rng, reader = random.Random(SEED), Reader(pool)
    sentences, passages = [], []
    for number, asked in enumerate(pool.asked):
        sentences.append(reader.sentences(asked, rng))
        passages.append(reader.passages(asked))
        run.say(number + 1, len(pool.asked), "questions for a definition read", every_s=20.0)
    return [one for one in sentences if one is not None], [one for one in passages if one is not None]


def train(data: DataFolder, preset: str = "cpu") -> dict[str, Any]:
    """Writes both files; -> figures of the held-out articles' test half."""
    torch.set_num_threads(1 if preset == "cpu" else 8)
    run = Run("definitions")
    idf = IdfTable.load(MODEL_REPOSITORY / "answerer" / "1" / "idf.bin")
    rows = reading_sets.squad(data) + reading_sets.sel_qa(data) + reading_sets.covid_qa(data)
    health = [row for row in reading_sets.med_quad(data) if asked_term(row.question)]
    random.Random(SEED).shuffle(health)
    rows += health[:MOST_HEALTH]
    wiki = reading_sets.wiki_paragraphs(data)
    rows += articles(wiki)
    known, evaluated = evaluation_grams(data, ROOT), evaluation_titles(data)
    training = clean((row for row in rows if trainable(row.title, evaluated)), lambda row: (row.question, row.passage), known)
    beside = clean((pair for pair in wiki if trainable(pair[0], evaluated)), lambda pair: pair, known)
    pool = _pool(training, beside, idf)
    refuse_contamination(pool.texts + [asked.row.question for asked in pool.asked], known, "definitions")
    learned = choices_of(pool, run)
    held = choices_of(_pool([row for row in rows if held_out(row.title)], [p for p in wiki if held_out(p[0])], idf), run)
    metrics: dict[str, Any] = {}
    for model, choices, graded in zip(("answerer", "reranker"), learned, held, strict=True):
        weights = fit(choices)
        figures = {"questions": len(choices), "held_out": grade(graded, weights)}
        document = {"names": NAMES, "weights": weights, **figures}
        (MODEL_REPOSITORY / model / "1" / FILE).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        metrics[model] = {"weights": dict(zip(NAMES, weights, strict=True)), **figures}
    run.finish(metrics)
    print(json.dumps(metrics, indent=1), flush=True)
    return metrics


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    train(DataFolder(arguments.parse_args().data))
