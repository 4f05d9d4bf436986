"""Weighs the joint reader against the feature scorer, calibrates what comes out, and sets the thresholds: writes reader.json.

Everything is fitted on the tuning half of the held-out articles, with the exported int8 graph, over the lists of `reader_evidence`.
How much the scorer and the search's order count is chosen with users' questions (NQ-oracle's tune half) in sight as well; no weight
is fitted on them. The other half is what the card reports. `passage_blend` runs first: lists are served in the reranker's order.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ragmesh_models.feature_engine import LexicalEngine
from ragmesh_models.lexical import IdfTable
from ragmesh_models.ranking import reader_share
from ragmesh_models.reader_engine import decision_features, span_features, weigh

from training import ANSWERER, MODEL_REPOSITORY, answerer_data
from training.measures import auroc
from training.progress import Run
from training.reader_data import held_examples
from training.reader_evidence import MOST_LISTS, Listed, alone, lists_of, served, users_examples
from training.reader_served import load, open_reader
from training.sources import DataFolder
from training.span_recipe import plain, threshold_for
from training.synthetic import word_f1

QUESTIONS = 200  # of each source and half that are searched for
REFUSED_SHARE = 0.04  # of the tuning questions whose answer stands in what was served
WANTED_PRECISION = 0.9  # of short answers that are shown, word for word
SHARES = (0.6, 0.8, 1.0, 1.5)  # of the feature scorer; less lost SQuAD's sentences more than chance does
# Added to the log odds that a passage alone answers. None below: -1.2 refuses a third of the questions that it answers.
ALONE = (0.0, -0.2, -0.4, -0.6, -0.8, -1.0, -1.2)
SPANS = (0.0, 0.1)  # of a sentence's best span; two tenths lost SQuAD .8 (-1.6 to -0.1)
ORDERS = (0.0, 0.3, 0.6, 1.0, 1.5, 2.0, 3.0)  # of the search's order of the passages
UNFITTED = {
    "sentence": [1.0, 0.3], "decision": [1.0, 0, 0, 0, 0, 0, 0, 0], "span": [1.0, 0, 0, 0], "support": [1.0, 0, 0],
    "span_sentence": 1.0, "threshold": 0.5, "span_threshold": 0.5, "found": 1.0, "alone": 0.0,
}  # fmt: skip


def best_sentence(one: Listed, weights: Sequence[float], found: float = 0.0) -> int:
    """Index of the sentence that would be shown; `found`: how much the search's order of the passages counts."""
    scores = weigh(one.evidence, weights) + found * one.evidence.found
    return int(np.where(one.real, scores, scores - 50).argmax())


def _kind(source: str) -> str:
    return source if source.startswith("served") or "squad" not in source else "squad"


def right_share(lists: Sequence[Listed], weights: Sequence[float], found: float) -> float:
    """Share of the answerable lists whose best sentence holds the answer. A source counts by the root of how many questions it
    has: by itself it would drown the others, or a dozen questions of one would choose for all."""
    by_source: dict[str, list[bool]] = {}
    for one in lists:
        if one.case == "answerable":
            best = best_sentence(one, weights, found)
            if not one.ignored[best] or one.source.startswith("served"):
                by_source.setdefault(_kind(one.source), []).append(bool(one.gold[best] or one.ignored[best]))
    shares = [float(np.mean(marks)) for marks in by_source.values()]
    return float(np.average(shares, weights=[len(marks) ** 0.5 for marks in by_source.values()]))


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


def fit(lists: list[Listed], looked_at: Sequence[Listed] = ()) -> dict[str, Any]:
    """reader.json from the tuning half; `looked_at` are lists that choose between shares and fit no weight."""
    config: dict[str, Any] = dict(UNFITTED)
    chosen = [*lists, *looked_at]
    mixes = [(1.0, share, span) for share in SHARES for span in SPANS]
    weights, order = (1.0, *config["sentence"][1:], 0.0), float(config["found"])
    for _ in range(2):
        order = max(ORDERS, key=lambda found: right_share(chosen, weights, found))
        weights = max(mixes, key=lambda mix: right_share(chosen, mix, order))
    config["found"] = order
    config["sentence"] = list(weights)
    features, labels = _decisions(lists, config["sentence"])
    config["decision"] = fit_linear(features, labels)
    decided = _probabilities(config["decision"], features)
    counted = [one for one in [*lists, *looked_at] if one.case == "answerable" and one.source.startswith("served")]
    believed = _probabilities(config["decision"], _decisions(counted, config["sentence"])[0])
    config["threshold"] = round(float(np.quantile(believed, REFUSED_SHARE)), 4)
    config["alone"] = _alone(lists, config, decided)
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


def _alone(lists: Sequence[Listed], config: dict[str, Any], decided: NDArray[np.float64]) -> float:
    """What is added to the log odds of a passage alone: what gives the tuning half the best word F1 as SQuAD 2.0 counts it."""
    marks: list[tuple[float, float, bool]] = []
    for one, likely in zip(lists, decided, strict=True):
        spans = [span for span in one.evidence.spans if span is not None]
        if one.source == "alone" and spans:
            best = max(spans)
            said = plain(one.texts[best[1]][best[2] : best[3]])
            marks.append(
                (_logit(float(likely)), max((word_f1(said, answer) for answer in one.answers), default=0.0), not one.answers)
            )
    if not marks:
        return 0.0
    odds, overlap, silent = (np.array(column, dtype=np.float64) for column in zip(*marks, strict=True))
    wanted = _logit(config["threshold"])
    return max(ALONE, key=lambda shift: float(np.where(odds + shift >= wanted, overlap, silent).mean()))


def _logit(probability: float) -> float:
    bounded = min(1 - 1e-6, max(1e-6, probability))
    return float(np.log(bounded / (1 - bounded)))


def _supports(
    lists: Sequence[Listed], weights: Sequence[float], decided: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The three best sentences of each list: score and the list's answerability, and whether they are right."""
    rows, right = [], []
    for one, answerable in zip(lists, decided, strict=True):
        scores = weigh(one.evidence, weights)
        for n in np.argsort(-scores)[:3]:
            rows.append([float(scores[n]), _logit(float(answerable))])
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
            best = [one.gold[best_sentence(one, weights, config["found"])] for one in asked]
            row[name] = round(float(np.mean(best)), 4) if asked else None
        for case in ("answerable", "impossible", "elsewhere", "missed"):
            inside = [
                _logit(p) + (config["alone"] if _is_alone(one) else 0.0) >= _logit(config["threshold"])
                for one, p in part
                if one.case == case
            ]
            if inside:
                row[f"answered_{case}"] = round(float(np.mean(inside)), 4)
        result[source] = row
    yes, no = decided[labels == 1], decided[labels == 0]
    lexical = np.array([one.evidence.lexical.answerable for one in lists])
    told = round(auroc(lexical[labels == 1], lexical[labels == 0]), 4)
    result["answerability"] = {"auc": round(auroc(yes, no), 4), "feature_scorer_auc": told, "lists": len(lists)}
    result["short_answers"] = {}
    for name, wanted in (("lists", _in_lists), ("alone", _is_alone), ("served", _is_served)):
        members = [n for n, one in enumerate(lists) if wanted(one)]
        if members:
            result["short_answers"][name] = _short_answers([lists[n] for n in members], decided[members], config)
    return result


def _is_alone(one: Listed) -> bool:
    return one.source.startswith("alone")


def _is_served(one: Listed) -> bool:
    return one.source.startswith("served")


def _in_lists(one: Listed) -> bool:
    return not _is_alone(one) and not _is_served(one)


def _short_answers(lists: Sequence[Listed], decided: NDArray[np.float64], config: dict[str, Any]) -> dict[str, Any]:
    best = _best_spans(lists, config, decided)
    shown = (best.likely(config["span"]) >= config["span_threshold"]) & best.answered
    held, sure = best.answerable, best.answerable & shown
    return {
        "questions": int(held.sum()),
        "right": round(float(best.right[held].mean()), 4),
        "coverage": round(float(shown[held].mean()), 4),
        "precision": round(float(best.right[sure].mean()), 4) if sure.any() else None,
        "shown_without_answer": round(float(shown[~held].mean()), 4) if (~held).any() else None,
    }


def calibrate(data: DataFolder, run: Run, most: int = MOST_LISTS) -> dict[str, Any]:
    """Fits reader.json beside reader.onnx; -> the figures of the test half."""
    torch.set_num_threads(1)
    if not (ANSWERER / "reader.json").is_file():
        (ANSWERER / "reader.json").write_text(json.dumps(UNFITTED), encoding="utf-8")
    idf = IdfTable.load(ANSWERER / "idf.bin")
    reader, lexical = open_reader(), LexicalEngine(ANSWERER, idf)
    _, held = answerer_data.pools(data, idf)
    examples = [one for one in held_examples(data) if one.source != "selqa"]
    searches = load(data, Run("reader_served"), QUESTIONS)
    weight = reader_share(MODEL_REPOSITORY / "reranker" / "1")
    found = served(searches, weight, reader, lexical, idf)
    halves = [
        lists_of(held, half, reader, lexical, run, most)
        + alone(examples, half, reader, lexical, idf, run)
        + [one for one in found if one.source == "served_squad" and one.tunes == (half == 0)]
        for half in (0, 1)
    ]
    users = [one for one in found if one.source == "served_users"]
    asked = users_examples(data)
    for half in (0, 1):
        users.extend(alone(asked, half, reader, lexical, idf, run, "alone_users"))
    config = fit(halves[0], [one for one in users if one.tunes])
    (ANSWERER / "reader.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    metrics = grade(halves[1] + [one for one in users if not one.tunes], config)
    print(json.dumps({"config": config, "test": metrics}, indent=1), flush=True)
    return {"config": config, "test": metrics}


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--lists", type=int, default=MOST_LISTS, help="of each half")
    parsed = arguments.parse_args()
    calibrate(DataFolder(parsed.data), Run("reader_calibrate"), parsed.lists)
