"""Trains, calibrates, grades and exports the verifier: word table, network over aligned words, and the simpler one it must beat.

python -m training.verifier_recipe --data DIR

The features of the training pairs are read once (some minutes) and kept under training/runs/verifier, by a digest of pairs and
words.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import pickle
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ragmesh_models import alignment, claim_facts, opposites, quantities
from ragmesh_models.alignment import PAIR_NAMES, TOKEN_NAMES, Aligned, aligned_of
from ragmesh_models.claim_facts import Read, read
from ragmesh_models.verifying import LABELS, calibrated, capped, collate
from ragmesh_models.word_table import WordTable
from torch import Tensor
from torch.nn import functional

from training import MODEL_REPOSITORY, ROOT, cards, parity, verifier_vectors
from training.descent import Descent, cosine, of_like_length
from training.progress import Run
from training.sources import DataFolder
from training.splits import evaluation_grams, evaluation_titles, refuse_contamination
from training.verifier_data import Pair, training_pairs
from training.verifier_eval import Graded, best_threshold, claim_only, figures, graded_sets
from training.verifier_model import AlignmentNetwork, PairNetwork
from training.verifier_swaps import SUPPORTED

SEED = 20261121
TARGET = MODEL_REPOSITORY / "verifier" / "1"
BATCH = 128
EPOCHS = 5
RATE = 2e-3
SMOOTHING = 0.02
# Claims that people wrote weigh more than those that rules made.
CALIBRATION_WEIGHT = {"fever": 3.0}
ReadSets = dict[str, tuple[list[Aligned], list[Aligned]]]
"""Of each set the features of its tuning and its reported half."""
SOURCE_WEIGHT = {"fever": 3.0, "foolmetwice": 3.0, "mnli": 1.0}  # of the others a half each: there are many, and they are easy
CLAIMS = (
    "The bridge at Küßnacht was finished in 1742.",
    "The bridge was finished in 1842.",
    "The bridge was never finished.",
    "Merchants paid for the bridge with salt.",
    "…",
)


def features(pairs: Sequence[Pair], table: WordTable, run: Run) -> list[Aligned]:
    """Every pair laid side by side; a piece of evidence is read once for all its claims in a row."""
    found: list[Aligned] = []
    said: dict[str, Read] = {}
    for n, pair in enumerate(pairs):
        if pair.evidence not in said:
            if len(said) > 2_000:
                said.clear()
            said[pair.evidence] = read(pair.evidence, table)
        found.append(aligned_of(read(pair.claim, table), said[pair.evidence], table))
        if n % 500 == 0:
            run.say(n + 1, len(pairs), "pairs read")
    return found


def kept_features(pairs: Sequence[Pair], table: WordTable, run: Run) -> list[Aligned]:
    """Features from the cache where neither pairs, words nor the analysis of text have changed."""
    digest = hashlib.sha256((TARGET / "words.bin").read_bytes())
    for module in (alignment, claim_facts, opposites, quantities):
        digest.update(Path(str(module.__file__)).read_bytes())
    for pair in pairs:
        digest.update(f"{pair.claim}\0{pair.evidence}\0".encode())
    path = run.folder / "features.pickle"
    key = digest.hexdigest()
    if path.is_file():
        held, found = pickle.loads(path.read_bytes())  # noqa: S301 - written by this recipe
        if held == key:
            return list(found)
    rows = features(pairs, table, run)
    path.write_bytes(pickle.dumps((key, rows)))
    return rows


def batch_of(rows: Sequence[Aligned], table: WordTable) -> tuple[Tensor, ...]:
    feeds = collate(rows, table)
    return tuple(torch.from_numpy(feeds[name]) for name in ("tokens", "claim", "evidence", "pair", "mask"))


def fit(model: AlignmentNetwork | PairNetwork, rows: list[Aligned], pairs: list[Pair], table: WordTable, run: Run) -> None:
    stacked = np.stack([row.pair for row in rows])
    model.mean.copy_(torch.from_numpy(stacked.mean(0)))
    model.scale.copy_(torch.from_numpy(stacked.std(0) + 0.05))
    labels = torch.tensor([pair.label for pair in pairs])
    weights = torch.tensor([SOURCE_WEIGHT.get(pair.source, 0.5) for pair in pairs])
    curve = f"loss_{type(model).__name__}"
    descend = Descent(model.parameters(), run, RATE, EPOCHS * (len(rows) // BATCH), cosine(100), decay=0.02, curve=curve)
    rng = random.Random(SEED)
    lengths = [len(row.tokens) for row in rows]
    for epoch in range(EPOCHS):
        model.train()
        for chosen in of_like_length(lengths, BATCH, rng, batches=30):
            logits = model(*batch_of([rows[i] for i in chosen], table))
            each = functional.cross_entropy(logits, labels[chosen], reduction="none", label_smoothing=SMOOTHING)
            descend((each * weights[chosen]).sum() / weights[chosen].sum(), f"epoch {epoch}")


def logits_of(model: AlignmentNetwork | PairNetwork, rows: Sequence[Aligned], table: WordTable) -> NDArray[np.float64]:
    model.eval()
    with torch.no_grad():
        parts = [model(*batch_of(rows[at : at + 128], table)).numpy() for at in range(0, len(rows), 128)]
    return np.asarray(np.concatenate(parts), dtype=np.float64)


def calibrate(logits: list[NDArray[np.float64]], labels: list[NDArray[np.int64]], weights: list[float]) -> dict[str, Any]:
    """Scale and shifts with the least cross-entropy on the tuning halves, each set by its weight.

    Where a set has two labels only, `supported` against the rest is what counts.
    """
    values = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([values], max_iter=200)
    parts = [(torch.from_numpy(x), torch.from_numpy(y), weight) for x, y, weight in zip(logits, labels, weights, strict=True)]

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = torch.zeros((), dtype=torch.float64)
        for x, y, weight in parts:
            logs = torch.log_softmax(values[0] * x + torch.cat([values[1:], torch.zeros(1, dtype=torch.float64)]), dim=1)
            if int(y.max()) < len(LABELS) - 1:
                two = torch.stack([logs[:, 0], torch.logsumexp(logs[:, 1:], dim=1)], dim=1)
                loss = loss + weight * functional.nll_loss(two, (y != SUPPORTED).long())
            else:
                loss = loss + weight * functional.nll_loss(logs, y)
        loss.backward()
        return loss

    optimiser.step(closure)
    found = values.detach().numpy()
    return {"scale": round(float(found[0]), 5), "shift": [round(float(found[1]), 5), round(float(found[2]), 5), 0.0]}


def _labels(pairs: Sequence[Pair]) -> NDArray[np.int64]:
    return np.array([pair.label for pair in pairs], dtype=np.int64)


def _missing(rows: Sequence[Aligned]) -> NDArray[np.bool_]:
    return np.array([row.missing.any for row in rows])


def grade(
    model: AlignmentNetwork | PairNetwork, sets: list[Graded], read_sets: ReadSets, table: WordTable
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The calibration and, under it, the figures of each set."""
    tuned = [(graded, read_sets[graded.name][0]) for graded in sets if graded.tune]
    config = calibrate(
        [logits_of(model, rows, table) for _, rows in tuned],
        [_labels(graded.tune) for graded, _ in tuned],
        [CALIBRATION_WEIGHT.get(graded.name, 1.0) for graded, _ in tuned],
    )
    result: dict[str, Any] = {}
    for graded in sets:
        rows, labels = read_sets[graded.name][1], _labels(graded.test)
        plain = calibrated(logits_of(model, rows, table), config["scale"], config["shift"])
        result[graded.name] = figures(capped(plain, _missing(rows)), labels, _missing(rows))
        if int(labels.max()) == len(LABELS) - 1:
            result[graded.name]["three_way"] = round(float((plain.argmax(1) == labels).mean()), 4)
        if graded.name in ("swaps", "own swaps"):
            scores = capped(plain, _missing(rows))
            result[f"{graded.name}: right by kind"] = _by_kind(graded.test, scores[:, SUPPORTED])
    return config, result


def _by_kind(pairs: Sequence[Pair], supported: NDArray[np.float64]) -> dict[str, Any]:
    """Share of each kind of claim that is judged rightly at 0.5."""
    kinds = np.array([pair.kind for pair in pairs])
    right = (supported >= 0.5) == (_labels(pairs) == SUPPORTED)
    return {kind: f"{right[kinds == kind].mean():.4f} (n {int((kinds == kind).sum())})" for kind in sorted(set(kinds.tolist()))}


def baselines(sets: list[Graded], read_sets: ReadSets, trained: list[Pair]) -> dict[str, Any]:
    """A claim alone, and the overlap of words with its best threshold: what reading the evidence must beat."""
    column = PAIR_NAMES.index("covered_any")
    result: dict[str, Any] = {}
    fever = [pair for pair in trained if pair.source == "fever" and pair.kind != "unrelated"]
    for graded in sets:
        if not graded.test:
            continue
        fooling = [pair for pair in trained if pair.source == "foolmetwice"]
        own = {"fever": fever, "symmetric": fever, "foolmetwice": fooling}.get(graded.name) or graded.tune
        # A set without a training side: the wording is learned from its one half and judged on the other.
        learned, judged = (own, graded.test) if own else (graded.test[::2], graded.test[1::2])
        # Without a tuning half the overlap's threshold is the best in hindsight.
        tune_rows, tune_labels = read_sets[graded.name][0 if graded.tune else 1], _labels(graded.tune or graded.test)
        tuned = np.array([row.pair[column] for row in tune_rows], dtype=np.float64)
        threshold = best_threshold(tuned, tune_labels == SUPPORTED)
        scores = np.array([row.pair[column] for row in read_sets[graded.name][1]], dtype=np.float64)
        plain = np.column_stack([scores, 1 - scores, np.zeros(len(scores))])
        row = figures(plain, _labels(graded.test), _missing(read_sets[graded.name][1]))
        right = (scores >= threshold) == (_labels(graded.test) == SUPPORTED)
        result[graded.name] = {
            "claim_only_accuracy": round(claim_only(learned, judged), 4),
            "overlap_accuracy": round(float(right.mean()), 4),
            "overlap_auroc": row["auroc"],
        }
    return result


def export(model: AlignmentNetwork, dimensions: int, target: Path) -> None:
    names = ["tokens", "claim", "evidence", "pair", "mask"]
    inputs = (
        torch.zeros(2, 5, len(TOKEN_NAMES)), torch.zeros(2, 5, dimensions), torch.zeros(2, 5, dimensions),
        torch.zeros(2, len(PAIR_NAMES)), torch.ones(2, 5),
    )  # fmt: skip
    torch.onnx.export(
        model.eval(),
        inputs,
        str(target),
        input_names=names,
        output_names=["logits"],
        dynamic_axes={name: {0: "n"} if name == "pair" else {0: "n", 1: "t"} for name in names} | {"logits": {0: "n"}},
        opset_version=17,
        dynamo=False,
    )


def write_parity(model: AlignmentNetwork, config: dict[str, Any], table: WordTable) -> None:
    """What torch gives for fixed claims beside a fixed passage."""
    evidence = [parity.PASSAGES[0]] * len(CLAIMS)
    rows = [aligned_of(read(claim, table), read(said, table), table) for claim, said in zip(CLAIMS, evidence, strict=True)]
    logits = logits_of(model, rows, table)
    missing = _missing(rows)
    probabilities = capped(calibrated(logits, config["scale"], config["shift"]), missing)
    parity.write(
        TARGET,
        1e-4,
        claims=list(CLAIMS),
        evidence=evidence,
        logits=logits,
        probabilities=probabilities,
        missing=[bool(value) for value in missing],
    )


def train(data: DataFolder, preset: str = "cpu", fresh: bool = True) -> dict[str, Any]:
    """`fresh` false: the networks of the last run are calibrated, graded and exported again."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1 if preset == "cpu" else 8)
    run = Run("verifier")
    known, evaluated = evaluation_grams(data, ROOT), evaluation_titles(data)
    pairs = training_pairs(data, known, evaluated)
    refuse_contamination((text for pair in pairs for text in (pair.claim, pair.evidence)), known, "verifier")
    TARGET.mkdir(parents=True, exist_ok=True)
    told = [pair for pair in pairs if pair.source in ("fever", "foolmetwice", "mnli")]
    more = sorted({text for pair in told for text in (pair.claim, pair.evidence)})
    verifier_vectors.kept(data, known, evaluated, more, run, TARGET / "words.bin")
    table = WordTable.load(TARGET / "words.bin")  # as it is served, eight bits a value
    rows = kept_features(pairs, table, run) if fresh else []
    sets = graded_sets(data)
    read_sets = {graded.name: (features(graded.tune, table, run), features(graded.test, table, run)) for graded in sets}
    simple, network = PairNetwork(), AlignmentNetwork(table.vectors.shape[1])
    if fresh:
        fit(simple, rows, pairs, table, run)
        fit(network, rows, pairs, table, run)
        torch.save((simple.state_dict(), network.state_dict()), run.folder / "verifier.pt")
    else:
        states = torch.load(run.folder / "verifier.pt")
        simple.load_state_dict(states[0])
        network.load_state_dict(states[1])
    config, test = grade(network, sets, read_sets, table)
    metrics: dict[str, Any] = {
        "train_pairs": len(pairs),
        "parameters": sum(values.numel() for values in network.parameters()),
        "test": test,
        "test of the network over figures of the pair alone": grade(simple, sets, read_sets, table)[1],
        "baselines": baselines(sets, read_sets, pairs),
    }
    export(network, table.vectors.shape[1], TARGET / "verifier.onnx")
    (TARGET / "verifier.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    write_parity(network, config, table)
    cards.write("verifier", metrics, data.used)
    run.finish(metrics)
    print(json.dumps(metrics, indent=1), flush=True)
    return metrics


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--preset", choices=("cpu", "gpu"), default="cpu")
    arguments.add_argument("--calibrate-only", action="store_true", help="keep the networks of the last run")
    parsed = arguments.parse_args()
    train(DataFolder(parsed.data), parsed.preset, not parsed.calibrate_only)
