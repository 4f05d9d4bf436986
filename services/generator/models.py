"""The models that the generator uses, behind typed functions: the answerer and the tokenizer.

Knows their tensors (deploy/triton/model_repository); nothing of drafts.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from ragmesh.evidence.v1.evidence_pb2 import Evidence
from ragmesh.evidence.v1.model_pb2 import ModelRef

from services.mesh.errors import MeshError
from services.mesh.triton import TritonClient

ANSWERER = "answerer"
TOKENIZER = "tokenizer"
_OUTPUTS = ("kind", "score", "threshold", "passage", "sentence", "span", "span_score", "span_threshold", "shown")
_PROBE = Evidence(name="probe", text="Water boils at 100 degrees.", title_path=["Water"])


@dataclass(frozen=True, slots=True)
class Picked:
    """A response of the answerer."""

    kind: str
    """`decision` first, then `sentence`; before the best sentence perhaps `lead`, which it leans on."""
    score: float
    """Of a decision: probability that the passages hold the answer. Of a sentence: probability that it supports it."""
    threshold: float
    passage: int
    """Index of the passage. In a decision: that of the best short answer, -1 without one."""
    sentence: tuple[int, int]
    """UTF-8 bytes of that passage; (-1, -1) in a decision."""
    span: tuple[int, int] | None
    """The short answer, in bytes of that passage, where the model is sure enough of it to show it."""
    shown: bool = True
    """Whether a sentence is near enough to the best to be shown; after one that is not, none is."""


def _bytes(texts: Sequence[str]) -> NDArray[Any]:
    return np.array([text.encode() for text in texts], dtype=object)


def _inputs(question: str, evidence: Sequence[Evidence], max_sentences: int, engine: str) -> dict[str, NDArray[Any]]:
    def score(item: Evidence, name: str) -> float:
        return float(getattr(item.scores, name)) if item.scores.HasField(name) else math.nan  # type: ignore[arg-type]

    scores = [[score(item, "dense"), score(item, "sparse"), score(item, "fused")] for item in evidence]
    return {
        "question": _bytes([question]),
        "passages": _bytes([item.text for item in evidence]),
        "titles": _bytes([" > ".join(item.title_path) for item in evidence]),
        "retrieval_scores": np.array(scores, dtype=np.float32),
        "rerank_scores": np.array([score(item, "rerank") for item in evidence], dtype=np.float32),
        "max_sentences": np.array([max_sentences], dtype=np.int32),
        "engine": _bytes([engine]),
    }


def _picked(response: Mapping[str, NDArray[Any]]) -> Picked:
    if missing := [name for name in _OUTPUTS if name not in response]:
        text = f"the answerer answered without {', '.join(missing)}"
        raise MeshError("MODEL_UNAVAILABLE", text, metadata={"model": ANSWERER})
    begin, end = (int(value) for value in response["span"].reshape(-1))
    first, last = (int(value) for value in response["sentence"].reshape(-1))
    is_sure = float(response["span_score"].reshape(-1)[0]) >= float(response["span_threshold"].reshape(-1)[0])
    return Picked(
        kind=response["kind"].reshape(-1)[0].decode(),
        score=float(response["score"].reshape(-1)[0]),
        threshold=float(response["threshold"].reshape(-1)[0]),
        passage=int(response["passage"].reshape(-1)[0]),
        sentence=(first, last),
        span=(begin, end) if begin >= 0 and is_sure else None,
        shown=bool(response["shown"].reshape(-1)[0]),
    )


class Models:
    """Calls the models.

    Args:
        idle_seconds: silence after which the answerer counts as dead.
        probe_seconds: time for a probe.
        engine: which of the answerer's engines picks.
    """

    def __init__(self, triton: TritonClient, *, idle_seconds: float, probe_seconds: float, engine: str = "reader") -> None:
        self._triton = triton
        self._engine = engine
        self._idle_seconds = idle_seconds
        self._probe_seconds = probe_seconds
        self._refs: dict[str, ModelRef] = {}

    async def pick(
        self, question: str, evidence: Sequence[Evidence], max_sentences: int, *, timeout: float
    ) -> AsyncGenerator[Picked, None]:
        """What the answerer picks from the evidence: a decision, then sentences, those to show first. Closing stops it in Triton.

        Raises:
            MeshError: MODEL_UNAVAILABLE, DEADLINE_EXCEEDED.
        """
        inputs = _inputs(question, evidence, max_sentences, self._engine)
        stream = self._triton.stream(ANSWERER, inputs, _OUTPUTS, idle_timeout=self._idle_seconds, timeout=timeout)
        # Closed here, not when it happens to be collected: a reader that stops must stop the model.
        async with aclosing(cast(AsyncGenerator[dict[str, NDArray[Any]], None], stream)) as responses:
            async for response in responses:
                yield _picked(response)

    async def count(self, texts: Sequence[str], *, timeout: float) -> list[int]:
        """Number of tokens of each text.

        Raises:
            MeshError: MODEL_UNAVAILABLE, DEADLINE_EXCEEDED.
        """
        answer = await self._triton.infer(TOKENIZER, {"text": _bytes(texts)}, ["row_splits"], timeout=timeout)
        return [int(length) for length in np.diff(answer["row_splits"])]

    async def refs(self) -> list[ModelRef]:
        """Answerer and tokenizer as they name themselves, by a real inference each; then from memory until one fails.

        Raises:
            MeshError: MODEL_UNAVAILABLE, DEADLINE_EXCEEDED.
        """
        if len(self._refs) < 2:
            await self.probe()
        return [self._refs[ANSWERER], self._refs[TOKENIZER]]

    def known(self, model: str) -> ModelRef | None:
        """The model as it named itself in the last probe."""
        return self._refs.get(model)

    async def probe(self) -> None:
        """Ask each model something small and real.

        Raises:
            MeshError: MODEL_UNAVAILABLE, DEADLINE_EXCEEDED; also where the two do not share their tokenizer.
        """
        seconds = self._probe_seconds
        inputs = _inputs("When does water boil?", [_PROBE], 1, self._engine)
        try:
            answerer, tokenizer = await asyncio.gather(
                self._triton.model_ref(ANSWERER, inputs, timeout=seconds),
                self._triton.model_ref(TOKENIZER, {"text": _bytes(["water"])}, timeout=seconds),
            )
        except MeshError:
            self._refs.clear()
            raise
        if answerer.tokenizer_sha256 != tokenizer.tokenizer_sha256:
            text = "the answerer was trained with another tokenizer than the one that is served"
            raise MeshError("MODEL_UNAVAILABLE", text, metadata={"model": ANSWERER})
        self._refs = {ANSWERER: answerer, TOKENIZER: tokenizer}
