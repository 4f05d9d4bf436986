"""The retriever's models in Triton: the tokenizer measures text, the embedder places it, the reranker compares passages.

Knows no document, no index.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, TypeAlias

import numpy as np
import orjson
from numpy.typing import NDArray
from ragmesh.evidence.v1.model_pb2 import ModelRef

from services.mesh.errors import MeshError
from services.mesh.inference import InferenceClient
from services.retriever.chunking import Offsets
from services.retriever.index import DIMENSIONS

Kind = Literal["query", "passage"]
SignedVector: TypeAlias = tuple[NDArray[np.float32], str]
"""A vector, and the fingerprint of the embedder that made it."""

_TOKENIZER = "tokenizer"
_EMBEDDER = "embedder"
_RERANKER = "reranker"
_MODEL_REF = "model_ref"
_SIGNED = ("weights_sha256", "tokenizer_sha256")
_TOKENIZE_ROWS = 256
_TOKENIZE_BYTES = 256 * 1024
_PROBE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class RerankCandidate:
    """A passage as the reranker sees it."""

    text: str
    title: str
    dense: float | None
    sparse: float | None
    fused: float


def _texts(values: Sequence[str]) -> NDArray[np.object_]:
    return np.array([value.encode() for value in values], dtype=np.object_)


def fingerprint(embedder: ModelRef) -> str:
    """What two embedders share only if their vectors may be compared: SHA-256 over weights and tokenizer."""
    return _fingerprint(embedder.weights_sha256, embedder.tokenizer_sha256)


def _fingerprint(weights_sha256: str, tokenizer_sha256: str) -> str:
    return hashlib.sha256(f"{weights_sha256}\n{tokenizer_sha256}".encode()).hexdigest()


class Models:
    """Tokenizer, embedder and reranker.

    Args:
        batch: passages in one inference of the embedder.
        seconds: how long one inference of an import may take.
    """

    def __init__(self, client: InferenceClient, *, batch: int, seconds: float) -> None:
        self._client = client
        self._batch = batch
        self._seconds = seconds
        self.embedder: ModelRef | None = None
        """What the embedder said it was when it was last asked."""
        self.tokenizers_agree = False
        """Whether embedder and tokenizer then named the same tokenizer file."""
        # What the embedder of the last passages said it was, and its fingerprint.
        self._signature = (b"", "")
        self.reranker: ModelRef | None = None
        """What the reranker said it was when it was last asked."""

    async def identify(self) -> ModelRef:
        """Asks both models what they are, by a real inference of each.

        Raises:
            MeshError: MODEL_UNAVAILABLE, DEADLINE_EXCEEDED.
        """
        query = {"text": _texts(["ready?"]).reshape(1, 1), "kind": _texts(["query"]).reshape(1, 1)}
        try:
            embedder = await self._client.model_ref(_EMBEDDER, query, timeout=_PROBE_SECONDS)
            tokenizer = await self._client.model_ref(_TOKENIZER, {"text": _texts(["ready?"])}, timeout=_PROBE_SECONDS)
        except MeshError:
            self.embedder, self.tokenizers_agree = None, False
            raise
        self.embedder, self.tokenizers_agree = embedder, embedder.tokenizer_sha256 == tokenizer.tokenizer_sha256
        return embedder

    async def identify_reranker(self) -> ModelRef:
        """Asks the reranker what it is, by a real inference.

        Raises:
            MeshError: MODEL_UNAVAILABLE, DEADLINE_EXCEEDED.
        """
        probe = _rerank_inputs("ready?", [RerankCandidate("Ready.", "", None, None, 0.0)], 0)
        try:
            self.reranker = await self._client.model_ref(_RERANKER, probe, timeout=_PROBE_SECONDS)
        except MeshError:
            self.reranker = None
            raise
        return self.reranker

    async def rerank(
        self, question: str, candidates: Sequence[RerankCandidate], depth: int, *, timeout: float
    ) -> NDArray[np.float32]:
        """A score of each candidate, higher is better: (len(candidates),).

        Args:
            depth: how many of them the cross-encoder may read, after the features have ordered all.

        Raises:
            MeshError: MODEL_UNAVAILABLE, DEADLINE_EXCEEDED.
        """
        if self.reranker is None:
            await self.identify_reranker()
        inputs = _rerank_inputs(question, candidates, depth)
        found = await self._client.infer(_RERANKER, inputs, ["scores"], timeout=timeout)
        scores = np.asarray(found.get("scores"), dtype=np.float32)
        if scores.shape != (len(candidates),) or not np.isfinite(scores).all():
            raise _broken(_RERANKER)
        return scores

    async def embed_query(self, text: str, *, timeout: float) -> NDArray[np.float32]:
        """The vector of a question: (DIMENSIONS,), of length one or zero.

        Raises:
            MeshError: MODEL_UNAVAILABLE, DEADLINE_EXCEEDED.
        """
        rows = await self._embed([text], "query", timeout)
        return rows.reshape(DIMENSIONS)

    async def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of passages: (len(texts), DIMENSIONS).

        Raises:
            MeshError: MODEL_UNAVAILABLE, DEADLINE_EXCEEDED.
        """
        parts = [
            await self._embed(texts[first : first + self._batch], "passage", self._seconds)
            for first in range(0, len(texts), self._batch)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, DIMENSIONS), dtype=np.float32)

    async def embed_signed(self, texts: Sequence[str]) -> list[SignedVector]:
        """Vectors of passages, each with the fingerprint of the embedder that made it: one inference, as the others are.

        Raises:
            MeshError: MODEL_UNAVAILABLE, DEADLINE_EXCEEDED.
        """
        rows, found = await self._embed_told(texts, "passage", self._seconds, ["embedding", _MODEL_REF])
        if _MODEL_REF not in found:
            raise _broken(_EMBEDDER)
        told = bytes(found[_MODEL_REF].reshape(-1)[0])
        if told != self._signature[0]:
            # Another than before: whether the tokenizer is still its own has to be looked at again.
            await self.identify()
            self._signature = (told, _fingerprint(**{name: orjson.loads(told)[name] for name in _SIGNED}))
        return [(row, self._signature[1]) for row in rows]

    async def _embed(self, texts: Sequence[str], kind: Kind, timeout: float) -> NDArray[np.float32]:
        return (await self._embed_told(texts, kind, timeout, ["embedding"]))[0]

    async def _embed_told(
        self, texts: Sequence[str], kind: Kind, timeout: float, outputs: Sequence[str]
    ) -> tuple[NDArray[np.float32], dict[str, NDArray[Any]]]:
        inputs = {"text": _texts(texts).reshape(-1, 1), "kind": _texts([kind] * len(texts)).reshape(-1, 1)}
        found = await self._client.infer(_EMBEDDER, inputs, outputs, timeout=timeout)
        rows = np.asarray(found.get("embedding"), dtype=np.float32)
        if rows.shape != (len(texts), DIMENSIONS) or not np.isfinite(rows).all():
            raise _broken(_EMBEDDER)
        return rows, found

    async def tokenize(self, texts: Sequence[str]) -> list[Offsets]:
        """For each text the byte ranges of its tokens.

        Raises:
            MeshError: MODEL_UNAVAILABLE, DEADLINE_EXCEEDED.
        """
        found: list[Offsets] = []
        async for offsets, splits in self._token_batches(texts):
            found.extend(offsets[start:end] for start, end in pairwise(splits))
        return found

    async def _token_batches(self, texts: Sequence[str]) -> AsyncIterator[tuple[Offsets, NDArray[np.int32]]]:
        for batch in _batches(texts):
            found = await self._client.infer(_TOKENIZER, {"text": _texts(batch)}, ["offsets", "row_splits"], timeout=self._seconds)
            if "offsets" not in found or "row_splits" not in found or len(found["row_splits"]) != len(batch) + 1:
                raise _broken(_TOKENIZER)
            yield found["offsets"].reshape(-1, 2), found["row_splits"]


def _rerank_inputs(question: str, candidates: Sequence[RerankCandidate], depth: int) -> dict[str, NDArray[Any]]:
    scores = [
        (np.nan if one.dense is None else one.dense, np.nan if one.sparse is None else one.sparse, one.fused) for one in candidates
    ]
    return {
        "question": _texts([question]),
        "passages": _texts([one.text for one in candidates]),
        "titles": _texts([one.title for one in candidates]),
        "retrieval_scores": np.array(scores, dtype=np.float32).reshape(-1, 3),
        "depth": np.array([depth], dtype=np.int32),
    }


def _batches(texts: Sequence[str]) -> list[list[str]]:
    batches: list[list[str]] = []
    size = 0
    for text in texts:
        if not batches or len(batches[-1]) >= _TOKENIZE_ROWS or size + len(text) > _TOKENIZE_BYTES:
            batches.append([])
            size = 0
        batches[-1].append(text)
        size += len(text)
    return batches


def _broken(model: str) -> MeshError:
    return MeshError(
        "MODEL_UNAVAILABLE", f"the model {model} answered with something else than it should", metadata={"model": model}
    )
