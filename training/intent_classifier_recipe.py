"""Trains the guard's in-process small talk classifier, and grades it beside the served head and the phrases, in a few minutes.

The rows are drawn by `training.intent_classifier_rows`; the learner is the guard's own, the one that learns an owner's phrases when
a policy is read. It is less exact than the served head, which is asked wherever it is not sure.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ragmesh.evidence.v1.text_pb2 import Intent
from ragmesh_models.intents import LABELS, IntentReader

from services.guard.understanding.classifier import IntentClassifier
from services.guard.understanding.intents import SmallTalk
from services.guard.understanding.sure import DEFAULT, QUESTION, SURE, Sure
from services.guard.understanding.words import WordVectors
from training import MODEL_REPOSITORY, ROOT
from training.intent_classifier_rows import FOLDER, draw
from training.sources import DataFolder, Source

KEPT = 60_000
"""n-grams: fewer are quicker and smaller, and swallow more questions."""
CARD = DEFAULT.parent / "INTENTS.md"
_PHRASES = ROOT / "services" / "guard" / "understanding" / "small_talk"

_WHAT = f"""# intents.npz

Tells small talk (greeting, thanks, goodbye, identity, capabilities, wellbeing) from questions in the guard's process, NumPy alone:
a linear model of {KEPT:,} n-grams of words and letters (float16), averaged with one hidden layer over the word vectors of
[words.npz](MODEL_CARD.md). English and German. It decides alone where it is sure of a question (a probability of {SURE});
elsewhere the served head `intent` is asked, which is more exact, and only where that is not heard does it name small talk.

Trained from scratch by this project; no pre-trained weights. Made by `training/intent_classifier_recipe.py`
(`python -m training.train_all --data DATA --only intent_classifier`).

Written utterances are split by utterance, questions by the split of their source. {SURE} and the number of n-grams were chosen on
the validation rows. The test rows (`training/intent_test.yaml`) were written apart from the training ones; they choose nothing.

## Limits

Other languages than English and German are left to the phrases. A wording of small talk that no row has is a question.
"""

Understand = Callable[[Sequence[str]], NDArray[np.str_]]


def rows_of(name: str) -> tuple[list[str], list[str]]:
    rows = [json.loads(line) for line in (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
    return [row["text"] for row in rows], [row["intent"] for row in rows]


def by_phrases() -> Understand:
    small_talk = SmallTalk(_PHRASES, ["ChatCBD"])
    return lambda texts: np.array([Intent.Name(small_talk.find(text)[0]).removeprefix("INTENT_").lower() for text in texts])


def by_head() -> Understand:
    reader = IntentReader(MODEL_REPOSITORY / "intent" / "1")

    def understand(texts: Sequence[str]) -> NDArray[np.str_]:
        found = np.concatenate([reader(list(texts[at : at + 256])) for at in range(0, len(texts), 256)])
        best = np.array(LABELS)[1 + found[:, 1:].argmax(axis=1)]
        return np.where(1 - found[:, 0] >= reader.threshold, best, QUESTION)

    return understand


def figures(found: NDArray[np.str_], wanted: NDArray[np.str_]) -> str:
    """What became of small talk, and of questions."""
    small = wanted != QUESTION
    right, seen = (found[small] == wanted[small]).mean(), (found[small] != QUESTION).mean()
    swallowed = int((found[~small] != QUESTION).sum())
    return f"{right:.1%} | {seen:.1%} | {swallowed} of {int((~small).sum())}"


def grade(classifier: IntentClassifier, name: str) -> list[str]:
    """A line of the card each for who decides, over the rows of a split."""
    texts, intents = rows_of(name)
    wanted = np.array(intents)
    phrases, head = by_phrases()(texts), by_head()(texts)
    alone = np.array([classifier.labels[int(classifier.probabilities(text).argmax())] for text in texts])
    sure = Sure(classifier)
    seen = [sure.understand(text).intent for text in texts]
    asked = np.array([not intent or intent != QUESTION for intent in seen]) | (phrases != QUESTION)
    served = np.where(head == QUESTION, phrases, head)
    small = np.array([intent if intent not in ("", QUESTION) else "" for intent in seen])
    found = {
        "phrases alone": phrases,
        "served head alone": head,
        "classifier alone": alone,
        "head and phrases": served,
        "as the guard has it": np.where(asked, served, QUESTION),
        "as the guard has it, without Triton": np.where((small != "") & (phrases == QUESTION), small, phrases),
    }
    lines = [f"| {name} ({len(texts)}): {who} | {figures(what, wanted)} |" for who, what in found.items()]
    return [*lines, f"| {name}: the head is not asked | {1 - asked.mean():.1%} of the rows | | |"]


def _write_card(lines: list[str], seconds: float, used: dict[str, Source]) -> None:
    table = [
        "| rows: who decides | small talk named rightly | seen as small talk | questions taken for small talk |",
        "|---|---|---|---|",
    ]
    sources = ["| file | origin | commit | licence |", "|---|---|---|---|"]
    sources += [
        "| " + " | ".join(cell.replace("|", "/").replace("\n", " ") for cell in (s.path, s.origin, s.commit[:48], s.licence)) + " |"
        for _, s in sorted(used.items())
    ]
    note = f"Learnt in {seconds:.0f} s on one core. Attribution of CC BY and CC BY-SA text: the origins below."
    text = "\n".join([_WHAT, "## Figures", "", *table, *lines, "", "## Training data", "", note, "", *sources])
    CARD.write_text(text + "\n", encoding="utf-8")


def train(data: DataFolder, preset: str = "cpu") -> dict[str, Any]:
    """Draws the rows, learns, grades, writes weights and card."""
    draw(data)
    began = time.perf_counter()
    words = WordVectors.load()
    texts, intents = rows_of("train")
    # To ask is an intent of its own, so that questions about anything belong to it.
    whole = IntentClassifier.learn(list(zip(texts, intents, strict=True)), words, apart=False)
    whole.lightened(KEPT).save(DEFAULT)
    seconds = time.perf_counter() - began
    classifier = IntentClassifier.load(DEFAULT, words)
    lines = [line for name in ("validation", "test") for line in grade(classifier, name)]
    _write_card(lines, seconds, data.used)
    metrics = {"preset": preset, "rows": len(texts), "bytes": DEFAULT.stat().st_size, "seconds": round(seconds), "figures": lines}
    print(json.dumps(metrics, indent=1, ensure_ascii=False), flush=True)
    return metrics


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, required=True)
    train(DataFolder(arguments.parse_args().data))
