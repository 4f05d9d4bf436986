"""The `embedder` model through real Triton: unit vectors, harmless batching, limits, identity, parity with the export."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton

from tests.service import triton_calls
from tests.service.triton_fixture import REPOSITORY, RunningTriton, triton_server

__all__ = ["triton_server"]

TEXTS: list[str | bytes] = [
    f"Passage {n} about {word} and what it does." for n, word in enumerate(["liver", "law", "oil", "sleep"] * 8)
]


@pytest.fixture(scope="module")
def client(triton_server: RunningTriton) -> Iterator[Any]:
    with triton.InferenceServerClient(triton_server.grpc) as found:
        yield found


def test_vectors_have_length_one(client: Any) -> None:
    vectors = triton_calls.embed(client, TEXTS)
    assert vectors.shape == (len(TEXTS), 256)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_a_batch_gives_what_single_calls_give(client: Any) -> None:
    together = triton_calls.embed(client, TEXTS)
    apart = np.concatenate([triton_calls.embed(client, [text]) for text in TEXTS])
    np.testing.assert_allclose(together, apart, atol=1e-5)


@pytest.mark.parametrize("traced", [False, True])
def test_concurrent_calls_are_batched_and_change_nothing(client: Any, traced: bool) -> None:
    """Requests with different trace parents still share a batch."""
    single = np.concatenate([triton_calls.embed(client, [text]) for text in TEXTS])
    before = client.get_inference_statistics("embedder").model_stats[0]
    rounds = 6

    def call(index: int) -> Any:
        parent = {"traceparent": f"00-{index + 1:032x}-{index + 1:016x}-01"} if traced else None
        return triton_calls.embed(client, [TEXTS[index % len(TEXTS)]], parameters=parent)

    with ThreadPoolExecutor(max_workers=16) as pool:
        found = list(pool.map(call, range(rounds * len(TEXTS))))
    np.testing.assert_allclose(np.concatenate(found), np.tile(single, (rounds, 1)), atol=1e-5)
    after = client.get_inference_statistics("embedder").model_stats[0]
    # Triton may count a call a moment after its answer: one more or less says nothing, hundreds would.
    assert after.execution_count - before.execution_count < 0.9 * rounds * len(TEXTS), "requests did not share batches"


def test_a_question_finds_its_passage(client: Any) -> None:
    passages: list[str | bytes] = [
        "Cannabidiol was first isolated from cannabis in 1940 by the American chemist Roger Adams.",
        "The Scottish Parliament meets in Edinburgh and has 129 members.",
        "Photosynthesis turns light into chemical energy in the chloroplasts of plants.",
    ]
    vectors = triton_calls.embed(client, passages)
    for question, right in (
        ("Who isolated cannabidiol first?", 0),
        ("How many members has the parliament?", 1),
        ("How do plants use light?", 2),
    ):
        query = triton_calls.embed(client, [question], kind="query")[0]
        assert int(np.argmax(vectors @ query)) == right


def test_a_text_without_words_is_answered(client: Any) -> None:
    assert np.isfinite(triton_calls.embed(client, ["", "…"])).all()


def test_an_unknown_kind_is_refused(client: Any) -> None:
    with pytest.raises(triton.InferenceServerException, match="kind must be one of query, passage"):
        triton_calls.embed(client, ["x"], kind="document")


def test_a_text_over_the_limit_is_refused_and_its_neighbours_are_not(client: Any) -> None:
    with ThreadPoolExecutor(max_workers=8) as pool:
        good = [pool.submit(triton_calls.embed, client, [text]) for text in TEXTS[:4]]
        bad = pool.submit(triton_calls.embed, client, ["x" * (64 * 1024 + 1)])
        good += [pool.submit(triton_calls.embed, client, [text]) for text in TEXTS[4:8]]
        with pytest.raises(triton.InferenceServerException, match="at most 65536"):
            bad.result()
        assert all(future.result().shape == (1, 256) for future in good)


def test_invalid_utf8_is_refused(client: Any) -> None:
    with pytest.raises(triton.InferenceServerException, match="not valid UTF-8"):
        triton_calls.embed(client, [b"\xc3\x28"])


def test_the_reference_is_the_digest_of_the_files(client: Any) -> None:
    reference = triton_calls.model_ref(client, "embedder", triton_calls.embedder_inputs(["x"], "query"))
    weights = (REPOSITORY / "embedder" / "1" / "embedder.onnx").read_bytes()
    tokenizer = (REPOSITORY / "tokenizer" / "1" / "tokenizer.json").read_bytes()
    assert reference["weights_sha256"] == hashlib.sha256(weights).hexdigest()
    assert reference["tokenizer_sha256"] == hashlib.sha256(tokenizer).hexdigest()
    assert reference["precision"] == "int8"


def test_triton_gives_what_torch_gave_at_export(client: Any) -> None:
    parity = json.loads((REPOSITORY / "embedder" / "1" / "parity.json").read_text(encoding="utf-8"))
    for row in parity["rows"]:
        vector = triton_calls.embed(client, [row["text"]], kind=row["kind"])[0]
        np.testing.assert_allclose(vector, np.asarray(row["embedding"]), atol=parity["tolerance"])
