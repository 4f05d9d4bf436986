"""The `tokenizer` model through real Triton: offsets, row splits, round trip, limits, identity."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from ragmesh_models.tokens import TextTokenizer

from tests.service import triton_calls
from tests.service.triton_fixture import REPOSITORY, RunningTriton, triton_server

__all__ = ["triton_server"]

TEXTS: list[str | bytes] = [
    "Wie hoch ist der Anteil? Über 94 %.",
    "",
    "Ünïcödé 👩‍🔬 scientists isolated CBD in 1940.\n\nNASA’s iPhone",
    "你好,世界 — ŁÓDŹ straße",
    "<pad> ⟦pad⟧ \ue000 markers of our own",
]


@pytest.fixture(scope="module")
def client(triton_server: RunningTriton) -> Iterator[Any]:
    with triton.InferenceServerClient(triton_server.grpc) as found:
        yield found


@pytest.fixture(scope="module")
def local() -> TextTokenizer:
    return TextTokenizer(REPOSITORY / "tokenizer" / "1" / "tokenizer.json")


def test_row_splits_cut_the_ids_by_text(client: Any, local: TextTokenizer) -> None:
    result = triton_calls.tokenize(client, TEXTS)
    splits = result["row_splits"].tolist()
    assert len(splits) == len(TEXTS) + 1
    assert splits[0] == 0
    assert splits[-1] == len(result["ids"]) == len(result["offsets"])
    assert result["ids"].dtype == result["offsets"].dtype == result["row_splits"].dtype == np.int32
    for row, text in enumerate(TEXTS):
        ids = result["ids"][splits[row] : splits[row + 1]].tolist()
        assert local.decode(ids) == text


def test_offsets_are_bytes_on_code_point_boundaries(client: Any) -> None:
    result = triton_calls.tokenize(client, TEXTS)
    splits = result["row_splits"].tolist()
    for row, text in enumerate(TEXTS):
        assert isinstance(text, str)
        raw = text.encode()
        boundaries = {len(text[:n].encode()) for n in range(len(text) + 1)}
        offsets = result["offsets"][splits[row] : splits[row + 1]].tolist()
        covered: set[int] = set()
        for start, end in offsets:
            assert 0 <= start <= end <= len(raw)
            assert {start, end} <= boundaries
            covered.update(range(start, end))
        assert covered == set(range(len(raw))), "every byte belongs to a token"
        assert [start for start, _ in offsets] == sorted(start for start, _ in offsets)


def test_no_text_is_no_token(client: Any) -> None:
    result = triton_calls.tokenize(client, [""])
    assert result["row_splits"].tolist() == [0, 0]
    assert result["offsets"].shape == (0, 2)


def test_invalid_utf8_is_refused_by_name(client: Any) -> None:
    with pytest.raises(triton.InferenceServerException, match="text is not valid UTF-8 at byte 3"):
        triton_calls.tokenize(client, [b"abc\xff"])


def test_too_many_rows_are_refused(client: Any) -> None:
    with pytest.raises(triton.InferenceServerException, match="at most 4096"):
        triton_calls.tokenize(client, ["x"] * 4_097)


def test_the_reference_is_the_digest_of_the_file(client: Any) -> None:
    reference = triton_calls.model_ref(client, "tokenizer", [triton_calls.bytes_input("text", ["x"], [1])])
    digest = hashlib.sha256(Path(REPOSITORY / "tokenizer" / "1" / "tokenizer.json").read_bytes()).hexdigest()
    assert reference["name"] == "tokenizer"
    assert reference["weights_sha256"] == reference["tokenizer_sha256"] == digest
    assert reference["runtime"] == "ONNXRUNTIME"
