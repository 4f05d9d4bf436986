"""Chooses the sentences that answer a question, and says how likely the passages hold the answer at all.

`Reading` is filled passage by passage, so that a caller can stop between two; `Answerer.decide` does the rest at once. All ranges
that leave this module are UTF-8 bytes of the passage. It does not know Triton.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ragmesh_models import spans
from ragmesh_models.features import Candidate, FeatureReader, Passage, read_passage
from ragmesh_models.lexical import IdfTable
from ragmesh_models.questions import Question, read_question
from ragmesh_models.sentences import SentenceKind
from ragmesh_models.tokens import byte_positions

MAX_PASSAGES = 64
MAX_TEXT_BYTES = 64 * 1024
MAX_QUESTION_BYTES = 8 * 1024
MAX_SENTENCES = 16
NO_RANGE = (-1, -1)
# A further sentence must be nearly as good as the best, and say something else.
_NEAR_BEST = 0.4
_DUPLICATE = 0.6


@dataclass(frozen=True)
class Chosen:
    """One sentence of the answer."""

    score: float
    passage: int
    sentence: tuple[int, int]
    span: tuple[int, int]


@dataclass(frozen=True)
class Decision:
    score: float
    threshold: float
    sentences: list[Chosen]


@dataclass
class Reading:
    """The passages read so far."""

    question: Question
    texts: list[str] = field(default_factory=list)
    passages: list[Passage] = field(default_factory=list)

    def add(self, text: str, title: str) -> None:
        self.passages.append(read_passage(text, title, len(self.passages)))
        self.texts.append(text)


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-max(-40.0, min(40.0, x))))


def is_real_sentence(candidate: Candidate) -> bool:
    """Neither a heading, a table row, a question, nor a bullet without a verb."""
    _, _, asks, verb, *_ = candidate.flags
    if asks or candidate.kind in (SentenceKind.HEADING, SentenceKind.TABLE) or len(candidate.words.stems) < 3:
        return False
    return candidate.kind is SentenceKind.PROSE or bool(verb)


def _alike(a: Candidate, b: Candidate) -> bool:
    mine, other = set(a.counts), set(b.counts)
    return len(mine & other) > _DUPLICATE * max(1, min(len(mine), len(other)))


class Answerer:
    """The exported network with its calibration and its background frequencies."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        providers = ["CPUExecutionProvider"]
        self._ranker = onnxruntime.InferenceSession(str(folder / "ranker.onnx"), options, providers=providers)
        self._spans = onnxruntime.InferenceSession(str(folder / "span.onnx"), options, providers=providers)
        self._config = json.loads((folder / "answerer.json").read_text(encoding="utf-8"))
        self._idf = IdfTable.load(folder / "idf.bin")

    @staticmethod
    def files(folder: Path) -> list[Path]:
        """What the model loads, for its digest."""
        return [folder / name for name in ("ranker.onnx", "span.onnx", "answerer.json", "idf.bin")]

    @property
    def threshold(self) -> float:
        return float(self._config["threshold"])

    def start(self, question: str) -> Reading:
        return Reading(read_question(question, self._idf))

    def _calibrated(self, name: str, logit: float) -> float:
        return _sigmoid(self._config[name]["scale"] * logit + self._config[name]["shift"])

    def decide(self, reading: Reading, max_sentences: int) -> Decision:
        """The decision over everything that was read; without a single candidate it is 0 and empty."""
        reader = FeatureReader(reading.question, reading.passages, self._idf)
        if not reader.candidates:
            return Decision(0.0, self.threshold, [])
        kind = np.array([reading.question.kind], dtype=np.int64)
        scores, support, answerable = self._ranker.run(None, {"features": reader.matrix(), "kind": kind})
        chosen = self._choose(reader.candidates, scores, max_sentences)
        score = self._calibrated("decision", float(answerable[0]))
        positions = {i: byte_positions(reading.texts[i]) for i in {reader.candidates[n].passage for n in chosen}}
        sentences = []
        for n in chosen:
            candidate = reader.candidates[n]
            at = positions[candidate.passage]
            place = (int(at[candidate.start]), int(at[candidate.end]))
            body = reading.texts[candidate.passage][candidate.start : candidate.end]
            # A short answer is shown only where the passages hold one at all.
            short = self._short_answer(body, reading.question) if score >= self.threshold else None
            span = (int(at[candidate.start + short[0]]), int(at[candidate.start + short[1]])) if short else NO_RANGE
            sentences.append(Chosen(self._calibrated("support", float(support[n])), candidate.passage, place, span))
        return Decision(score, self.threshold, sentences)

    def _short_answer(self, sentence: str, question: Question) -> tuple[int, int] | None:
        """Characters of the sentence, when one candidate is sure enough."""
        found = spans.propose(sentence, question)
        if not found:
            return None
        (logits,) = self._spans.run(None, {"spans": spans.describe(sentence, found, question)})
        best = int(np.argmax(logits))
        if _sigmoid(float(logits[best])) < float(self._config["span_threshold"]):
            return None
        return found[best].start, found[best].end

    def _choose(self, candidates: list[Candidate], scores: NDArray[np.float32], most: int) -> list[int]:
        """Indices best first; the sentence that the best one leans on comes before it."""
        real = [n for n, candidate in enumerate(candidates) if is_real_sentence(candidate)]
        order = sorted(real or range(len(candidates)), key=lambda n: -float(scores[n]))
        best = order[0]
        chosen = [best]
        if most > 1 and candidates[best].is_pronoun_led and best > 0:
            before = candidates[best - 1]
            if before.passage == candidates[best].passage and is_real_sentence(before):
                chosen.insert(0, best - 1)
        floor = float(scores[best]) + math.log(_NEAR_BEST)
        for n in order[1:]:
            if len(chosen) >= most or float(scores[n]) < floor:
                break
            if n not in chosen and not any(_alike(candidates[n], candidates[other]) for other in chosen):
                chosen.append(n)
        return chosen[:most]
