"""Trains the head that picks a short answer inside a sentence, and the confidence below which it stays silent.

Precision comes before coverage: the threshold is the lowest at which the tuning half's shown answers are right often enough.
"""

# mypy: allow-subclassing-any
# Torch is installed for training only, so that the type checker of the other parts sees none of it.
from __future__ import annotations

import argparse
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ragmesh_models import sentences
from ragmesh_models.lexical import IdfTable
from ragmesh_models.questions import Question, read_question
from ragmesh_models.spans import WIDTH, describe, propose
from torch import Tensor, nn

from training import MODEL_REPOSITORY, ROOT, reading_sets
from training.progress import Run
from training.reading_sets import Reading
from training.sources import DataFolder
from training.splits import clean, evaluation_grams, evaluation_titles, held_out, refuse_contamination, title_key, trainable

SEED = 20260721
TARGET = MODEL_REPOSITORY / "answerer" / "1"
WANTED_PRECISION = 0.85
EPOCHS = 30
_ARTICLES = re.compile(r"\b(?:a|an|the)\b|[^\w\s]")


class SpanHead(nn.Module):
    """Descriptions of the candidates of one sentence to a logit each."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, 48), nn.ReLU(), nn.Linear(48, 1))

    def forward(self, spans: Tensor) -> Tensor:
        """(n, width) -> (n,)"""
        logits: Tensor = self.layers(spans)[..., 0]
        return logits


@dataclass(frozen=True)
class Asked:
    kind: int
    spans: NDArray[np.float32]  # (n, WIDTH), may be empty
    right: NDArray[np.bool_]  # (n,)


def plain(text: str) -> str:
    return " ".join(_ARTICLES.sub(" ", text.casefold()).split())


def _asked(row: Reading, question: Question) -> Asked | None:
    answers = {plain(row.passage[a:b]) for a, b in row.answers}
    place = row.answers[0][0]
    cut = next((s for s in sentences.split(row.passage) if s.start <= place < s.end), None)
    if cut is None:
        return None
    body = row.passage[cut.start : cut.end]
    spans = propose(body, question)
    right = np.array([plain(body[span.start : span.end]) in answers for span in spans], dtype=bool)
    return Asked(question.kind, describe(body, spans, question), right)


def _read(rows: list[Reading], idf: IdfTable) -> list[Asked]:
    found = [_asked(row, read_question(row.question, idf)) for row in rows if row.answers and row.spans]
    return [asked for asked in found if asked is not None]


def fit(head: SpanHead, asked: list[Asked], run: Run) -> None:
    """Each candidate is right or wrong by itself, so that "none of them" needs no class of its own."""
    x = torch.from_numpy(np.concatenate([one.spans for one in asked]))
    y = torch.from_numpy(np.concatenate([one.right for one in asked]).astype(np.float32))
    optimiser = torch.optim.AdamW(head.parameters(), lr=3e-3, weight_decay=0.01)
    for epoch in range(EPOCHS):
        order = torch.randperm(len(x))
        for at in range(0, len(x), 512):
            chosen = order[at : at + 512]
            loss = nn.functional.binary_cross_entropy_with_logits(head(x[chosen]), y[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        run.log(epoch, loss=loss.item())
        run.say(epoch + 1, EPOCHS, f"loss {loss.item():.3f} over {len(x)} candidates")


def picks(head: SpanHead, asked: list[Asked]) -> NDArray[np.float64]:
    """(n, 2): the best candidate's probability and whether it is right; sentences without candidates are (0, 0)."""
    rows: list[tuple[float, float]] = []
    with torch.no_grad():
        for one in asked:
            if not len(one.spans):
                rows.append((0.0, 0.0))
                continue
            probability = torch.sigmoid(head(torch.from_numpy(one.spans))).numpy()
            best = int(probability.argmax())
            rows.append((float(probability[best]), float(one.right[best])))
    return np.array(rows)


def threshold_for(found: NDArray[np.float64], precision: float) -> float:
    order = np.argsort(-found[:, 0])
    running = np.cumsum(found[order, 1]) / np.arange(1, len(order) + 1)
    good = np.nonzero((running >= precision) & (np.arange(len(order)) >= 20))[0]
    return float(found[order[good[-1]], 0]) if len(good) else 1.1


def train(data: DataFolder, preset: str = "cpu") -> dict[str, Any]:
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    run = Run("span")
    idf = IdfTable.load(TARGET / "idf.bin")
    rows = reading_sets.squad(data) + reading_sets.covid_qa(data)
    kept = [row for row in rows if held_out(row.title)]
    known, evaluated = evaluation_grams(data, ROOT), evaluation_titles(data)
    training = clean((row for row in rows if trainable(row.title, evaluated)), lambda row: (row.question, row.passage), known)
    refuse_contamination((text for row in training for text in (row.question, row.passage)), known, "span")
    head = SpanHead()
    fit(head, _read(training, idf), run)
    graded = [row for row in kept if row.source != "covidqa"]
    halves = [_read([row for row in graded if len(title_key(row.title)) % 2 == half], idf) for half in (0, 1)]
    threshold = threshold_for(picks(head, halves[0]), WANTED_PRECISION)
    test = picks(head, halves[1])
    shown = test[:, 0] >= threshold
    metrics = {
        "threshold": round(threshold, 4),
        "questions": len(test),
        "coverage": round(float(shown.mean()), 4),
        "precision": round(float(test[shown, 1].mean()), 4) if shown.any() else 0.0,
        "candidate_holds_answer": round(float(np.mean([one.right.any() for one in halves[1]])), 4),
    }
    torch.onnx.export(
        head.eval(),
        (torch.zeros(3, WIDTH),),
        str(TARGET / "span.onnx"),
        input_names=["spans"],
        output_names=["logits"],
        dynamic_axes={"spans": {0: "n"}, "logits": {0: "n"}},
        opset_version=17,
        dynamo=False,
    )
    config = json.loads((TARGET / "answerer.json").read_text(encoding="utf-8"))
    config["span_threshold"] = metrics["threshold"]
    (TARGET / "answerer.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    run.finish(metrics)
    print(json.dumps(metrics), flush=True)
    return metrics


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, required=True)
    train(DataFolder(arguments.parse_args().data))
