"""What the retriever makes of what its models answer: batches, shapes, and answers that are none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from ragmesh.evidence.v1.model_pb2 import ModelRef

from services.mesh.errors import MeshError
from services.retriever.index import DIMENSIONS
from services.retriever.models import Models, fingerprint


class FaultyTriton:
    """Answers as told; records what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, NDArray[Any]]]] = []
        self.embedding: NDArray[Any] | None = None
        self.tokenizer_sha256 = "t" * 64
        self.failure: MeshError | None = None

    async def infer(
        self, model: str, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str], *, timeout: float
    ) -> dict[str, NDArray[Any]]:
        self.asked.append((model, dict(inputs)))
        if self.failure is not None:
            raise self.failure
        texts = [bytes(text) for text in inputs["text"].reshape(-1)]
        if model == "embedder":
            rows = np.array([np.full(DIMENSIONS, len(text)) for text in texts], dtype=np.float32)
            return {"embedding": rows if self.embedding is None else self.embedding}
        counts = [len(text.split()) for text in texts]
        offsets = np.array([(at, at + 1) for count in counts for at in range(count)], dtype=np.int32).reshape(-1, 2)
        return {"offsets": offsets, "row_splits": np.array([0, *np.cumsum(counts)], dtype=np.int32)}

    async def model_ref(self, model: str, inputs: Mapping[str, NDArray[Any]], *, timeout: float) -> ModelRef:
        if self.failure is not None:
            raise self.failure
        sha256 = "e" * 64 if model == "embedder" else self.tokenizer_sha256
        return ModelRef(name=model, version="1", weights_sha256="w" * 64, tokenizer_sha256=sha256)


@pytest.fixture
def triton() -> FaultyTriton:
    return FaultyTriton()


@pytest.fixture
def models(triton: FaultyTriton) -> Models:
    return Models(triton, batch=4, seconds=1.0)


async def test_passages_are_embedded_in_batches_and_in_order(models: Models, triton: FaultyTriton) -> None:
    rows = await models.embed_passages(["ü" * length for length in range(10)])
    assert rows[:, 0].tolist() == [2.0 * length for length in range(10)]
    assert [inputs["text"].shape for _, inputs in triton.asked] == [(4, 1), (4, 1), (2, 1)]
    assert {bytes(kind) for _, inputs in triton.asked for kind in inputs["kind"].reshape(-1)} == {b"passage"}
    assert (await models.embed_passages([])).shape == (0, DIMENSIONS)


async def test_a_question_is_embedded_as_one(models: Models, triton: FaultyTriton) -> None:
    assert (await models.embed_query("hello", timeout=1.0)).shape == (DIMENSIONS,)
    assert triton.asked[0][1]["kind"].reshape(-1).tolist() == [b"query"]


async def test_tokens_come_back_by_text(models: Models, triton: FaultyTriton) -> None:
    texts = ["one two three", "", "four"] + ["word"] * 600
    found = await models.tokenize(texts)
    assert [len(offsets) for offsets in found[:3]] == [3, 0, 1]
    assert len(found) == 603
    assert all(len(inputs["text"]) <= 256 for _, inputs in triton.asked)


async def test_a_large_text_is_a_batch_of_its_own(models: Models, triton: FaultyTriton) -> None:
    await models.tokenize(["x" * 200_000, "y" * 200_000, "z"])
    assert [len(inputs["text"]) for _, inputs in triton.asked] == [1, 2]


@pytest.mark.parametrize("embedding", [np.zeros((1, 3)), np.zeros((2, DIMENSIONS)), np.full((1, DIMENSIONS), np.nan)])
async def test_an_answer_that_is_none(models: Models, triton: FaultyTriton, embedding: NDArray[Any]) -> None:
    triton.embedding = embedding.astype(np.float32)
    with pytest.raises(MeshError) as caught:
        await models.embed_query("hello", timeout=1.0)
    assert caught.value.reason == "MODEL_UNAVAILABLE"


async def test_models_of_one_build_agree(models: Models, triton: FaultyTriton) -> None:
    await models.identify()
    assert not models.tokenizers_agree
    triton.tokenizer_sha256 = "e" * 64
    embedder = await models.identify()
    assert models.tokenizers_agree
    assert models.embedder == embedder
    triton.failure = MeshError("MODEL_UNAVAILABLE", "gone")
    with pytest.raises(MeshError):
        await models.identify()
    assert models.embedder is None
    assert not models.tokenizers_agree


def test_a_fingerprint_changes_with_weights_and_tokenizer() -> None:
    refs = [
        ModelRef(name="embedder", weights_sha256="a" * 64, tokenizer_sha256="b" * 64),
        ModelRef(name="embedder", weights_sha256="c" * 64, tokenizer_sha256="b" * 64),
        ModelRef(name="embedder", weights_sha256="a" * 64, tokenizer_sha256="c" * 64),
    ]
    assert len({fingerprint(ref) for ref in refs}) == 3
    assert fingerprint(refs[0]) == fingerprint(ModelRef(name="other", weights_sha256="a" * 64, tokenizer_sha256="b" * 64))
