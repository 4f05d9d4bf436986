"""The `verifier` model through real Triton: the library's verdicts, its reference, limits and refusals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from ragmesh_models import identity
from ragmesh_models.verifying import Verifier

from tests.service.triton_calls import bytes_input, model_ref
from tests.service.triton_fixture import REPOSITORY, RunningTriton, triton_server

__all__ = ["triton_server"]

FOLDER = REPOSITORY / "verifier" / "1"
EVIDENCE = "The café — the oldest of Zürich’s “Kaffeehäuser” — opened in 1911. It was founded by Élodie Müller."
CLAIMS: list[str | bytes] = [
    "The café opened in 1911.",
    "The café opened in 1912.",
    "It was founded by Élodie Müller.",
    "Salt is white.",
]


@pytest.fixture(scope="module")
def client(triton_server: RunningTriton) -> Iterator[Any]:
    with triton.InferenceServerClient(triton_server.grpc) as found:
        yield found


def inputs(claims: list[str | bytes], evidence: list[str | bytes]) -> list[Any]:
    return [bytes_input("claims", claims, [len(claims)]), bytes_input("evidence", evidence, [len(evidence)])]


def verify(client: Any, claims: list[str | bytes], evidence: list[str | bytes]) -> tuple[Any, Any]:
    outputs = [triton.InferRequestedOutput(name) for name in ("probabilities", "missing")]
    result = client.infer("verifier", inputs(claims, evidence), outputs=outputs)
    return result.as_numpy("probabilities"), result.as_numpy("missing")


def test_triton_gives_what_the_library_gives(client: Any) -> None:
    probabilities, missing = verify(client, CLAIMS, [EVIDENCE] * len(CLAIMS))
    said = Verifier(FOLDER)([str(claim) for claim in CLAIMS], [EVIDENCE] * len(CLAIMS))
    np.testing.assert_allclose(probabilities, said.probabilities, atol=1e-5)
    assert missing.tolist() == said.missing.tolist() == [False, True, False, False]
    assert probabilities.dtype == np.float32
    assert (probabilities[:, 0] >= 0.5).tolist() == [True, False, True, False]


def test_triton_gives_what_torch_gave(client: Any) -> None:
    parity = json.loads((FOLDER / "parity.json").read_text(encoding="utf-8"))
    probabilities, missing = verify(client, parity["claims"], parity["evidence"])
    np.testing.assert_allclose(probabilities, np.asarray(parity["probabilities"]), atol=parity["tolerance"])
    assert missing.tolist() == parity["missing"]


def test_the_reference_names_the_served_files(client: Any) -> None:
    found = model_ref(client, "verifier", inputs(["a b"], ["a b"]))
    assert found["name"] == "verifier"
    assert found["weights_sha256"] == identity.weights_sha256(Verifier.files(FOLDER))
    assert found["tokenizer_sha256"] == identity.file_sha256(REPOSITORY / identity.TOKENIZER_FILE)


@pytest.mark.parametrize(
    ("claims", "evidence", "said"),
    [
        (["a"], ["b", "c"], "1 claims but 2 evidence texts"),
        ([], [], "there is no claim"),
        ([""], ["b"], "claims 0 is empty"),
        (["a", "b"], ["c", " \n"], "evidence 1 is empty"),
        ([b"\xff"], ["b"], "claims is not valid UTF-8 at byte 0"),
        (["x" * 9_000], ["b"], "claims has 9000 bytes, at most 8192"),
        (["a"], ["x" * 70_000], "evidence has 70000 bytes, at most 65536"),
        (["a"] * 257, ["b"] * 257, "at most 256 are allowed"),
        (["a"] * 20, ["x" * 60_000] * 20, "exceed 1048576 bytes"),
    ],
)
def test_what_is_wrong_is_said(client: Any, claims: list[str | bytes], evidence: list[str | bytes], said: str) -> None:
    with pytest.raises(triton.InferenceServerException, match=said):
        verify(client, claims, evidence)
    assert verify(client, ["a b"], ["a b"])[0].shape == (1, 3), "the model still answers"
