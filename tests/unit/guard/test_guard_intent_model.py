"""The trained head beside the phrases: who decides, and what is said when the model is not heard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from ragmesh.evidence.v1.model_pb2 import ModelRef
from ragmesh.evidence.v1.text_pb2 import Intent

from services.guard.understanding.intent_model import InProcess, IntentModel
from services.guard.understanding.intents import MAX_CHARACTERS
from services.mesh.errors import MeshError
from tests.unit.guard.guard_parts import sure

LABELS = [b"question", b"greeting", b"thanks", b"goodbye", b"identity", b"capabilities", b"wellbeing"]
QUESTION, GREETING, THANKS = Intent.INTENT_QUESTION, Intent.INTENT_GREETING, Intent.INTENT_THANKS


class Recorded:
    """A model that says what it is told to, or fails as it is told to, and remembers what it was asked."""

    def __init__(self, *probabilities: float, threshold: float = 0.5, failure: str = "", **broken: Any) -> None:
        self.answer: dict[str, NDArray[Any]] = {
            "probabilities": np.array([probabilities or (1, 0, 0, 0, 0, 0, 0)], dtype=np.float32),
            "labels": np.array([LABELS], dtype=np.object_),
            "threshold": np.array([[threshold]], dtype=np.float32),
            **broken,
        }
        self.failure = failure
        self.asked: list[tuple[str, float]] = []

    async def infer(
        self, model: str, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str], *, timeout: float
    ) -> dict[str, NDArray[Any]]:
        self.asked.append((inputs["text"][0][0].decode(), timeout))
        if self.failure:
            raise MeshError(self.failure, "as told", metadata={"model": model})
        return {name: self.answer[name] for name in outputs if name in self.answer}

    async def model_ref(self, model: str, inputs: Mapping[str, NDArray[Any]], *, timeout: float) -> ModelRef:
        if self.failure:
            raise MeshError(self.failure, "as told", metadata={"model": model})
        return ModelRef(name=model)


def head(recorded: Recorded) -> IntentModel:
    return IntentModel(recorded, InProcess(sure()), seconds=0.05, probe_seconds=1.0)


@pytest.mark.parametrize(
    ("probabilities", "phrases", "wanted"),
    [
        ((0.1, 0.9, 0, 0, 0, 0, 0), QUESTION, GREETING),
        ((0.1, 0.3, 0.6, 0, 0, 0, 0), GREETING, THANKS),
        ((0.45, 0.55, 0, 0, 0, 0, 0), QUESTION, GREETING),
        ((0.55, 0.45, 0, 0, 0, 0, 0), QUESTION, QUESTION),
        ((0.99, 0.01, 0, 0, 0, 0, 0), GREETING, GREETING),
    ],
    ids=["the model alone", "the model is sure of another", "just sure", "not sure", "the phrases know another language"],
)
async def test_the_model_decides_where_it_is_sure(
    probabilities: tuple[float, ...], phrases: Intent.ValueType, wanted: Intent.ValueType
) -> None:
    recorded = Recorded(*probabilities)
    found = await head(recorded).understand("hello", phrases)
    assert (found.intent, found.degraded) == (wanted, "")
    assert recorded.asked == [("hello", 0.05)]


@pytest.mark.parametrize(
    "text", ["", "x" * (MAX_CHARACTERS + 1), "Does cannabidiol interact with beta blockers?", "hello " * 25], ids=range(4)
)
async def test_what_cannot_be_small_talk_is_not_asked(text: str) -> None:
    recorded = Recorded(failure="MODEL_UNAVAILABLE")
    found = await head(recorded).understand(text, QUESTION)
    assert (found.intent, found.degraded, recorded.asked) == (QUESTION, "", [])


@pytest.mark.parametrize("reason", ["MODEL_UNAVAILABLE", "DEADLINE_EXCEEDED"])
async def test_without_the_model_the_phrases_decide_and_the_reason_is_said(reason: str) -> None:
    found = await head(Recorded(failure=reason)).understand("hi", GREETING)
    assert (found.intent, found.degraded, found.model) == (GREETING, reason, None)


async def test_a_model_that_is_lost_is_not_waited_for_until_it_is_back() -> None:
    recorded = Recorded(0.1, 0.9, 0, 0, 0, 0, 0, failure="DEADLINE_EXCEEDED")
    model = head(recorded)
    assert not await model.probe()
    assert (await model.understand("hi", QUESTION)).degraded == "DEADLINE_EXCEEDED"
    assert recorded.asked == []
    recorded.failure = ""
    assert await model.probe()
    found = await model.understand("hi", QUESTION)
    assert (found.intent, found.degraded, found.model) == (GREETING, "", ModelRef(name="intent"))


@pytest.mark.parametrize(
    "broken",
    [
        {
            "labels": np.array([[b"question", b"insult"]], dtype=np.object_),
            "probabilities": np.array([[0.1, 0.9]], dtype=np.float32),
        },
        {"labels": np.array([[b"greeting"]], dtype=np.object_)},
        {"labels": np.array([LABELS[:5]], dtype=np.object_)},
        {"probabilities": np.full((1, 7), np.nan, dtype=np.float32)},
        {"threshold": np.zeros((0, 1), dtype=np.float32)},
    ],
    ids=["an intent of no contract", "no question", "labels are missing", "not a number", "no threshold"],
)
async def test_an_answer_that_is_none_is_a_lost_model(broken: dict[str, Any]) -> None:
    found = await head(Recorded(**broken)).understand("hi", GREETING)
    assert (found.intent, found.degraded) == (GREETING, "MODEL_UNAVAILABLE")
