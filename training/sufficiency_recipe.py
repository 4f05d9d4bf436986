"""Fits the sufficiency model: logistic regression over what a search knows of itself, its calibration, and the ladder's thresholds.

python -m training.sufficiency_recipe --data DIR [--again]

Weights with and without the reranker, fitted on the tuning half of the held-out articles. `training.sufficiency_rows` makes the
rows with the other models as they are shipped, about ten minutes on two quiet cores, and keeps them under training/runs/sufficiency
until `--again`. The same rows give the same bytes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.retriever.sufficiency.features import NAMES
from training import ROOT
from training.measures import auroc
from training.progress import Run
from training.sources import DataFolder, Source
from training.sufficiency_rows import FITTED, LIMIT, Searched, ladder, searched

TARGET = ROOT / "services" / "retriever" / "sufficiency" / "model.json"
CARD = TARGET.with_name("MODEL_CARD.md")
FOUND_SHARE = 0.7
"""Share of searches that hold the answer, to which the probability is calibrated: most questions fit their assistant's subject."""
REFUSED_SHARE = 0.01
"""Of the tuning half's sufficient searches of each source that may fall below the threshold; the lowest threshold of all counts."""
MARGIN = 0.5
"""Share of that which is the threshold: in a collection smaller than those of the fit more of a question's words are unknown, and
who is refused is not asked again, while a passage that does not answer is met by the answerer's own doubt. Set with the ladder over
golden questions in sight."""
LEAST_ROWS = 40
"""Sufficient searches of a type of question, from which on it may have a lower threshold of its own."""
DECAYS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
FOLDS = 5
BINS = 10
SWEEPS = 300
_NEGATIVE, _EITHER = ("rarest_missing", "unknown_share"), ("question_terms",)
SIGNS = tuple(0 if name in _EITHER else -1 if name in _NEGATIVE else 1 for name in NAMES)
"""Which way each feature may count. Free weights fit the tuning half better and other sources worse: fitted on MedQuAD and asked of
SQuAD, AUROC is .934 free and .946 so; the other way round .944 and .950."""
Matrix = NDArray[np.float64]

_WHAT = f"""# Sufficiency

Says how likely the evidence of a search holds the answer: logistic regression over {len(NAMES)} features of the search
(`services/retriever/sufficiency/features.py`), each of which may count one way alone, with other weights where the reranker took no
part. `model.json` is read by the
retriever; `docs/search.md` says what follows from it.

Trained from scratch by this project. Made by `python -m training.sufficiency_recipe --data DATA`.

## Splits

Questions of held-out articles alone (`training.splits.held_out`), because embedder and reader know their own training questions by
heart. The tuning half of the articles fits weights, decay (five folds by article) and thresholds; the other half, and questions of
real users (NQ, evaluation only, never fitted on), are the figures. Each question is searched twice, with its right passages and
without them; for every second article without the whole article. A search is sufficient where a right passage is among its {LIMIT}
passages. Rows are weighed so that {FOUND_SHARE:.0%} of them are sufficient, in the fit and in the calibration error alike. Golden
questions fit no weight; the margin of the threshold was set with them in sight.

## Limits

English questions. It knows words, scores and volume, not meaning: a passage about the same words that does not answer is often
believed.
"""


def _design(rows: Sequence[Searched]) -> tuple[Matrix, Matrix, Matrix]:
    """(n, features), (n,) labels and (n,) weights of mean 1 at `FOUND_SHARE`."""
    features = np.array([row.factors for row in rows], dtype=np.float64).reshape(-1, len(NAMES))
    labels = np.array([row.sufficient for row in rows], dtype=np.float64)
    share = labels.mean()
    return features, labels, np.where(labels > 0, FOUND_SHARE / share, (1 - FOUND_SHARE) / (1 - share))


def fit(rows: Sequence[Searched], decay: float) -> tuple[Matrix, float]:
    """Weights of the features and the bias, each weight of the sign that its feature has by its meaning.

    Newton's steps coordinate by coordinate over standardised columns, cut off at 0: the problem is convex, and has one solution. A
    column that never varies has weight 0.

    Args:
        decay: L2 penalty on a standardised weight, in rows.
    """
    features, labels, weights = _design(rows)
    mean, scale = features.mean(0), features.std(0)
    varies = scale > 1e-6
    scale = np.where(varies, scale, 1.0)
    x = np.where(varies, (features - mean) / scale, 0.0)
    found, bias = np.zeros(len(NAMES)), 0.0
    for _ in range(SWEEPS):
        moved = 0.0
        for column, sign in [(-1, 0), *enumerate(SIGNS)]:
            chance = _chance(x @ found + bias)
            slope, curve = weights * (chance - labels), weights * chance * (1 - chance)
            if column < 0:
                step = -float(slope.sum() / max(curve.sum(), 1e-9))
                bias += step
            else:
                own = x[:, column]
                step = -float((own @ slope + decay * found[column]) / (own**2 @ curve + decay))
                allowed = found[column] + step
                allowed = max(0.0, allowed) if sign > 0 else min(0.0, allowed) if sign < 0 else allowed
                step, found[column] = allowed - found[column], allowed
            moved = max(moved, abs(step))
        if moved < 1e-8:
            break
    raw = found / scale
    return raw, float(bias - (raw * mean).sum())


def _chance(logits: Matrix) -> Matrix:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -30, 30))))


def probabilities(rows: Sequence[Searched], weights: Matrix, bias: float) -> Matrix:
    features = np.array([row.factors for row in rows], dtype=np.float64).reshape(-1, len(NAMES))
    return _chance(features @ weights + bias)


def loss(rows: Sequence[Searched], chance: Matrix) -> float:
    """Weighted cross entropy."""
    _, labels, weights = _design(rows)
    kept = np.clip(chance, 1e-6, 1 - 1e-6)
    return float(-np.average(labels * np.log(kept) + (1 - labels) * np.log(1 - kept), weights=weights))


def calibration_error(rows: Sequence[Searched], chance: Matrix) -> float:
    """Expected calibration error over ten bins of equal width, weighed."""
    _, labels, weights = _design(rows)
    bins = np.minimum((chance * BINS).astype(int), BINS - 1)
    total = 0.0
    for number in range(BINS):
        here = bins == number
        if here.any():
            total += weights[here].sum() * abs(np.average(chance[here] - labels[here], weights=weights[here]))
    return total / float(weights.sum())


def choose_decay(rows: Sequence[Searched]) -> float:
    """The one with the least cross entropy over folds of articles."""
    articles = sorted({row.article for row in rows})
    fold = {article: number % FOLDS for number, article in enumerate(articles)}

    def held(decay: float) -> float:
        losses = []
        for number in range(FOLDS):
            weights, bias = fit([row for row in rows if fold[row.article] != number], decay)
            part = [row for row in rows if fold[row.article] == number]
            losses.append(loss(part, probabilities(part, weights, bias)))
        return float(np.mean(losses))

    return min(DECAYS, key=held)


def thresholds(rows: Sequence[Searched], chance: Matrix) -> tuple[float, dict[str, float]]:
    """Of all types of question, and of those that have rows enough and need a lower one: none may be harder to answer than another
    because a source asks it in one way."""
    right = np.array([row.sufficient for row in rows])

    def lowest(kept: NDArray[np.bool_]) -> float:
        own = right & kept
        by_source = [own & np.array([row.source == source for row in rows]) for source in sorted({row.source for row in rows})]
        return round(
            MARGIN * min(float(np.quantile(chance[part], REFUSED_SHARE)) for part in by_source if part.sum() >= LEAST_ROWS), 3
        )

    of_all = lowest(np.ones(len(rows), dtype=np.bool_))
    types = sorted({row.type for row in rows})
    members = {name: np.array([row.type == name for row in rows]) for name in types}
    enough = [name for name in types if (right & members[name]).sum() >= 2 * LEAST_ROWS]
    return of_all, {name: min(of_all, lowest(members[name])) for name in enough}


def _interval(yes: Matrix, no: Matrix) -> tuple[float, float]:
    """95 % of an AUROC by a thousand resamples."""
    chance = np.random.default_rng(7)
    drawn = [auroc(chance.choice(yes, len(yes)), chance.choice(no, len(no))) for _ in range(1000)]
    return float(np.quantile(drawn, 0.025)), float(np.quantile(drawn, 0.975))


def graded(rows: Sequence[Searched], weights: Matrix, bias: float, limit: dict[str, float], limit_of_all: float) -> dict[str, Any]:
    """Figures of rows that nothing was fitted on."""
    chance = probabilities(rows, weights, bias)
    right = np.array([row.sufficient for row in rows])
    below = chance < np.array([limit.get(row.type, limit_of_all) for row in rows])
    low, high = _interval(chance[right], chance[~right])
    return {
        "n": len(rows),
        "sufficient": int(right.sum()),
        "auroc": round(auroc(chance[right], chance[~right]), 3),
        "interval": [round(low, 3), round(high, 3)],
        "calibration_error": round(calibration_error(rows, chance), 3),
        "sufficient_refused": round(float(below[right].mean()), 3),
        "insufficient_refused": round(float(below[~right].mean()), 3),
    }


def _weights(weights: Matrix, bias: float) -> dict[str, Any]:
    return {"weights": [round(float(weight), 4) for weight in weights], "bias": round(bias, 4)}


def _card(figures: dict[str, Any], steps: dict[str, dict[str, int]], used: dict[str, Source]) -> str:
    lines = [
        "| searches | n | sufficient | AUROC (95 %) | calibration error | sufficient refused | insufficient refused |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, of in figures.items():
        low, high = of["interval"]
        cells = (
            name, of["n"], of["sufficient"], f"{of['auroc']:.3f} ({low:.2f} to {high:.2f})", f"{of['calibration_error']:.3f}",
            f"{of['sufficient_refused']:.1%}", f"{of['insufficient_refused']:.1%}",
        )  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    names = ("answer", "answer_with_gap", "ask_back", "abstain")
    table = [f"| golden questions | {' | '.join(name.replace('_', ' ') for name in names)} |", "|---|---|---|---|---|"]
    table += [f"| {kind} | {' | '.join(str(of.get(name, 0)) for name in names)} |" for kind, of in sorted(steps.items())]
    sources = ["| file | origin | commit | licence |", "|---|---|---|---|"]
    sources += [
        "| "
        + " | ".join(cell.replace("|", "/").replace("\n", " ") for cell in (s.path, s.origin[:160], s.commit[:48], s.licence))
        + " |"
        for _, s in sorted(used.items())
    ]
    note = "CC BY and CC BY-SA text is used with attribution to the origins below."
    parts = [_WHAT, "## Figures", "", *lines, "", *table, "", "## Training data", "", note, "", *sources]
    return "\n".join(parts) + "\n"


def train(data: DataFolder, preset: str = "cpu", *, again: bool = True) -> dict[str, Any]:
    """Searches, fits, writes model.json, and says what becomes of the golden questions with it."""
    run = Run("sufficiency")
    for name in FITTED:
        data.read(name)
    rows = searched(data, run, again=again)
    made: dict[str, Any] = {"names": list(NAMES)}
    figures: dict[str, Any] = {}
    fitted: dict[bool, tuple[Matrix, float]] = {}
    for reranked in (True, False):
        own = [row for row in rows if row.reranked == reranked and row.tunes]
        # What the file says is what is graded: rounded once, here.
        rounded = _weights(*fit(own, choose_decay(own)))
        fitted[reranked] = np.array(rounded["weights"]), rounded["bias"]
        if reranked:
            made |= rounded
            made["threshold"], made["thresholds"] = thresholds(own, probabilities(own, *fitted[True]))
        else:
            made["without_rerank"] = rounded
    for reranked, name in ((True, "reranked"), (False, "without the reranker")):
        held = [row for row in rows if row.reranked == reranked and not row.tunes]
        for source in ("squad", "medquad", "users"):
            part = [row for row in held if row.source == source]
            figures[f"{source}, {name}"] = graded(part, *fitted[reranked], made["thresholds"], made["threshold"])
        figures[f"all, {name}"] = graded(held, *fitted[reranked], made["thresholds"], made["threshold"])
    TARGET.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    steps = asyncio.run(ladder())
    CARD.write_text(_card(figures, steps, data.used), encoding="utf-8")
    metrics = {"preset": preset, "rows": len(rows), "figures": figures, "ladder": steps}
    run.finish(metrics)
    print(json.dumps(metrics, indent=1), flush=True)
    return metrics


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--again", action="store_true", help="search again, even where rows of a former run are there")
    parsed = arguments.parse_args()
    train(DataFolder(parsed.data), again=parsed.again)
