"""The trained head that tells small talk from questions, in Triton, behind one typed function; phrases stand in where it is not.

Knows the model's tensors (deploy/triton/model_repository/intent); nothing of rules and assistants.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ragmesh.evidence.v1.model_pb2 import ModelRef
from ragmesh.evidence.v1.text_pb2 import Intent

from services.guard.understanding.intents import MAX_CHARACTERS
from services.guard.understanding.obvious import Obvious
from services.guard.understanding.sure import QUESTION, Guess, Sure
from services.mesh.errors import MeshError
from services.mesh.inference import InferenceClient

MODEL = "intent"
_OUTPUTS = ("probabilities", "labels", "threshold")
_QUESTION = QUESTION.encode()
_PROBE = "hello"


@dataclass(frozen=True, slots=True)
class Understood:
    """What an utterance is for."""

    intent: Intent.ValueType
    model: ModelRef | None = None
    """The model that was asked, where it said who it is."""
    degraded: str = ""
    """Reason why the model was not heard; empty where it was, or was not needed."""
    guess: Guess | None = None
    """Of the classifier in this process, where it read the text."""


@dataclass(frozen=True, slots=True)
class Here:
    """What this process alone makes of an utterance."""

    intent: Intent.ValueType
    certain: bool
    """Whether the model need not be asked."""
    guess: Guess | None = None


class InProcess:
    """Phrases for the obvious, then the classifier in this process.

    Args:
        sure: the classifier.
    """

    def __init__(self, sure: Sure) -> None:
        self._sure = sure
        self._obvious = Obvious()

    def understand(self, text: str, by_phrases: Intent.ValueType) -> Here:
        """What `text` is for. Its small talk is less exact than the model's, and counts where nobody knows better."""
        # What the model would not read, it is not asked: nearly every question.
        if not 0 < len(text) <= MAX_CHARACTERS or self._obvious.question(text):
            return Here(by_phrases, True)
        guess = self._sure.understand(text)
        if by_phrases != Intent.INTENT_QUESTION or not guess.intent:
            return Here(by_phrases, False, guess)
        return Here(Intent.Value(f"INTENT_{guess.intent.upper()}"), guess.intent == QUESTION, guess)


def _tensor(text: str) -> dict[str, NDArray[Any]]:
    return {"text": np.array([[text.encode()]], dtype=np.object_)}


def _surest(answer: Mapping[str, NDArray[Any]]) -> Intent.ValueType:
    """The kind of small talk that the model is sure of, else INTENT_QUESTION."""
    try:
        probabilities = answer["probabilities"].reshape(-1)
        labels: list[bytes] = answer["labels"].reshape(-1).tolist()
        threshold = float(answer["threshold"].reshape(-1)[0])
        question = labels.index(_QUESTION)
        if len(labels) != len(probabilities) or not np.isfinite(probabilities).all():
            raise ValueError("not one probability a label")
        if 1 - probabilities[question] < threshold:
            return Intent.INTENT_QUESTION
        best = max((index for index in range(len(labels)) if index != question), key=lambda index: float(probabilities[index]))
        return Intent.Value(f"INTENT_{labels[best].decode().upper()}")
    except (KeyError, ValueError, IndexError):
        text = f"the model {MODEL} answered with something else than it should"
        raise MeshError("MODEL_UNAVAILABLE", text, metadata={"model": MODEL}) from None


class IntentModel:
    """Asks the model.

    Args:
        here: what this process knows without the model.
        seconds: longest wait for it; a visitor waits that long at most for what the phrases know too.
        probe_seconds: longest wait of a probe.
    """

    def __init__(self, client: InferenceClient, here: InProcess, *, seconds: float, probe_seconds: float) -> None:
        self._client = client
        self._here = here
        self._seconds = seconds
        self._probe_seconds = probe_seconds
        self._known: ModelRef | None = None
        self._lost = ""

    async def probe(self) -> bool:
        """Whether the model answers. While it does not, `understand` no longer asks it."""
        try:
            self._known = await self._client.model_ref(MODEL, _tensor(_PROBE), timeout=self._probe_seconds)
            self._lost = ""
        except MeshError as failure:
            self._known, self._lost = None, failure.reason
        return not self._lost

    async def understand(self, text: str, by_phrases: Intent.ValueType) -> Understood:
        """What `text` is for: a question that this process is sure of; small talk that the model is sure of; else what the phrases
        say, which know more languages, and where the model is not heard the classifier beside them.
        """
        here = self._here.understand(text, by_phrases)
        if here.certain:
            return Understood(here.intent, guess=here.guess)
        if self._lost:
            return Understood(here.intent, degraded=self._lost, guess=here.guess)
        try:
            found = _surest(await self._client.infer(MODEL, _tensor(text), _OUTPUTS, timeout=self._seconds))
        except MeshError as failure:
            return Understood(here.intent, degraded=failure.reason, guess=here.guess)
        return Understood(by_phrases if found == Intent.INTENT_QUESTION else found, self._known, guess=here.guess)
