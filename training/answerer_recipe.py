"""Trains, calibrates, grades and exports the answerer.

Half of the held-out articles set the calibration and the threshold, the other half is what the card reports.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ragmesh_models.features import NAMES, FeatureReader, read_passage
from ragmesh_models.lexical import IdfTable
from ragmesh_models.questions import read_question
from torch import Tensor
from torch.nn import functional

from training import MODEL_REPOSITORY, ROOT, cards, parity, span_recipe
from training.answerer_data import Asked, Listing, Pool, background, listings, pools
from training.answerer_model import ListwiseAnswerer, SingleList
from training.descent import Descent, cosine, of_like_length
from training.measures import auroc
from training.progress import Run
from training.sources import DataFolder
from training.splits import evaluation_grams, refuse_contamination, title_key

SEED = 20260721
TARGET = MODEL_REPOSITORY / "answerer" / "1"
BATCH = 64
EPOCHS = 14
RATE = 1.5e-3
MAX_SENTENCES = 160  # of one list in training
ELSEWHERE_SHARE = 0.7
# Weak labels (a document's opening sentences) and fairy tales teach less about the questions that are asked here.
SOURCE_WEIGHT = {"medquad": 0.4, "fairytaleqa": 0.5, "covidqa": 0.7}
# Of the answerable questions of the tuning half, this share may be refused at the threshold.
REFUSED_SHARE = 0.08


# Of each list: the score and the support logit of each sentence, and the answerability logit.
Outputs = list[tuple[NDArray[np.float32], NDArray[np.float32], float]]


def collate(lists: list[Listing]) -> dict[str, Tensor]:
    """Pads lists to one batch."""
    width = min(MAX_SENTENCES, max(len(one.gold) for one in lists))
    features = np.zeros((len(lists), width, len(NAMES)), dtype=np.float32)
    flags = np.zeros((3, len(lists), width), dtype=np.float32)  # mask, gold, ignored
    for i, one in enumerate(lists):
        n = min(width, len(one.gold))
        features[i, :n] = one.features[:n]
        flags[0, i, :n] = 1
        flags[1, i, :n] = one.gold[:n]
        flags[2, i, :n] = one.ignored[:n]
    return {
        "features": torch.from_numpy(features),
        "mask": torch.from_numpy(flags[0]),
        "gold": torch.from_numpy(flags[1]),
        "ignored": torch.from_numpy(flags[2]),
        "kind": torch.tensor([one.kind for one in lists]),
        "answerable": torch.tensor([float(one.case == "answerable") for one in lists]),
        "weight": torch.tensor([SOURCE_WEIGHT.get(one.source, 1.0) for one in lists]),
    }


def loss_of(model: ListwiseAnswerer, batch: dict[str, Tensor]) -> Tensor:
    """Marginal listwise loss where an answer stands, support of each sentence, answerability of the list."""
    scores, support, answerable = model(batch["features"], batch["kind"], batch["mask"])
    open_scores = scores.masked_fill(batch["ignored"] > 0, -1e4)
    gold_scores = scores.masked_fill(batch["gold"] == 0, -1e4)
    has_gold = (batch["gold"].sum(1) > 0).float() * batch["weight"]
    listwise = torch.logsumexp(open_scores, 1) - torch.logsumexp(gold_scores, 1)
    counted = batch["mask"] * (1 - batch["ignored"])
    each = functional.binary_cross_entropy_with_logits(support, batch["gold"], reduction="none") * counted
    whole = functional.binary_cross_entropy_with_logits(answerable, batch["answerable"], reduction="none")
    return (
        (listwise * has_gold).sum() / has_gold.sum().clamp(min=1)
        + 2.0 * ((each.sum(1) / counted.sum(1).clamp(min=1)) * batch["weight"]).mean()
        + (whole * batch["weight"]).mean()
    )


def run_model(model: ListwiseAnswerer, lists: list[Listing]) -> Outputs:
    model.eval()
    found: Outputs = []
    with torch.no_grad():
        for at in range(0, len(lists), 256):
            part = lists[at : at + 256]
            batch = collate(part)
            scores, support, answerable = model(batch["features"], batch["kind"], batch["mask"])
            for i, one in enumerate(part):
                n = min(len(one.gold), scores.shape[1])
                found.append((scores[i, :n].numpy(), support[i, :n].numpy(), float(answerable[i])))
    return found


def fit(model: ListwiseAnswerer, lists: list[Listing], tune: list[Listing], run: Run) -> None:
    stacked = np.concatenate([one.features for one in lists[:4_000]]).astype(np.float32)
    model.mean.copy_(torch.from_numpy(stacked.mean(0)))
    model.scale.copy_(torch.from_numpy(stacked.std(0) + 0.05))
    descend = Descent(model.parameters(), run, RATE, EPOCHS * (len(lists) // BATCH), cosine(100), decay=0.01)
    rng = random.Random(SEED)
    lengths = [len(one.gold) for one in lists]
    for epoch in range(EPOCHS):
        model.train()
        for chosen in of_like_length(lengths, BATCH, rng):
            descend(loss_of(model, collate([lists[i] for i in chosen])), f"epoch {epoch}")
        right, asked = right_sentence(tune, run_model(model, tune))
        run.log(descend.step, tune_right_sentence=right / max(1, asked))


def right_sentence(lists: list[Listing], outputs: Outputs) -> tuple[int, int]:
    hits = [
        bool(one.gold[: len(out[0])][int(np.argmax(out[0]))]) for one, out in zip(lists, outputs, strict=True) if one.gold.any()
    ]
    return sum(hits), len(hits)


def platt(logits: NDArray[np.float64], labels: NDArray[np.float64]) -> tuple[float, float]:
    """Scale and shift that make sigmoid(scale * logit + shift) a calibrated probability."""
    x, y = torch.from_numpy(logits), torch.from_numpy(labels)
    values = torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([values], max_iter=200)

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = functional.binary_cross_entropy_with_logits(values[0] * x + values[1], y)
        loss.backward()
        return loss

    optimiser.step(closure)
    return float(values[0]), float(values[1])


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-x)))


def calibrate(lists: list[Listing], outputs: Outputs) -> dict[str, Any]:
    """Platt scaling of both probabilities on the tuning half, and the threshold."""
    whole = np.array([out[2] for out in outputs], dtype=np.float64)
    labels = np.array([one.case == "answerable" for one in lists], dtype=np.float64)
    decision = platt(whole, labels)
    best = [
        (float(out[1][k]), float(one.gold[k])) for one, out in zip(lists, outputs, strict=True) for k in np.argsort(-out[0])[:3]
    ]
    support = platt(np.array([b for b, _ in best]), np.array([g for _, g in best]))
    probabilities = _sigmoid(decision[0] * whole + decision[1])
    counted = np.array([one.case == "answerable" and one.source != "medquad" for one in lists])
    threshold = float(np.quantile(probabilities[counted], REFUSED_SHARE))
    return {
        "decision": {"scale": decision[0], "shift": decision[1]},
        "support": {"scale": support[0], "shift": support[1]},
        "threshold": round(threshold, 4),
    }


def grade(lists: list[Listing], outputs: Outputs, config: dict[str, Any]) -> dict[str, Any]:
    """Right sentence by source, and how often each case is answered at the threshold."""
    scale, shift = config["decision"]["scale"], config["decision"]["shift"]
    probability = _sigmoid(scale * np.array([out[2] for out in outputs], dtype=np.float64) + shift)
    labels = np.array([one.case == "answerable" for one in lists])
    result: dict[str, Any] = {}
    for source in sorted({one.source for one in lists}):
        chosen = [i for i, one in enumerate(lists) if one.source == source]
        part, outs = [lists[i] for i in chosen], [outputs[i] for i in chosen]
        right, asked = right_sentence(part, outs)
        row: dict[str, Any] = {"questions": asked, "right_sentence": round(right / max(1, asked), 4)}
        for case in ("answerable", "impossible", "elsewhere"):
            inside = [probability[i] >= config["threshold"] for i in chosen if lists[i].case == case]
            if inside:
                row[f"answered_{case}"] = round(float(np.mean(inside)), 4)
        result[source] = row
    bins = [(probability >= low) & (probability < low + 0.1) for low in np.arange(0, 1, 0.1)]
    error = sum(abs(probability[inside].mean() - labels[inside].mean()) * inside.mean() for inside in bins if inside.any())
    result["answerability"] = {
        "auc": round(auroc(probability[labels], probability[~labels]), 4),
        "calibration_error": round(float(error), 4),
        "lists": len(lists),
    }
    return result


def export(model: ListwiseAnswerer, target: Path) -> None:
    single = SingleList(model).eval()
    torch.onnx.export(
        single,
        (torch.zeros(5, len(NAMES)), torch.zeros(1, dtype=torch.int64)),
        str(target),
        input_names=["features", "kind"],
        output_names=["scores", "support", "answerable"],
        dynamic_axes={"features": {0: "n"}, "scores": {0: "n"}, "support": {0: "n"}},
        opset_version=17,
        dynamo=False,
    )


def write_parity(model: ListwiseAnswerer, idf: IdfTable, config: dict[str, Any], folder: Path) -> None:
    """What torch gives for the features of a fixed question."""
    passages = [read_passage(text, title, n) for n, (text, title) in enumerate(zip(parity.PASSAGES, parity.TITLES, strict=True))]
    question = read_question(parity.QUESTION, idf)
    matrix = FeatureReader(question, passages, idf).matrix()
    with torch.no_grad():
        scores, support, answerable = SingleList(model).eval()(torch.from_numpy(matrix), torch.tensor([question.kind]))
    logit = np.asarray(answerable.numpy(), dtype=np.float64)
    probability = _sigmoid(config["decision"]["scale"] * logit + config["decision"]["shift"])
    parity.write(
        folder,
        1e-4,
        question=parity.QUESTION,
        passages=list(parity.PASSAGES),
        titles=list(parity.TITLES),
        kind=question.kind,
        features=matrix,
        scores=scores.numpy(),
        support=support.numpy(),
        answerable=answerable.numpy(),
        decision=float(probability[0]),
    )


def split_listings(held: Pool, run: Run) -> tuple[list[Listing], list[Listing]]:
    """The held-out lists as a tuning and a test half, by article."""
    halves: tuple[list[Asked], list[Asked]] = ([], [])
    for asked in held.asked:
        halves[len(title_key(asked.row.title)) % 2].append(asked)
    found: list[list[Listing]] = []
    for half in halves:
        held.asked = half
        found.append(listings(held, 1.0, run))
    return found[0], found[1]


def train(data: DataFolder, preset: str = "cpu") -> dict[str, Any]:
    torch.manual_seed(SEED)
    torch.set_num_threads(1 if preset == "cpu" else 8)
    run = Run("answerer")
    idf = background(data)
    pool, held = pools(data, idf)
    trained = pool.texts + [asked.row.question for asked in pool.asked]
    refuse_contamination(trained, evaluation_grams(data, ROOT), "answerer")
    lists = listings(pool, ELSEWHERE_SHARE, run)
    tune, test = split_listings(held, run)
    model = ListwiseAnswerer()
    fit(model, lists, tune, Run("answerer"))
    torch.save(model.state_dict(), run.folder / "answerer.pt")
    config = calibrate(tune, run_model(model, tune))
    metrics = {"train_lists": len(lists), "threshold": config["threshold"], "test": grade(test, run_model(model, test), config)}
    TARGET.mkdir(parents=True, exist_ok=True)
    export(model, TARGET / "ranker.onnx")
    idf.dump(TARGET / "idf.bin")
    (TARGET / "answerer.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    # The background frequencies are loaded again: the served table is rounded.
    write_parity(model, IdfTable.load(TARGET / "idf.bin"), config, TARGET)
    metrics["short_answers"] = span_recipe.train(data, preset)
    cards.write("answerer", metrics, data.used)
    run.finish(metrics)
    print(json.dumps(metrics, indent=1), flush=True)
    return metrics


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--preset", choices=("cpu", "gpu"), default="cpu")
    parsed = arguments.parse_args()
    train(DataFolder(parsed.data), parsed.preset)
