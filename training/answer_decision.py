"""Fits when a searched list is answered: how likely its best sentence is right, from what reranker and reader say of it.

python -m training.answer_decision --data DIR

Writes `searched` and `searched_threshold` into reader.json. The weights are fitted on questions about SQuAD's tuning articles as
the mesh serves them, each once more with its own passage taken away. Users' questions (evaluation only) have a say in the threshold
alone. What is answered of questions that nothing answers, `training/evaluate` counts.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ragmesh_models.feature_engine import LexicalEngine
from ragmesh_models.lexical import IdfTable
from ragmesh_models.ranking import reader_share
from ragmesh_models.reader_engine import decision_features, linear, searched_features, shown_first, weigh

from training import ANSWERER, MODEL_REPOSITORY
from training.measures import auroc
from training.progress import Run
from training.reader_calibrate import fit_linear
from training.reader_served import Remembered, Searched, load, open_reader, serve
from training.sources import DataFolder

QUESTIONS = 200  # of each source and half, as `reader_calibrate` searches for
REFUSED_SHARE = 0.04  # of the tuning questions whose best sentence is right
DECAY = 1e-2  # four weights on some four hundred lists


@dataclass(frozen=True)
class Decided:
    """One list, and whether the sentence that would be shown is right."""

    source: str  # squad, users, or missed: SQuAD's with the passage taken away
    tunes: bool
    features: list[float]
    before: float  # log odds by the passages' text alone
    right: bool
    cited: bool  # whether it stands in the passage that was asked about


def without_answer(one: Searched) -> Searched | None:
    """The search as it would be if the collection lacked the relevant documents; None where it found none or nothing else."""
    kept = np.array([document not in one.relevant for document in one.documents])
    if kept.all() or not kept.any():
        return None
    place = np.cumsum(kept) - 1
    still = [n for n, i in enumerate(one.read) if kept[i]]
    at = np.nonzero(kept)[0]
    return replace(
        one,
        source="missed",
        relevant=frozenset(),
        documents=[one.documents[i] for i in at],
        texts=[one.texts[i] for i in at],
        titles=[one.titles[i] for i in at],
        retrieval=one.retrieval[at],
        lexical=one.lexical[at],
        read=np.array([place[one.read[n]] for n in still], dtype=np.int64),
        readings=[one.readings[n] for n in still],
    )


def decide(
    one: Searched, weight: float, config: dict[str, Any], reader: Remembered, lexical: LexicalEngine, idf: IdfTable
) -> Decided | None:
    """None where there is not one sentence."""
    what = serve(one, one.scores(weight), reader, lexical, idf)
    if what is None:
        return None
    scores = weigh(what.evidence, config["sentence"])
    best = shown_first(scores + float(config["found"]) * what.evidence.found, what.evidence.lexical)
    right = bool(what.gold[best]) and one.source != "missed"
    before = linear(config["decision"], decision_features(what.evidence, scores))
    return Decided(one.source, one.tunes, searched_features(what.evidence, best), before, right, bool(what.cited[best]))


def _odds(weights: Sequence[float], rows: Sequence[Decided]) -> NDArray[np.float64]:
    return np.array([linear(weights, row.features) for row in rows])


def fit(rows: Sequence[Decided]) -> dict[str, Any]:
    """`searched` and `searched_threshold` from the rows that tune."""
    own = [row for row in rows if row.tunes and row.source != "users"]
    features = np.array([row.features for row in own])
    weights = fit_linear(features, np.array([row.right for row in own], dtype=np.float64), DECAY)
    right = _odds(weights, [row for row in rows if row.tunes and row.right])
    edge = float(np.quantile(right, REFUSED_SHARE))
    return {"searched": weights, "searched_threshold": round(1 / (1 + float(np.exp(-edge))), 4)}


def grade(rows: Sequence[Decided], config: dict[str, Any]) -> dict[str, Any]:
    """Figures of the half that tuned nothing: AUROC of a right best sentence, and what is answered."""
    threshold = np.log(config["searched_threshold"] / (1 - config["searched_threshold"]))
    found: dict[str, Any] = {}
    for source in ("squad", "users"):
        part = [row for row in rows if row.source == source and not row.tunes]
        asked = [*part, *(row for row in rows if row.source == "missed" and not row.tunes)]
        right = np.array([row.right for row in asked])
        odds, before = _odds(config["searched"], asked), np.array([row.before for row in asked])
        answered = odds[: len(part)] >= threshold
        found[source] = {
            "questions": len(part),
            "auroc": round(auroc(odds[right], odds[~right]), 3),
            "auroc_by_text": round(auroc(before[right], before[~right]), 3),
            "answered": round(float(answered.mean()), 3),
            "right_of_all": round(float((answered & right[: len(part)]).mean()), 3),
            "cited_right": round(float(np.mean([row.cited for row, yes in zip(part, answered, strict=True) if yes])), 3),
        }
    missed = _odds(config["searched"], [row for row in rows if row.source == "missed" and not row.tunes])
    found["missed"] = {"lists": len(missed), "answered": round(float((missed >= threshold).mean()), 3)}
    return found


def tune(data: DataFolder, run: Run) -> dict[str, Any]:
    """Writes both into reader.json, which has the other weights already; -> the figures of the test half."""
    path = ANSWERER / "reader.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    idf = IdfTable.load(ANSWERER / "idf.bin")
    reader, lexical = open_reader(), LexicalEngine(ANSWERER, idf)
    weight = reader_share(MODEL_REPOSITORY / "reranker" / "1")
    searches = load(data, run, QUESTIONS)
    missed = [found for one in searches if one.source == "squad" and (found := without_answer(one)) is not None]
    rows = [row for one in [*searches, *missed] if (row := decide(one, weight, config, reader, lexical, idf)) is not None]
    config |= fit(rows)
    path.write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    metrics = grade(rows, config)
    fitted = {name: config[name] for name in ("searched", "searched_threshold")}
    print(json.dumps({**fitted, "test": metrics}, indent=1), flush=True)
    return metrics


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    tune(DataFolder(arguments.parse_args().data), Run("reader_served"))
