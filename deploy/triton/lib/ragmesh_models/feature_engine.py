"""The engine `lexical`: a listwise network over lexical features, and a small network over candidate spans.

It reads counts and ratios only (`features`, `spans`), takes a millisecond or two, and is what every larger engine falls back to.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ragmesh_models import spans
from ragmesh_models.definitions import FILE as DEFINITIONS
from ragmesh_models.definitions import DefinitionScorer
from ragmesh_models.engine import Ranking, Reading, Scored, ShortAnswer, is_real_sentence, sigmoid
from ragmesh_models.features import Candidate, FeatureReader
from ragmesh_models.lexical import IdfTable
from ragmesh_models.runtime import open_graph

FILES = ("ranker.onnx", "span.onnx", "answerer.json", "idf.bin", DEFINITIONS)
_MOST_SPANS = 24  # best sentences (and the one before each) whose short answers are looked for


class LexicalEngine:
    """The exported networks with their calibration."""

    def __init__(self, folder: Path, idf: IdfTable, threads: int = 1) -> None:
        self._ranker = open_graph(folder / "ranker.onnx", threads)
        self._spans = open_graph(folder / "span.onnx", threads)
        self.graphs = [self._ranker, self._spans]
        self._config = json.loads((folder / "answerer.json").read_text(encoding="utf-8"))
        self._definitions = DefinitionScorer.load(folder)
        self._idf = idf

    def _calibrated(self, name: str, logit: float) -> float:
        return sigmoid(self._config[name]["scale"] * logit + self._config[name]["shift"])

    def rank(self, reading: Reading) -> Ranking:
        threshold, span_threshold = float(self._config["threshold"]), float(self._config["span_threshold"])
        reader = FeatureReader(reading.question, reading.passages, self._idf)
        if not reader.candidates:
            return Ranking(0.0, threshold, span_threshold, [], None)
        kind = np.array([reading.question.kind], dtype=np.int64)
        found = self._ranker.run({"features": reader.matrix(), "kind": kind})
        scores = found["scores"]
        if gains := [self._definitions.score(described) for described in reader.definitions()]:
            scores = scores + np.array(gains, dtype=np.float32)
        support = [self._calibrated("support", float(logit)) for logit in found["support"]]
        shorts = self._shorts(reading, reader.candidates, np.argsort(-scores, kind="stable").tolist())
        sentences = [
            Scored(candidate, float(scores[n]), support[n], shorts.get(n)) for n, candidate in enumerate(reader.candidates)
        ]
        # A span is judged in sight of its sentence only; how good the sentence is says the other network.
        likely = [(short.probability * support[n], short) for n, short in shorts.items() if is_real_sentence(reader.candidates[n])]
        best = max(likely, key=lambda pair: pair[0], default=None)
        whole = ShortAnswer(best[1].passage, best[1].start, best[1].end, best[0]) if best else None
        return Ranking(self._calibrated("decision", float(found["answerable"][0])), threshold, span_threshold, sentences, whole)

    def _shorts(self, reading: Reading, candidates: list[Candidate], order: list[int]) -> dict[int, ShortAnswer]:
        """Index of a candidate -> its best short answer. All spans of all sentences are scored in one run."""
        wanted = sorted({n for best in order[:_MOST_SPANS] for n in (best, best - 1) if n >= 0})
        proposed = {n: spans.propose(reading.body(candidates[n]), reading.question) for n in wanted}
        proposed = {n: found for n, found in proposed.items() if found}
        if not proposed:
            return {}
        rows = [spans.describe(reading.body(candidates[n]), found, reading.question) for n, found in proposed.items()]
        logits = self._spans.run({"spans": np.concatenate(rows)})["logits"]
        result, at = {}, 0
        for n, found in proposed.items():
            part = logits[at : at + len(found)]
            at += len(found)
            best, start = int(np.argmax(part)), candidates[n].start
            probability = sigmoid(float(part[best]))
            result[n] = ShortAnswer(candidates[n].passage, start + found[best].start, start + found[best].end, probability)
        return result
