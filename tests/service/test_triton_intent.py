"""The `intent` model through real Triton: probabilities, harmless batching, limits, identity, parity with the export."""

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

FOLDER = REPOSITORY / "intent" / "1"
TEXTS: list[str | bytes] = ["hi there!", "What can CBD do?", "wer bist du", "", "x" * 4_000, "danke 🙏", "hi, does it help?"]


@pytest.fixture(scope="module")
def client(triton_server: RunningTriton) -> Iterator[Any]:
    with triton.InferenceServerClient(triton_server.grpc) as found:
        yield found


def inputs(texts: list[str | bytes]) -> list[Any]:
    return [triton_calls.bytes_input("text", texts, [len(texts), 1])]


def probabilities(client: Any, texts: list[str | bytes], **extra: Any) -> Any:
    outputs = [triton.InferRequestedOutput("probabilities")]
    return client.infer("intent", inputs(texts), outputs=outputs, **extra).as_numpy("probabilities")


def test_each_label_has_a_probability_and_the_model_says_from_where_on_it_is_sure(client: Any) -> None:
    names = ("probabilities", "labels", "threshold")
    result = client.infer("intent", inputs(TEXTS), outputs=[triton.InferRequestedOutput(name) for name in names])
    rows, labels, threshold = (result.as_numpy(name) for name in names)
    assert rows.shape == labels.shape == (len(TEXTS), 7)
    np.testing.assert_allclose(rows.sum(1), 1, atol=1e-5)
    assert {tuple(row) for row in labels.tolist()} == {
        (b"question", b"greeting", b"thanks", b"goodbye", b"identity", b"capabilities", b"wellbeing")
    }
    assert threshold.shape == (len(TEXTS), 1)
    assert 0.5 <= float(threshold.min()) == float(threshold.max()) < 1
    small = (1 - rows[:, 0] >= threshold[:, 0]).tolist()
    assert small == [True, False, True, False, False, True, False]


@pytest.mark.parametrize("traced", [False, True])
def test_concurrent_calls_are_batched_and_change_nothing(client: Any, traced: bool) -> None:
    single = np.concatenate([probabilities(client, [text]) for text in TEXTS])
    before = client.get_inference_statistics("intent").model_stats[0]
    rounds = 12

    def call(index: int) -> Any:
        parent = {"traceparent": f"00-{index + 1:032x}-{index + 1:016x}-01"} if traced else None
        return probabilities(client, [TEXTS[index % len(TEXTS)]], parameters=parent)

    with ThreadPoolExecutor(max_workers=16) as pool:
        found = list(pool.map(call, range(rounds * len(TEXTS))))
    np.testing.assert_allclose(np.concatenate(found), np.tile(single, (rounds, 1)), atol=1e-5)
    after = client.get_inference_statistics("intent").model_stats[0]
    requests = after.inference_count - before.inference_count
    assert requests == rounds * len(TEXTS)
    assert after.execution_count - before.execution_count < requests, "no two requests shared a batch"


@pytest.mark.parametrize(
    ("text", "message"), [(b"\xc3\x28", "not valid UTF-8"), ("x" * (64 * 1024 + 1), "at most 65536")], ids=["bytes", "length"]
)
def test_what_is_no_text_is_refused(client: Any, text: str | bytes, message: str) -> None:
    with pytest.raises(triton.InferenceServerException, match=message):
        probabilities(client, [text])


def test_the_reference_is_the_digest_of_the_files(client: Any) -> None:
    reference = triton_calls.model_ref(client, "intent", inputs(["x"]))
    lines = "".join(
        f"{hashlib.sha256((FOLDER / name).read_bytes()).hexdigest()}  {name}\n" for name in ("intent.json", "intent.onnx")
    )
    tokenizer = (REPOSITORY / "tokenizer" / "1" / "tokenizer.json").read_bytes()
    assert reference["name"] == "intent"
    assert reference["weights_sha256"] == hashlib.sha256(lines.encode()).hexdigest()
    assert reference["tokenizer_sha256"] == hashlib.sha256(tokenizer).hexdigest()
    assert reference["precision"] == "int8"


def test_triton_gives_what_torch_gave_at_export(client: Any) -> None:
    parity = json.loads((FOLDER / "parity.json").read_text(encoding="utf-8"))
    for row in parity["rows"]:
        np.testing.assert_allclose(probabilities(client, [row["text"]])[0], row["probabilities"], atol=parity["tolerance"])
