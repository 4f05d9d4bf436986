"""Trains, calibrates, grades and exports the small talk head, in a few minutes.

The threshold is the one at which hardly a held-out question is taken for small talk: a question that is greeted back is worse than
a greeting that is searched for.
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
from ragmesh_models.intents import LABELS, IntentFeatures, IntentReader
from torch import Tensor
from torch.nn import functional

from training import MODEL_REPOSITORY, ROOT, cards, parity
from training.descent import Descent, cosine
from training.intent_data import Hard, Small, Utterance, Written, graded_questions, graded_utterances, questions, terms
from training.intent_model import IntentHead, ServedIntentHead
from training.progress import Run
from training.sources import DataFolder
from training.splits import clean, evaluation_grams, refuse_contamination

SEED = 20260721
TARGET = MODEL_REPOSITORY / "intent" / "1"
# The guard asks the head nothing that has too many other words.
VOCABULARY = ROOT / "services" / "guard" / "understanding" / "small_talk" / "vocabulary.txt"
BATCH = 256
EPOCHS = 11
RATE = 4e-3
DECAY = 2e-2
DRAWN = {"small": 18_000, "hard": 16_000, "questions": 10_000}
# Of the held-out questions that tune the threshold, this share may pass for small talk.
SWALLOWED = 0.0002
LEAST_THRESHOLD = 0.5

Batch = tuple[Tensor, Tensor]


def collate(rows: list[tuple[NDArray[np.int32], int]]) -> Batch:
    ids = np.zeros((len(rows), max(len(found) for found, _ in rows)), dtype=np.int64)
    for place, (found, _) in enumerate(rows):
        ids[place, : len(found)] = found
    return torch.from_numpy(ids), torch.tensor([label for _, label in rows])


def _epoch(small: Small, hard: Hard, asked: list[Utterance], features: IntentFeatures, rng: random.Random) -> list[Batch]:
    drawn = [small.draw(rng) for _ in range(DRAWN["small"])] + [hard.draw(rng) for _ in range(DRAWN["hard"])]
    drawn += rng.sample(asked, min(DRAWN["questions"], len(asked)))
    rows = [(found, LABELS.index(row.label)) for row in drawn if (found := features(row.text)) is not None]
    rng.shuffle(rows)
    rows = [row for at in range(0, len(rows), 20 * BATCH) for row in sorted(rows[at : at + 20 * BATCH], key=lambda r: len(r[0]))]
    batches = [collate(rows[at : at + BATCH]) for at in range(0, len(rows), BATCH)]
    rng.shuffle(batches)
    return batches


def fit(head: IntentHead, small: Small, hard: Hard, asked: list[Utterance], features: IntentFeatures, run: Run) -> None:
    steps = EPOCHS * sum(DRAWN.values()) // BATCH
    descend = Descent(head.parameters(), run, RATE, steps, cosine(50), decay=DECAY, clip=None)
    rng = random.Random(SEED)
    for epoch in range(EPOCHS):
        head.train()
        for ids, labels in _epoch(small, hard, asked, features, rng):
            descend(functional.cross_entropy(head(ids), labels, label_smoothing=0.01), f"epoch {epoch}")


def logits_of(head: IntentHead, features: IntentFeatures, rows: list[Utterance]) -> tuple[Tensor, Tensor]:
    """Of the texts that are short enough to be read."""
    head.eval()
    read = [(found, LABELS.index(row.label)) for row in rows if (found := features(row.text)) is not None]
    with torch.no_grad():
        parts = [(head(ids), labels) for ids, labels in (collate(read[at : at + 512]) for at in range(0, len(read), 512))]
    return torch.cat([logits for logits, _ in parts]), torch.cat([labels for _, labels in parts])


def temperature_of(logits: Tensor, labels: Tensor) -> float:
    """The temperature that makes the probabilities of held-out utterances honest."""
    value = torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.LBFGS([value], max_iter=100)

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = functional.cross_entropy(logits / value.exp(), labels)
        loss.backward()
        return loss

    optimiser.step(closure)
    return float(value.exp().item())


def export(served: ServedIntentHead, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        served.eval(),
        (torch.ones(2, 5, dtype=torch.int32),),
        str(target),
        input_names=["ids"],
        output_names=["probabilities"],
        dynamic_axes={"ids": {0: "b", 1: "t"}, "probabilities": {0: "b"}},
        opset_version=17,
        dynamo=False,
    )


def _calibration_error(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    sure, right = probabilities.max(1), probabilities.argmax(1) == labels
    bins = [(sure > low) & (sure <= low + 0.1) for low in np.arange(0, 1, 0.1)]
    return float(sum(abs(sure[inside].mean() - right[inside].mean()) * inside.mean() for inside in bins if inside.any()))


def grade(reader: IntentReader, written: list[Utterance], asked: dict[str, list[str]]) -> dict[str, Any]:
    """Of the served graph: recall and right intent of small talk, and what it takes for small talk of real questions."""
    probabilities = reader([row.text for row in written])
    labels = np.array([LABELS.index(row.label) for row in written])
    taken = 1 - probabilities[:, 0] >= reader.threshold
    best = 1 + probabilities[:, 1:].argmax(1)
    result: dict[str, Any] = {"test utterances": {}, "questions taken for small talk": {}}
    for language in ("en", "de"):
        mine = np.array([row.language == language for row in written])
        small, question = mine & (labels > 0), mine & (labels == 0)
        result["test utterances"][language] = {
            "small talk": int(small.sum()),
            "recognised": round(float(taken[small].mean()), 4),
            "recognised as the right intent": round(float((taken & (best == labels))[small].mean()), 4),
            "hard questions": int(question.sum()),
            "taken for small talk": int(taken[question].sum()),
        }
    result["test utterances"]["calibration error"] = round(_calibration_error(probabilities, labels), 4)
    swallowed, total = 0, 0
    for name, texts in asked.items():
        found = np.concatenate([reader(texts[at : at + 512]) for at in range(0, len(texts), 512)])
        wrong = [text for text, row in zip(texts, found, strict=True) if 1 - row[0] >= reader.threshold]
        swallowed, total = swallowed + len(wrong), total + len(texts)
        result["questions taken for small talk"][name] = f"{len(wrong)} of {len(texts)}"
        print(name, len(wrong), len(texts), wrong[:12], flush=True)
    result["questions taken for small talk"]["all"] = f"{swallowed} of {total} ({100 * swallowed / total:.3f} %)"
    return result


def train(data: DataFolder, preset: str = "cpu") -> dict[str, Any]:
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    run = Run("intent")
    written = Written()
    known = evaluation_grams(data, ROOT)
    asked, tune_asked = questions(data, written)
    run.say(1, 1, f"{len(asked)} questions read", every_s=0)
    features = IntentFeatures(frozenset(written.vocabulary()))
    # What is a question unread needs no training.
    asked = [row for row in clean(asked, lambda row: row.text, known) if features(row.text) is not None]
    head = IntentHead()
    about = terms(data)
    refuse_contamination(
        [row.text for row in [*written.training, *asked]] + [term for found in about.values() for term in found], known, "intent"
    )
    fit(head, Small(written), Hard(written, asked, about), asked, features, run)
    torch.save(head.state_dict(), run.folder / "intent.pt")

    # The held-out utterances and the held-out rows of the lists tune; what the card reports are sets of their own.
    temperature = temperature_of(*logits_of(head, features, written.held_out))
    logits, _ = logits_of(head, features, tune_asked)
    small = np.zeros(len(tune_asked))  # what is not read is a question
    small[: len(logits)] = 1 - torch.softmax(logits / temperature, dim=-1)[:, 0].numpy()
    threshold = max(LEAST_THRESHOLD, float(np.quantile(small, 1 - SWALLOWED)) + 1e-4)
    config = {
        "labels": list(LABELS),
        "threshold": round(threshold, 4),
        "temperature": temperature,
        "vocabulary": written.vocabulary(),
    }
    served = ServedIntentHead(head.eval(), temperature)
    export(served, TARGET / "intent.onnx")
    (TARGET / "intent.json").write_text(json.dumps(config, ensure_ascii=False) + "\n", encoding="utf-8")
    VOCABULARY.write_text("\n".join(written.vocabulary()) + "\n", encoding="utf-8")
    write_parity(served, features)
    reader = IntentReader(TARGET)
    metrics: dict[str, Any] = {
        "threshold": config["threshold"],
        "tuning questions": len(tune_asked),
        "training questions": len(asked),
    }
    metrics |= {"vocabulary": len(written.vocabulary()), "written utterances": len(written.training) + len(written.held_out)}
    metrics |= grade(reader, graded_utterances(), graded_questions(data))
    cards.write("intent", metrics, data.used)
    run.finish(metrics)
    print(json.dumps(metrics, indent=1, ensure_ascii=False), flush=True)
    return metrics


def write_parity(served: ServedIntentHead, features: IntentFeatures) -> None:
    """What torch gives for a few utterances."""
    rows: list[dict[str, Any]] = []
    for text in (
        "hi there!",
        "wer bist du denn 🤖",
        "hello, does CBD help with sleep?",
        "What can CBD do?",
        *(t for _, t in parity.TEXTS),
    ):
        found = features(text)
        if found is not None:
            with torch.no_grad():
                rows.append({"text": text, "ids": found, "probabilities": served(torch.from_numpy(found)[None])[0].numpy()})
    parity.write(TARGET, 2e-5, rows=rows)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--preset", choices=("cpu", "gpu"), default="cpu")
    parsed = arguments.parse_args()
    train(DataFolder(parsed.data), parsed.preset)
