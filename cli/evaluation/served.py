"""What an evaluation runs against: the shipped models and services, started for it on free loopback ports in a folder of their own.

Nothing of the owner's mesh is touched. Knows no figure.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc.aio as triton
from google.protobuf.json_format import MessageToDict
from numpy.typing import NDArray
from ragmesh.evidence.v1.model_pb2 import ModelRef
from tritonclient.utils import InferenceServerException

from cli.errors import CliError
from cli.parts.logs import last_words
from cli.parts.roster import PARTS
from cli.parts.supervisor import Mesh
from services.mesh.triton import TritonClient

ALL_PARTS = PARTS
MODELS_ONLY = ("triton",)
RETRIEVAL_PARTS = ("triton", "guard", "retriever")
PATIENT = {
    "RAGMESH_RETRIEVER_DENSE_SECONDS": "10",
    "RAGMESH_RETRIEVER_LEXICON_SECONDS": "5",
    "RAGMESH_RETRIEVER_RERANK_SECONDS": "10",
    "RAGMESH_RETRIEVER_GUARD_USE_SECONDS": "10",
    "RAGMESH_GUARD_INTENT_SECONDS": "5",
    "RAGMESH_GUARD_CLAIM_SECONDS": "10",
    "RAGMESH_IDLE_SECONDS": "30",
}
"""Settings under which a mesh waits for its models: on a busy machine it answers late, and not from fewer passages. On a machine
with time to spare they change nothing."""
_SECONDS = 30.0
_START_SECONDS = 240.0  # nobody waits at a terminal for an evaluation to begin


@asynccontextmanager
async def throwaway_mesh(parts: Sequence[str], env: Mapping[str, str] | None = None) -> AsyncIterator[Mesh]:
    """These parts of a mesh on an empty store, gone with the block.

    Raises:
        CliError: it cannot start.
    """
    with tempfile.TemporaryDirectory(prefix="ragmesh-eval-") as folder:
        started = False
        try:
            fields: dict[str, Any] = {"public_port": 0, "local_port": 0, "start_seconds": _START_SECONDS}
            async with Mesh.start(Path(folder), parts=parts, env=env, **fields) as mesh:
                started = True
                yield mesh
        except CliError as error:
            if not started:  # its logs go with the folder, so that what they said last must be told now
                said = [last_words(log, lines=4) for log in sorted((Path(folder) / "log").glob("*.log"))]
                error.remedy = " | ".join(words for words in said if words)[:1_000]
            raise


def texts(values: Sequence[str]) -> NDArray[Any]:
    """A BYTES tensor."""
    return np.array([value.encode() for value in values], dtype=object)


def _probes() -> dict[str, dict[str, NDArray[Any]]]:
    """Model -> a small real request. A model that is not installed is passed over."""
    one, column = texts(["Water boils."]), texts(["Water boils."]).reshape(1, 1)
    nothing = np.full((1, 3), np.nan, dtype=np.float32)
    asked = {"question": texts(["What boils?"]), "passages": one, "titles": texts([""]), "retrieval_scores": nothing}
    return {
        "tokenizer": {"text": one},
        "embedder": {"text": column, "kind": texts(["query"]).reshape(1, 1)},
        "answerer": {**asked, "max_sentences": np.array([1], dtype=np.int32)},
        "reranker": {**asked, "depth": np.array([1], dtype=np.int32)},
        "verifier": {"claims": one, "evidence": one},
    }


async def installed(target: str, model: str) -> bool:
    """Whether the model server at `target` serves this model."""
    async with triton.InferenceServerClient(target) as client:
        try:
            return bool(await client.is_model_ready(model, client_timeout=_SECONDS))
        except InferenceServerException:
            return False


async def require(target: str, model: str) -> None:
    """
    Raises:
        CliError: the model is not served.
    """
    if not await installed(target, model):
        raise CliError(
            f"The model `{model}` is not in the model repository, so that nothing can be measured of it.",
            f"`make train` makes what deploy/triton/model_repository/{model} needs.",
        )


async def model_refs(target: str) -> list[dict[str, Any]]:
    """Name, digests, runtime and precision of each model that is served, as it says itself."""
    client = TritonClient(target)
    found: list[dict[str, Any]] = []
    try:
        for model, inputs in _probes().items():
            if await installed(target, model):
                reference: ModelRef = await client.model_ref(model, inputs, timeout=_SECONDS)
                found.append(MessageToDict(reference, preserving_proto_field_name=True))
    finally:
        await client.close()
    return found
