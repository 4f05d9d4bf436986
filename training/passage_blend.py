"""Chooses how much the cross-encoder's logit counts beside the features' score, and grades what comes of it.

python -m training.passage_blend --data DIR [--questions 250]

Runs once the joint reader is installed; the scorer and the reader stay as they are, only reranker.json changes. The weight is
chosen on the tuning half of the held-out articles, the figures are of the other half (of users' questions: of their tune half).
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ragmesh_models import identity
from ragmesh_models.ranking import Ranker, blend
from ragmesh_models.reading import Reader

from training import MODEL_REPOSITORY, RUNS, cards
from training.passage_data import LEG_DEPTH, Asked, embed_questions, fused, retrieval_scores, served_embedder
from training.passage_eval import CANDIDATES, Bench, benches, metrics, tuning
from training.sources import DataFolder

TARGET = MODEL_REPOSITORY / "reranker" / "1"
DEPTH = 10  # as services.retriever.settings says
WORTH = 0.005  # of MRR: reading ten passages costs some 60 ms of a core
WEIGHTS = (0.0, 0.2, 0.3, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0)
DEPTHS = (5,)  # reported beside DEPTH
QUESTIONS = 250  # of each bench


@dataclass(frozen=True)
class Scored:
    """One question: its candidates' documents, scores by features, and the logits of the best of them."""

    asked: Asked
    documents: list[str]
    lexical: NDArray[np.float32]
    read: NDArray[np.int64]
    logits: NDArray[np.float32]

    def rank(self, weight: float, depth: int = DEPTH) -> int:
        """Where the first right document stands, each counted once; 1,000 where none does."""
        scores = blend(self.lexical, self.read[:depth], self.logits[:depth], weight) if weight > 0 else self.lexical
        order = list(dict.fromkeys(self.documents[n] for n in np.argsort(-scores, kind="stable")))
        return next((rank for rank, document in enumerate(order) if document in self.asked.documents), 1_000)


def score(bench: Bench, ranker: Ranker, reader: Reader, questions: int) -> list[Scored]:
    """Asks both of the best candidates of a bench's first questions; the reader reads the best by features."""
    embedder = served_embedder()
    asked = bench.asked[:questions]
    corpus = bench.corpus
    found: list[Scored] = []
    for one, vector in zip(asked, embed_questions(embedder, [one.question for one in asked]), strict=True):
        dense, sparse = corpus.legs(one.question, vector, bench.titled, LEG_DEPTH)
        marks = fused(dense, sparse)
        chosen = list(marks)[:CANDIDATES]
        titles = [corpus.titles[i] if bench.titled else "" for i in chosen]
        texts = [corpus.texts[i] for i in chosen]
        lexical = ranker.lexical(one.question, texts, titles, retrieval_scores(chosen, dense, sparse, marks))
        best = np.argsort(-lexical, kind="stable")[:DEPTH]
        logits = reader.passage_scores(one.question, [texts[i] for i in best], [titles[i] for i in best])
        found.append(Scored(one, [corpus.documents[i] for i in chosen], lexical, best, logits))
    return found


def choose(scored: dict[str, list[Scored]]) -> float:
    """The weight with the best mean MRR on the tuning half; 0 where reading is not worth its time."""

    def mean(weight: float) -> float:
        rows = {name: [one for one in found if tuning(one.asked.title)] for name, found in scored.items()}
        return float(np.mean([metrics([one.rank(weight) for one in part])["mrr10"] for part in rows.values()]))

    best = max(WEIGHTS, key=mean)
    return best if mean(best) >= mean(0.0) + WORTH else 0.0


def tune(data: DataFolder, questions: int = QUESTIONS) -> dict[str, Any]:
    """Writes the weight into reranker.json and the figures into training/runs/passages/blend.json."""
    reader = Reader.open(MODEL_REPOSITORY / "answerer" / "1", MODEL_REPOSITORY / identity.TOKENIZER_FILE)
    if reader is None:
        raise SystemExit("there is no joint reader in the model repository: train it first")
    ranker = Ranker(TARGET)
    began = time.monotonic()
    scored = {bench.name: score(bench, ranker, reader, questions) for bench in benches(data, served_embedder())}
    weight = choose(scored)
    figures: dict[str, Any] = {"weight": weight, "depth": DEPTH, "seconds": round(time.monotonic() - began)}
    for name, found in scored.items():
        part = [one for one in found if not tuning(one.asked.title)]
        figures[name] = {"n": len(part)}
        for label, share in (("features", 0.0), ("reranked", weight)):
            figures[name][label] = metrics([one.rank(share) for one in part])
        for depth in DEPTHS if weight > 0 else ():
            figures[name][f"reranked, {depth} read"] = metrics([one.rank(weight, depth) for one in part])
    tuned = {name: [one for one in found if tuning(one.asked.title)] for name, found in scored.items()}
    figures["tuning"] = {
        name: {str(share): metrics([one.rank(share) for one in part])["mrr10"] for share in WEIGHTS} for name, part in tuned.items()
    }
    path = TARGET / "reranker.json"
    config = json.loads(path.read_text(encoding="utf-8")) | {"reader": weight}
    path.write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    (RUNS / "passages").mkdir(parents=True, exist_ok=True)
    (RUNS / "passages" / "blend.json").write_text(json.dumps(figures, indent=1), encoding="utf-8")
    told = RUNS / "passages" / "metrics.json"
    if told.is_file():
        known = json.loads(told.read_text(encoding="utf-8"))
        cards.retell("reranker", {**known, "with the joint reader": {k: v for k, v in figures.items() if k != "tuning"}})
    print(json.dumps(figures, indent=1), flush=True)
    return figures


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--questions", type=int, default=QUESTIONS, help="of each bench")
    parsed = arguments.parse_args()
    tune(DataFolder(parsed.data), parsed.questions)
