"""Trains, tunes, grades and exports the reranker's passage scorer.

Half of the held-out articles chooses the share of the fusion, the other half is what the card reports.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ragmesh_models.aspects import AspectTable
from ragmesh_models.lexical import IdfTable
from ragmesh_models.passage_features import NAMES, PassageFeatures
from ragmesh_models.passages import read_passage
from ragmesh_models.questions import read_question
from ragmesh_models.ranking import with_fusion
from torch import Tensor

from training import MODEL_REPOSITORY, ROOT, aspect_table, cards, parity, passage_eval
from training.descent import Descent, cosine
from training.passage_data import served_embedder, training_side
from training.passage_eval import Bench, Score, tuning
from training.passage_lists import Listing, ListReader, training_lists
from training.passage_model import ListwiseScorer, SingleList
from training.progress import Run
from training.sources import DataFolder
from training.splits import evaluation_grams, refuse_contamination

SEED = 20260721
TARGET = MODEL_REPOSITORY / "reranker" / "1"
BATCH = 64
EPOCHS = 10
RATE = 2e-3
# A fairy tale's questions name nobody that stands elsewhere; single sentences are poorer than passages.
SOURCE_WEIGHT = {"fairytaleqa": 0.5, "sentqa": 0.4, "medquad": 0.7}
QUESTIONS = {"mixed": 8_000, "medquad": 3_000, "sentqa": 1_000}
NOT_READ = 1e9  # divides a column away
FUSION_WEIGHTS = (0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0)
PARITY_SCORES = ((0.61, 7.5, 1.0), (np.nan, 1.25, 0.1))


def collate(lists: list[Listing]) -> dict[str, Tensor]:
    """Pads lists to one batch."""
    width = max(len(one.gold) for one in lists)
    features = np.zeros((len(lists), width, len(NAMES)), dtype=np.float32)
    flags = np.zeros((3, len(lists), width), dtype=np.float32)  # mask, gold, ignored
    for i, one in enumerate(lists):
        n = len(one.gold)
        features[i, :n] = one.features
        flags[0, i, :n] = 1
        flags[1, i, :n] = one.gold
        flags[2, i, :n] = one.ignored
    return {
        "features": torch.from_numpy(features),
        "mask": torch.from_numpy(flags[0]),
        "gold": torch.from_numpy(flags[1]),
        "ignored": torch.from_numpy(flags[2]),
        "kind": torch.tensor([one.kind for one in lists]),
        "weight": torch.tensor([SOURCE_WEIGHT.get(one.source, 1.0) for one in lists]),
    }


def loss_of(model: ListwiseScorer, batch: dict[str, Tensor]) -> Tensor:
    """The marginal listwise loss: how much of the softmax the right candidates have together."""
    scores = model(batch["features"], batch["kind"], batch["mask"])
    every = torch.logsumexp(scores.masked_fill(batch["ignored"] > 0, -1e4), 1)
    right = torch.logsumexp(scores.masked_fill(batch["gold"] == 0, -1e4), 1)
    loss: Tensor = ((every - right) * batch["weight"]).sum() / batch["weight"].sum()
    return loss


def fit(model: ListwiseScorer, lists: list[Listing], run: Run, each_epoch: Callable[[int], None] = lambda step: None) -> None:
    stacked = np.concatenate([one.features for one in lists[:4_000]]).astype(np.float32)
    model.mean.copy_(torch.from_numpy(stacked.mean(0)))
    spread = stacked.std(0)
    # A column that never varied (no title here has parts) was never learnt from: it is not read.
    model.scale.copy_(torch.from_numpy(np.where(spread < 1e-6, NOT_READ, spread + 0.05)))
    descend = Descent(model.parameters(), run, RATE, EPOCHS * (len(lists) // BATCH), cosine(100), decay=0.01)
    rng = random.Random(SEED)
    for epoch in range(EPOCHS):
        model.train()
        order = list(range(len(lists)))
        rng.shuffle(order)
        for at in range(0, len(order) - BATCH + 1, BATCH):
            descend(loss_of(model, collate([lists[i] for i in order[at : at + BATCH]])), f"epoch {epoch}")
        each_epoch(descend.step)


def scores_of(model: ListwiseScorer, lists: list[Listing]) -> list[NDArray[np.float32]]:
    """What the network gives each list."""
    model.eval()
    single = SingleList(model)
    with torch.no_grad():
        return [
            np.asarray(single(torch.from_numpy(one.features.astype(np.float32)), torch.tensor([one.kind])).numpy()) for one in lists
        ]


def _lookup(lists: list[Listing], scores: list[NDArray[np.float32]], weight: float) -> Score:
    known = {id(one): with_fusion(found, one.fused, weight) for one, found in zip(lists, scores, strict=True)}
    return lambda listing: known[id(listing)]


def in_given_order(listing: Listing) -> NDArray[np.float32]:
    """The fusion's order."""
    return -np.arange(len(listing.gold), dtype=np.float32)


def choose_fusion(benches: list[Bench], lists: dict[str, list[Listing]], scores: dict[str, list[NDArray[np.float32]]]) -> float:
    """The share of the fusion with the best mean MRR over the tuning halves of what has titles, as documents have."""
    chosen = [bench for bench in benches if bench.titled]

    def mean(weight: float) -> float:
        orders = {bench.name: _lookup(lists[bench.name], scores[bench.name], weight) for bench in chosen}
        return float(np.mean([passage_eval.grade(b, lists[b.name], orders[b.name], tuning)["mrr10"] for b in chosen]))

    return max(FUSION_WEIGHTS, key=mean)


def _grades(title: str) -> bool:
    return not tuning(title)


def report(
    benches: list[Bench], lists: dict[str, list[Listing]], scores: dict[str, list[NDArray[np.float32]]], weight: float
) -> dict[str, Any]:
    """BM25, the fusion and the scorer on the halves that did not tune."""
    found: dict[str, Any] = {}
    for bench in benches:
        here = lists[bench.name]
        found[bench.name] = {
            "bm25": passage_eval.bm25_order(bench, _grades),
            "hybrid": passage_eval.grade(bench, here, in_given_order, _grades),
            "features": passage_eval.grade(bench, here, _lookup(here, scores[bench.name], weight), _grades),
        }
    return found


def export(model: ListwiseScorer, target: Path) -> None:
    torch.onnx.export(
        SingleList(model).eval(),
        (torch.zeros(5, len(NAMES)), torch.zeros(1, dtype=torch.int64)),
        str(target),
        input_names=["features", "kind"],
        output_names=["scores"],
        dynamic_axes={"features": {0: "n"}, "scores": {0: "n"}},
        opset_version=17,
        dynamo=False,
    )


def write_parity(model: ListwiseScorer, folder: Path, weight: float) -> None:
    """What torch gives for the features of a fixed question."""
    table, idf = AspectTable.load(folder / "aspects.bin"), IdfTable.load(folder / "idf.bin")
    passages = [read_passage(title, text, table) for title, text in zip(parity.TITLES, parity.PASSAGES, strict=True)]
    question = read_question(parity.QUESTION, idf)
    retrieval = np.array(PARITY_SCORES, dtype=np.float32)
    matrix = PassageFeatures(question, passages, retrieval).matrix()
    with torch.no_grad():
        scores = SingleList(model).eval()(torch.from_numpy(matrix), torch.tensor([question.kind])).numpy()
    parity.write(
        folder,
        1e-4,
        question=parity.QUESTION,
        passages=list(parity.PASSAGES),
        titles=list(parity.TITLES),
        retrieval=[[None if np.isnan(value) else value for value in row] for row in PARITY_SCORES],
        kind=question.kind,
        features=matrix,
        scores=scores,
        lexical=with_fusion(scores, retrieval[:, 2], weight),
    )


def publish(data: DataFolder, model: ListwiseScorer, lists: int, run: Run) -> dict[str, Any]:
    """Chooses the fusion's share, grades, and writes graph, configuration, parity and card beside the tables."""
    embedder = served_embedder()
    idf, table = IdfTable.load(TARGET / "idf.bin"), AspectTable.load(TARGET / "aspects.bin")
    benches = passage_eval.benches(data, embedder)
    held = {bench.name: passage_eval.lists_of(bench, ListReader(bench.corpus, idf, (table,)), embedder) for bench in benches}
    scores = {name: scores_of(model, found) for name, found in held.items()}
    weight = choose_fusion(benches, held, scores)
    metrics = {"train_lists": lists, "fusion_share": weight, "test": report(benches, held, scores, weight)}
    export(model, TARGET / "passages.onnx")
    config = {"fusion": weight, "reader": 0.0}  # until `training.passage_blend` has chosen
    (TARGET / "reranker.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    write_parity(model, TARGET, weight)
    cards.write("reranker", metrics, data.used)
    run.finish(metrics)
    print(json.dumps(metrics, indent=1), flush=True)
    return metrics


def train(data: DataFolder, preset: str = "cpu") -> dict[str, Any]:
    torch.manual_seed(SEED)
    torch.set_num_threads(1 if preset == "cpu" else 8)
    run = Run("passages")
    embedder = served_embedder()
    known = evaluation_grams(data, ROOT)
    side = training_side(data, known, embedder)
    trained = (text for corpus, asked in side.corpora for text in corpus.texts + [one.question for one in asked])
    refuse_contamination(trained, known, "reranker")
    TARGET.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(MODEL_REPOSITORY / "answerer" / "1" / "idf.bin", TARGET / "idf.bin")
    idf = IdfTable.load(TARGET / "idf.bin")
    table, folds = aspect_table.train(side.health)
    table.dump(TARGET / "aspects.bin")
    lists: list[Listing] = []
    for corpus, asked in side.corpora:
        chosen = random.Random(SEED).sample(asked, min(QUESTIONS[corpus.name], len(asked)))
        lists += training_lists(ListReader(corpus, idf, folds), chosen, embedder, run)
    model = ListwiseScorer()
    fit(model, lists, run)
    torch.save(model.state_dict(), run.folder / "passages.pt")
    return publish(data, model, len(lists), run)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--preset", choices=("cpu", "gpu"), default="cpu")
    parsed = arguments.parse_args()
    train(DataFolder(parsed.data), parsed.preset)
