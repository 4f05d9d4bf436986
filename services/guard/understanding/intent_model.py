"""The trained head that tells small talk from questions, in Triton, behind one typed function; phrases stand in where it is not.

Knows the model's tensors (deploy/triton/model_repository/intent); nothing of rules and assistants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from ragmesh.evidence.v1.model_pb2 import ModelRef
from ragmesh.evidence.v1.text_pb2 import Intent

from services.guard.understanding.intents import MAX_CHARACTERS
from services.guard.understanding.obvious import Obvious
from services.mesh.errors import MeshError

MODEL = "intent"
_OUTPUTS = ("probabilities", "labels", "threshold")
_QUESTION = b"question"
_PROBE = "hello"


class InferenceClient(Protocol):
    """What is needed of `services.mesh.triton.TritonClient`."""

    async def infer(
        self, model: str, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str], *, timeout: float
    ) -> dict[str, NDArray[Any]]:
        """One inference."""
        ...

    async def model_ref(self, model: str, inputs: Mapping[str, NDArray[Any]], *, timeout: float) -> ModelRef:
        """What a model says it is."""
        ...


@dataclass(frozen=True, slots=True)
class Understood:
    """What an utterance is for."""

    intent: Intent.ValueType
    model: ModelRef | None = None
    """The model that was asked, where it said who it is."""
    degraded: str = ""
    """Reason why the model was not heard; empty where it was, or was not needed."""


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
        seconds: longest wait for it; a visitor waits that long at most for what the phrases know too.
        probe_seconds: longest wait of a probe.
    """

    def __init__(self, client: InferenceClient, *, seconds: float, probe_seconds: float) -> None:
        self._client = client
        self._seconds = seconds
        self._probe_seconds = probe_seconds
        self._obvious = Obvious()
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
        """What `text` is for. Small talk that the model is sure of; else what the phrases say, which know more languages."""
        # What the model would not read, it is not asked: nearly every question.
        if not 0 < len(text) <= MAX_CHARACTERS or self._obvious.question(text):
            return Understood(by_phrases)
        if self._lost:
            return Understood(by_phrases, degraded=self._lost)
        try:
            found = _surest(await self._client.infer(MODEL, _tensor(text), _OUTPUTS, timeout=self._seconds))
        except MeshError as failure:
            return Understood(by_phrases, degraded=failure.reason)
        return Understood(by_phrases if found == Intent.INTENT_QUESTION else found, self._known)
