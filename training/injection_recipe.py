"""Trains, calibrates, grades and exports the guard's injection classifier, in minutes on one core.

    python -m training.injection_recipe --data DIR

What the two kinds learn: of a question, whether it (or a window of it) attacks; of a document, whether a sentence speaks to the
assistant that reads it. An instruction that is honest as a question ("write a poem") is not in the middle of a report, so that the
two are taught opposite things about it.
"""

from __future__ import annotations

import argparse
import datetime
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from services.guard.classifier import features
from services.guard.classifier.classifier import InjectionClassifier
from services.guard.classifier.concepts import Concepts
from services.guard.classifier.features import Kind
from training import ROOT, injection_concepts, injection_suffix
from training.guard_rows import documents, half, questions
from training.injection_bags import Bags, Honest, bags_of
from training.injection_card import write_card
from training.injection_data import Example, draw
from training.injection_material import Material
from training.injection_model import Learning, LinearModel, fit
from training.injection_sources import Text
from training.open_text import documents as open_documents
from training.progress import Run
from training.sources import DataFolder
from training.splits import clean, evaluation_grams, refuse_contamination

SEED = 20261121
TARGET = ROOT / "services" / "guard" / "classifier"
LEARNING: dict[Kind, Learning] = {
    "question": Learning(epochs=5, smoothing=0.05, runs=3),
    "document": Learning(epochs=8, runs=3),
}
KNOWN_PASSAGES, KNOWN_FROM = 12_000, 6
"""Passages whose words are known, and how often a word or a pair must stand in them."""
THRESHOLD = 0.98
"""Probability from which the guard blocks by the classifier alone, of both kinds."""
WRONG: dict[Kind, float] = {"question": 0.0038, "document": 0.0045}
"""Shares of the honest texts of the tuning half that the classifier alone may disturb; the rules have the rest."""
SUFFIX_MARGIN = 0.1
"""Log odds by which an optimised suffix must be more likely one than every honest chat of the tuning half."""
CHATS = ("chat:", "qualifire", "promptshield:")
WORTH = {
    **{"asked": 1.5, "requests": 2.0, "exercises": 1.5, "pud": 4.0},
    **{"garak": 5.0, "selfreminder": 5.0, "gptfuzzer": 5.0, "giskard-hijacking": 5.0, "giskard-jailbreak": 3.0},
    **{"suffix": 2.0, "faq": 2.0, "numbered": 2.0},
}
"""How much an example of a source counts; 1 where none is given."""
FOREIGN = 2.0
"""How much an attack in another language than English counts: there is less honest text like it to tell it from."""
_SIGNS = 96


def honest_of(sentences: Sequence[str], texts: Sequence[str], concepts: Concepts) -> Honest:
    """Of honest text.

    Args:
        sentences: give the bits of each pair of signs, with one added to every count.
        texts: give the words, and the pairs of words, that stand in them at least KNOWN_FROM times.
        concepts: what words have in common.
    """
    counts = np.ones((_SIGNS, _SIGNS))
    for text in sentences:
        codes = np.frombuffer(features.plain(text).lower().encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
        if len(codes) > 1:
            np.add.at(counts.reshape(-1), features.pairs(codes), 1)
    bits = -np.log2(counts / counts.sum(1, keepdims=True))
    surprise = np.minimum(bits, 14).astype(np.float16).astype(np.float32).reshape(-1)
    told = np.zeros(features.ROWS, dtype=np.int64)
    nothing = np.zeros(features.ROWS, dtype=bool)
    for first in range(0, len(texts), 16):
        # Texts are read in bundles: a look at a text costs more than its words.
        rows = features.read("\n".join(texts[first : first + 16]), surprise, nothing, concepts, placed=True).rows
        told += np.bincount(rows[:, (0, features.PAIR)].reshape(-1), minlength=features.ROWS)
    return Honest(surprise, told >= KNOWN_FROM, concepts)


def worth_of(examples: Sequence[Example], bags: Bags) -> NDArray[np.float64]:
    """(b,) how much each bag counts: honest questions more, since one in a hundred is all that may be disturbed."""
    drawn = [examples[number] for number in bags.example.tolist()]
    return np.array([FOREIGN if _foreign(one) else WORTH.get(one.source.split(":")[0], 1.0) for one in drawn])


def _foreign(one: Example) -> bool:
    return one.attack and one.source.startswith("drawn:") and one.source != "drawn:en"


def temperature_of(logits: NDArray[np.float64], labels: NDArray[np.bool_]) -> float:
    """What the log odds are divided by so that they are least surprised by the labels."""
    candidates = np.geomspace(0.3, 6, 120)
    losses = [np.logaddexp(0, np.where(labels, -logits, logits) / one).mean() for one in candidates]
    return float(candidates[int(np.argmin(losses))])


def offset_of(model: LinearModel, rows: Sequence[Text], kind: Kind, honest: Honest) -> float:
    """The log odds that WRONG of the honest chats (of the honest documents) reach."""
    found = [_most(model, row.text, kind, honest) for row in rows if kind == "document" or row.source.startswith(CHATS)]
    return float(np.quantile(found, 1 - WRONG[kind]))


def _log_odds(probability: float) -> float:
    return float(np.log(probability / (1 - probability)))


def suffix_of(
    examples: Sequence[Example], tuning: Sequence[Example], chats: Sequence[str], honest: Honest
) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """The arrays of what tells optimised suffixes, and figures of it.

    Args:
        tuning: drawn of material that `examples` are not of; tell how sure it is.
        chats: honest ones, none of which is to be taken for one that ends in a suffix.
    """
    model = injection_suffix.fit(examples, honest, SEED)
    texts, ends = injection_suffix.chosen(tuning, SEED)
    logits = model.logits(texts, honest)
    scale = 1 / temperature_of(logits, ends > 0)
    offset = float(model.logits(chats, honest).max()) + SUFFIX_MARGIN
    found = logits[ends > 0] >= offset
    told = {
        "suffix: scale, offset": f"{scale:.3f}, {offset:.3f}",
        "suffix: held-out drawn ones told": f"{found.mean():.4f} of {len(found)}",
    }
    return model.arrays(scale, _log_odds(THRESHOLD) - scale * offset), told


def _most(model: LinearModel, text: str, kind: Kind, honest: Honest) -> float:
    bags = bags_of([Example(text, False, kind, "")], kind, honest, whole=True)
    return float(model.bag_logits(bags)[0][0]) if len(bags) else -20.0


def train(data: DataFolder, preset: str = "cpu", *, share: float = 1.0, target: Path = TARGET) -> dict[str, Any]:
    """Trains on `data` and writes injection.npz and MODEL_CARD.md to `target`; on one core, whatever the preset."""
    run = Run("injection")
    known = evaluation_grams(data, ROOT)
    texts, concepts = list(open_documents(data)), injection_concepts.load()
    material = Material.of(data, held_out=False, texts=texts)
    examples = clean(draw(data, material, SEED, share), lambda row: row.text, known)
    refuse_contamination([row.text for row in examples], known, "injection")
    sentences = material.passages[:4_000] + [row.text for row in examples if row.source.startswith("pud")]
    honest = honest_of(sentences, material.passages[:KNOWN_PASSAGES] + material.questions[:KNOWN_PASSAGES], concepts)
    held = Material.of(data, held_out=True, texts=texts)
    tuning = draw(data, held, SEED + 1, 0.1 * share)
    chosen: dict[Kind, list[Text]] = {"question": questions(data, held), "document": documents(data, held)}
    untouched = {kind: [row for row in rows if row.label == "benign" and half(row.text) == "tune"] for kind, rows in chosen.items()}
    version = datetime.date.today().isoformat() if target == TARGET else "draft"
    about: dict[str, Any] = {"version": version, "threshold": THRESHOLD, "examples": len(examples)}
    metrics = dict(about)
    arrays: dict[str, NDArray[Any]] = {"surprise": honest.surprise.astype(np.float16), "known": np.packbits(honest.known)}
    arrays |= {"concept_hashes": concepts.hashes, "concept_numbers": concepts.numbers}
    kinds: tuple[Kind, ...] = get_args(Kind)
    for kind in kinds:
        bags = bags_of(examples, kind, honest)
        run.say(1, 1, f"{kind}: {len(bags)} bags, {len(bags.starts)} stretches, {len(bags.rows)} tokens", every_s=0)
        model = fit(bags, worth_of(examples, bags), LEARNING[kind], SEED, lambda epoch, loss: run.log(epoch, loss=loss))
        drawn = bags_of(tuning, kind, honest)
        logits, _ = model.bag_logits(drawn)
        scale = 1 / temperature_of(logits, drawn.attack)
        offset = offset_of(model, untouched[kind], kind, honest)
        arrays |= model.arrays(kind, scale, _log_odds(THRESHOLD) - scale * offset)
        right = (logits > 0) == drawn.attack
        metrics |= {f"{kind}: bags": len(bags), f"{kind}: scale, offset": f"{scale:.3f}, {offset:.3f}"}
        metrics[f"{kind}: accuracy on drawn texts of held-out material"] = f"{right.mean():.4f} of {len(right)}"
    chats = [row.text for row in untouched["question"] if row.source.startswith(CHATS)]
    told, about_suffix = suffix_of(examples, tuning, chats, honest)
    arrays |= told
    metrics |= about_suffix
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
    target.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(target / "injection.npz", **arrays)
    InjectionClassifier.load(target / "injection.npz")
    write_card(target, metrics, data.used)
    run.finish(metrics)
    print(json.dumps(metrics, indent=1), flush=True)
    return metrics


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--share", type=float, default=1.0, help="of the examples; for a quick look")
    arguments.add_argument("--target", type=Path, default=TARGET)
    parsed = arguments.parse_args()
    train(DataFolder(parsed.data), share=parsed.share, target=parsed.target)
