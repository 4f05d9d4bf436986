"""Adapted weights in a real mesh: they are served, what is stored is embedded anew for them, and the way back does the same."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path

import grpc
import pytest
from ragmesh.gateway.v1 import gateway_service_pb2 as g
from ragmesh.gateway.v1 import turn_pb2 as t
from ragmesh.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub
from typer.testing import CliRunner

from cli.documents.folder import read_folder
from cli.documents.importing import DEFAULT_COLLECTION
from cli.documents.session import import_files
from cli.main import app
from cli.parts.roster import MODEL_REPOSITORY
from cli.parts.supervisor import Mesh

EMBEDDER = "embedder/1/embedder.onnx"
TEXT = "# Harbour\n\nThe harbour of Aldmoor was dredged in 1911 by the Kessler company. Nobody has dredged it since.\n"
# Field 3 of an ONNX model, the producer's version, once more: another file with the same weights.
OTHER_PRODUCER = b"\x1a\x07adapted"


def adapted(var: Path) -> str:
    """Puts a set with another embedder into `var`; returns its digest."""
    weights = (MODEL_REPOSITORY / EMBEDDER).read_bytes()
    digests = [hashlib.sha256(found).hexdigest() for found in (weights + OTHER_PRODUCER, weights)]
    own = var / "models" / "first" / EMBEDDER
    own.parent.mkdir(parents=True)
    own.write_bytes(weights + OTHER_PRODUCER)
    row = {"files": {EMBEDDER: {"sha256": digests[0], "over": digests[1]}}}
    (var / "models" / "first" / "adapted.json").write_text(json.dumps(row), encoding="utf-8")
    return digests[0]


async def ask(var: Path, documents: Path | None = None) -> t.Turn:
    async with Mesh.start(var, public_port=0, local_port=0) as mesh:
        if documents is not None:
            await import_files(mesh.grpc_target, DEFAULT_COLLECTION, read_folder(documents, "own").files, "Storing")
        async with grpc.aio.insecure_channel(mesh.grpc_target) as channel:
            request = g.AnswerRequest(question="Who dredged the harbour of Aldmoor?")
            answer = await GatewayServiceStub(channel).Answer(request, timeout=60)
            return answer.turn


def served_embedder(turn: t.Turn) -> str:
    return next(model.weights_sha256 for model in turn.finished.models if model.name == "embedder")


@pytest.mark.timeout(300)
def test_another_embedder_is_served_with_the_stored_documents_embedded_anew(tmp_path: Path) -> None:
    var, documents = tmp_path / "var", tmp_path / "own"
    documents.mkdir()
    (documents / "harbour.md").write_text(TEXT, encoding="utf-8")
    turn = asyncio.run(ask(var, documents))
    assert turn.finished.outcome == t.OUTCOME_ANSWERED
    released = served_embedder(turn)
    digest = adapted(var)
    for name, expected in (("first", digest), ("shipped", released)):
        done = CliRunner().invoke(app, ["train", "--use", name, "--var", str(var)])
        assert done.exit_code == 0, done.exception
        turn = asyncio.run(ask(var))
        assert served_embedder(turn) == expected
        assert turn.finished.outcome == t.OUTCOME_ANSWERED
        assert "Kessler" in turn.text
        assert "EMBEDDER_CHANGED" not in str(turn)
