"""Weighs the joint reader against the feature scorer, calibrates what comes out, and sets the thresholds: writes reader.json.

Everything is fitted on the tuning half of the held-out articles, over lists of passages as a search hands them over, with the
exported int8 graph. The other half is what the card reports.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ragmesh_models.engine import Reading as Read
from ragmesh_models.engine import is_real_sentence
from ragmesh_models.feature_engine import LexicalEngine
from ragmesh_models.features import FeatureReader
from ragmesh_models.lexical import IdfTable
from ragmesh_models.questions import read_question
from ragmesh_models.reader_engine import Evidence, decision_features, gather, span_features, weigh
from ragmesh_models.reading import Reader

from training import MODEL_REPOSITORY, answerer_data
from training.answerer_data import Asked, Pool
from training.measures import auroc
from training.progress import Run
from training.sources import DataFolder
from training.span_recipe import plain, threshold_for
from training.splits import title_key

SEED = 20260721
FOLDER = MODEL_REPOSITORY / "answerer" / "1"
TOKENIZER = MODEL_REPOSITORY / "tokenizer" / "1" / "tokenizer.json"
MOST_LISTS = 2_400  # of each half
REFUSED_SHARE = 0.08  # of the answerable questions of the tuning half
WANTED_PRECISION = 0.8  # of short answers that are shown, word for word
# How much the reranker's order of the passages counts between sentences. The lists here have no reranker; chosen on searches over
# the 20,000 paragraphs of dev_sets (JOURNAL, joint reader).
FOUND = 1.0
UNFITTED = {
    "sentence": [1.0, 0.3], "decision": [1.0, 0, 0, 0, 0, 0, 0, 0], "span": [1.0, 0, 0, 0], "support": [1.0, 0, 0],
    "span_sentence": 1.0, "threshold": 0.5, "span_threshold": 0.5, "found": FOUND,
}  # fmt: skip


@dataclass(frozen=True)
class Listed:
    """One list with what both models say and what is right."""

    source: str
    case: str
    evidence: Evidence
    gold: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    real: NDArray[np.bool_]
    answers: frozenset[str]  # normalised short answers
    texts: list[str]


def read_list(pool: Pool, asked: Asked, case: str, rng: random.Random, reader: Reader, lexical: LexicalEngine) -> Listed | None:
    chosen, use_titles = pool.choose(asked, case, rng)
    if not chosen:
        return None
    read = Read(read_question(asked.row.question, pool.idf))
    for i in chosen:
        read.add(pool.texts[i], pool.titles[i] if use_titles else "")
    features = FeatureReader(read.question, read.passages, pool.idf)
    gold, ignored = (np.zeros(len(features.candidates), dtype=bool) for _ in range(2))
    if case == "answerable":
        pool.mark(asked, chosen, features, gold, ignored)
    ranking = lexical.rank(read)
    if not ranking.sentences or (case == "answerable" and not gold.any()):
        return None
    answers = frozenset(plain(asked.row.passage[a:b]) for a, b in asked.row.answers) if asked.row.spans else frozenset()
    real = np.array([is_real_sentence(one.candidate) for one in ranking.sentences])
    return Listed(asked.row.source, case, gather(reader, ranking, read), gold, ignored, real, answers, read.texts)


def lists_of(pool: Pool, half: int, reader: Reader, lexical: LexicalEngine, run: Run) -> list[Listed]:
    rng = random.Random(SEED + half)
    asked = [one for one in pool.asked if len(title_key(one.row.title)) % 2 == half]
    rng.shuffle(asked)
    found: list[Listed] = []
    for one in asked:
        cases = ["answerable" if one.answers else "impossible"]
        if rng.random() < 0.5:
            cases.append("elsewhere")
        for case in cases:
            listed = read_list(pool, one, case, rng, reader, lexical)
            if listed is not None:
                found.append(listed)
        run.say(len(found), MOST_LISTS, f"lists of half {half} read")
        if len(found) >= MOST_LISTS:
            break
    return found


def best_sentence(one: Listed, weights: Sequence[float]) -> int:
    scores = weigh(one.evidence, weights)
    return int(np.where(one.real, scores, scores - 50).argmax())


def right_share(lists: Sequence[Listed], weights: Sequence[float]) -> float:
    """Share of the answerable lists whose best sentence holds the answer; each source counts the same."""
    by_source: dict[str, list[bool]] = {}
    for one in lists:
        if one.gold.any():
            best = best_sentence(one, weights)
            if not one.ignored[best]:
                by_source.setdefault("squad" if "squad" in one.source else one.source, []).append(bool(one.gold[best]))
    return float(np.mean([np.mean(marks) for marks in by_source.values()]))


def fit_linear(features: NDArray[np.float64], labels: NDArray[np.float64], decay: float = 1e-3) -> list[float]:
    """Logistic regression with its bias last, by L-BFGS on standardised columns."""
    mean, scale = features.mean(0), features.std(0) + 1e-6
    x, y = torch.from_numpy((features - mean) / scale), torch.from_numpy(labels)
    weights = torch.zeros(features.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights], max_iter=300, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        logits = x @ weights[:-1] + weights[-1]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, y) + decay * (weights[:-1] ** 2).sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    found = weights.detach().numpy()
    own = found[:-1] / scale
    return [round(float(w), 5) for w in own] + [round(float(found[-1] - (own * mean).sum()), 5)]


def _probabilities(weights: Sequence[float], features: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-(features @ np.array(weights[:-1]) + weights[-1]))))


def _decisions(lists: Sequence[Listed], weights: Sequence[float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rows = [decision_features(one.evidence, weigh(one.evidence, weights)) for one in lists]
    return np.array(rows), np.array([one.case == "answerable" for one in lists], dtype=np.float64)


@dataclass(frozen=True)
class BestSpans:
    """Each list's best short answer; lists whose answer is a whole sentence are left out."""

    features: NDArray[np.float64]  # (n, 3)
    right: NDArray[np.float64]  # (n,)
    answerable: NDArray[np.bool_]  # (n,)
    answered: NDArray[np.bool_]  # (n,) at the threshold

    def likely(self, weights: Sequence[float]) -> NDArray[np.float64]:
        return _probabilities(weights, self.features)


def _best_spans(lists: Sequence[Listed], config: dict[str, Any], decided: NDArray[np.float64]) -> BestSpans:
    rows, right, answerable, answered = [], [], [], []
    for one, likely in zip(lists, decided, strict=True):
        if one.case == "answerable" and not one.answers:
            continue
        scores = weigh(one.evidence, config["sentence"])
        sums = [(span[0] + config["span_sentence"] * scores[n], n) for n, span in enumerate(one.evidence.spans) if span is not None]
        if not sums:
            continue
        n = max(sums)[1]
        span = one.evidence.spans[n]
        assert span is not None
        rows.append(span_features(span[0], float(scores[n]), float(likely)))
        right.append(one.case == "answerable" and plain(one.texts[span[1]][span[2] : span[3]]) in one.answers)
        answerable.append(one.case == "answerable")
        answered.append(likely >= config["threshold"])
    return BestSpans(np.array(rows), np.array(right, dtype=np.float64), np.array(answerable), np.array(answered))


def fit(lists: list[Listed]) -> dict[str, Any]:
    """reader.json from the tuning half."""
    config: dict[str, Any] = dict(UNFITTED)
    grid = [(1.0, share) for share in (0.0, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0, 1.5)] + [(0.0, 1.0)]
    config["sentence"] = list(max(grid, key=partial(right_share, lists)))
    features, labels = _decisions(lists, config["sentence"])
    config["decision"] = fit_linear(features, labels)
    decided = _probabilities(config["decision"], features)
    counted = np.array([one.case == "answerable" and one.source != "medquad" for one in lists])
    config["threshold"] = round(float(np.quantile(decided[counted], REFUSED_SHARE)), 4)
    config["span_sentence"] = max(
        (0.0, 0.25, 0.5, 1.0, 1.5),
        key=lambda weight: float(_best_spans(lists, {**config, "span_sentence": weight}, decided).right.mean()),
    )
    best = _best_spans(lists, config, decided)
    config["span"] = fit_linear(best.features, best.right)
    # Precision is promised where there is an answer to show; how often one is shown where there is none, the card says.
    held = best.answerable & best.answered
    pairs = np.stack([best.likely(config["span"])[held], best.right[held]], 1)
    config["span_threshold"] = round(threshold_for(pairs, WANTED_PRECISION), 4)
    support, good = _supports(lists, config["sentence"], decided)
    config["support"] = fit_linear(support, good)
    return config


def _supports(
    lists: Sequence[Listed], weights: Sequence[float], decided: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The three best sentences of each list: score and the list's answerability, and whether they are right."""
    rows, right = [], []
    for one, answerable in zip(lists, decided, strict=True):
        scores = weigh(one.evidence, weights)
        bounded = min(1 - 1e-6, max(1e-6, float(answerable)))
        for n in np.argsort(-scores)[:3]:
            rows.append([float(scores[n]), float(np.log(bounded / (1 - bounded)))])
            right.append(bool(one.gold[n]))
    return np.array(rows), np.array(right, dtype=np.float64)


def grade(lists: list[Listed], config: dict[str, Any]) -> dict[str, Any]:
    """What the card reports, beside the feature scorer alone."""
    features, labels = _decisions(lists, config["sentence"])
    decided = _probabilities(config["decision"], features)
    result: dict[str, Any] = {}
    for source in sorted({one.source for one in lists}):
        part = [(one, p) for one, p in zip(lists, decided, strict=True) if one.source == source]
        asked = [one for one, _ in part if one.gold.any()]
        row: dict[str, Any] = {"questions": len(asked)}
        for name, weights in (("right_sentence", config["sentence"]), ("feature_scorer", (0.0, 1.0)), ("reader_alone", (1.0, 0.0))):
            row[name] = round(float(np.mean([one.gold[best_sentence(one, weights)] for one in asked])), 4) if asked else None
        for case in ("answerable", "impossible", "elsewhere"):
            inside = [p >= config["threshold"] for one, p in part if one.case == case]
            if inside:
                row[f"answered_{case}"] = round(float(np.mean(inside)), 4)
        result[source] = row
    yes, no = decided[labels == 1], decided[labels == 0]
    lexical = np.array([one.evidence.lexical.answerable for one in lists])
    told = round(auroc(lexical[labels == 1], lexical[labels == 0]), 4)
    result["answerability"] = {"auc": round(auroc(yes, no), 4), "feature_scorer_auc": told, "lists": len(lists)}
    best = _best_spans(lists, config, decided)
    shown = (best.likely(config["span"]) >= config["span_threshold"]) & best.answered
    held, sure = best.answerable, best.answerable & shown
    result["short_answers"] = {
        "questions": int(held.sum()),
        "right": round(float(best.right[held].mean()), 4),
        "coverage": round(float(shown[held].mean()), 4),
        "precision": round(float(best.right[sure].mean()), 4) if sure.any() else None,
        "shown_without_answer": round(float(shown[~held].mean()), 4),
    }
    return result


def calibrate(data: DataFolder, run: Run) -> dict[str, Any]:
    """Fits reader.json beside reader.onnx; -> the figures of the test half."""
    torch.set_num_threads(1)
    if not (FOLDER / "reader.json").is_file():
        (FOLDER / "reader.json").write_text(json.dumps(UNFITTED), encoding="utf-8")
    idf = IdfTable.load(FOLDER / "idf.bin")
    reader = Reader.open(FOLDER, TOKENIZER)
    assert reader is not None
    lexical = LexicalEngine(FOLDER, idf)
    _, held = answerer_data.pools(data, idf)
    config = fit(lists_of(held, 0, reader, lexical, run))
    (FOLDER / "reader.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    metrics = grade(lists_of(held, 1, reader, lexical, run), config)
    print(json.dumps({"config": config, "test": metrics}, indent=1), flush=True)
    return {"config": config, "test": metrics}


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, required=True)
    calibrate(DataFolder(arguments.parse_args().data), Run("reader_calibrate"))
