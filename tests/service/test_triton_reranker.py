"""The `reranker` model through real Triton: scores, limits, identity, parity with the export."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from ragmesh_models import identity
from ragmesh_models.ranking import Ranker

from tests.service.triton_calls import bytes_input
from tests.service.triton_fixture import REPOSITORY, RunningTriton, triton_server

__all__ = ["triton_server"]

FOLDER = REPOSITORY / "reranker" / "1"
QUESTION = "How many members does the Scottish Parliament have?"
PASSAGES = [
    "The Scottish Parliament is the national legislature of Scotland. It meets in Edinburgh.",
    "Photosynthesis converts light energy into chemical energy.",
    "The Scottish Parliament has 129 members, who are elected for five years.",
]


@pytest.fixture(scope="module")
def client(triton_server: RunningTriton) -> Iterator[Any]:
    with triton.InferenceServerClient(triton_server.grpc) as found:
        yield found


def numbers(name: str, values: Any, kind: str, dtype: Any) -> Any:
    table = np.asarray(values, dtype=dtype)
    tensor = triton.InferInput(name, list(table.shape), kind)
    tensor.set_data_from_numpy(table)
    return tensor


def inputs(
    question: str | bytes = QUESTION,
    passages: list[str] = PASSAGES,
    titles: list[str] | None = None,
    scores: Any = None,
    depth: Any = (0,),
) -> list[Any]:
    named = titles if titles is not None else [""] * len(passages)
    table = np.full((len(passages), 3), np.nan) if scores is None else scores
    return [
        bytes_input("question", [question], [1]),
        bytes_input("passages", list(passages), [len(passages)]),
        bytes_input("titles", list(named), [len(named)]),
        numbers("retrieval_scores", table, "FP32", np.float32),
        numbers("depth", depth, "INT32", np.int32),
    ]


def rank(client: Any, given: list[Any]) -> dict[str, Any]:
    names = ("scores", "lexical", "read", "model_ref")
    result = client.infer("reranker", given, outputs=[triton.InferRequestedOutput(name) for name in names])
    return {name: result.as_numpy(name) for name in names}


def test_the_passage_that_answers_comes_first(client: Any) -> None:
    found = rank(client, inputs())
    assert found["scores"].dtype == found["lexical"].dtype == np.float32
    assert np.argsort(-found["scores"]).tolist() == [2, 0, 1]
    assert found["read"].tolist() == [False] * 3


def test_the_order_of_the_passages_changes_nothing(client: Any) -> None:
    forwards, backwards = rank(client, inputs()), rank(client, inputs(passages=PASSAGES[::-1]))
    np.testing.assert_allclose(forwards["scores"], backwards["scores"][::-1], atol=1e-4)


def test_the_best_are_read_by_the_answerers_reader(client: Any) -> None:
    found = rank(client, inputs(depth=[2]))
    assert found["read"].tolist() == [True, False, True]
    alone = Ranker.open(FOLDER)(QUESTION, PASSAGES, [""] * 3, np.full((3, 3), np.nan, dtype=np.float32), 2)
    np.testing.assert_allclose(found["scores"], alone.scores, atol=1e-3)
    reference = json.loads(found["model_ref"][0])
    assert (reference["runtime"], reference["precision"]) == ("ONNXRUNTIME", "int8")


def test_parity_with_the_export(client: Any) -> None:
    parity = json.loads((FOLDER / "parity.json").read_text(encoding="utf-8"))
    scores = np.array(parity["retrieval"], dtype=np.float32)
    found = rank(client, inputs(parity["question"], parity["passages"], parity["titles"], scores))
    np.testing.assert_allclose(found["lexical"], np.asarray(parity["lexical"]), atol=parity["tolerance"])


def test_the_reference_is_that_of_the_loaded_files(client: Any) -> None:
    reference = json.loads(rank(client, inputs())["model_ref"][0])
    assert reference["name"] == "reranker"
    assert reference["weights_sha256"] == identity.weights_sha256(Ranker.files(FOLDER))
    assert reference["tokenizer_sha256"] == identity.file_sha256(REPOSITORY / identity.TOKENIZER_FILE)


def test_no_passages_is_no_scores(client: Any) -> None:
    found = rank(client, inputs(passages=[], scores=np.zeros((0, 3))))
    assert found["scores"].shape == found["read"].shape == (0,)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (inputs(passages=["p"] * 101), "at most 100 are allowed"),
        (inputs(passages=["x" * 200_000, "y" * 70_000]), "exceed 262144 bytes"),
        (inputs("q" * 9_000), "at most 8192 are allowed"),
        (inputs(titles=["a"]), "3 passages but 1 titles"),
        (inputs(scores=np.zeros((2, 3))), "retrieval_scores must be 3 x 3"),
        (inputs(depth=[-1]), "depth must be one number from 0 to 100"),
        (inputs(depth=[101]), "depth must be one number from 0 to 100"),
        (inputs(b"\xff"), "question is not valid UTF-8"),
    ],
)
def test_what_is_wrong_is_said(client: Any, given: list[Any], said: str) -> None:
    with pytest.raises(triton.InferenceServerException, match=said):
        rank(client, given)
    assert rank(client, inputs())["scores"].shape == (3,)


def test_text_at_the_limit_is_ranked(client: Any) -> None:
    """Nothing in the analysis or the features is quadratic in what a caller may send."""
    for filler in ("a. " * 65_000, "word " * 50_000, "| a | b |\n" * 25_000, "x" * 260_000):
        found = rank(client, inputs("word " * 1_600, [filler]))
        assert np.isfinite(found["scores"]).all()
