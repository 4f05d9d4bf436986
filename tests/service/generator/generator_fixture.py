"""A real generator on a Unix socket in front of a Triton that the test names."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from ragmesh.evidence.v1 import evidence_pb2 as ev
from ragmesh.evidence.v1 import text_pb2
from ragmesh.evidence.v1.text_pb2 import TextRange
from ragmesh.generator.v1 import generator_service_pb2 as pb
from ragmesh.generator.v1.generator_service_pb2_grpc import GeneratorServiceStub
from ragmesh.identity.v1.principal_pb2 import Principal

from services.generator.build import build
from services.generator.settings import GeneratorSettings
from services.mesh import context
from services.mesh.channel import open_channel
from services.mesh.errors import MeshError, from_rpc_error
from services.mesh.server import RunningServer, start

ROOT = Path(__file__).resolve().parents[3]
ASSISTANT = "assistants/default"
DOCUMENT = "collections/default/documents/places"
TIMEOUT = 30.0
VISITOR = Principal(tenant="default", subject="users/local", roles=["visitor"])

PASSAGES = {
    "parliament": "The Scottish Parliament is the national legislature of Scotland. It meets in the Holyrood area of Edinburgh. "
    "The Parliament has 129 members, who are elected for five years.",
    "cafe": "The café — the oldest of Zürich’s “Kaffeehäuser” — opened in 1911. Today it has 42 seats.",
}


@dataclass(frozen=True)
class RunningGenerator:
    stub: Any
    server: RunningServer
    settings: GeneratorSettings


@asynccontextmanager
async def generator(folder: Path, triton: str, **more: Any) -> AsyncIterator[RunningGenerator]:
    """A generator whose models are at `triton`."""
    settings = GeneratorSettings(
        run_dir=folder / "run",
        data_dir=folder / "data",
        assistant_dir=ROOT / "corpus" / "assistants",
        triton=triton,
        drain_seconds=0.5,
        readiness_seconds=0.2,
        **more,
    )
    server = await start(settings, await build(settings))
    try:
        with context.as_principal(VISITOR):
            async with open_channel(settings, "generator") as channel:
                yield RunningGenerator(GeneratorServiceStub(channel), server, settings)
    finally:
        await server.stop()


def evidence(*names: str) -> list[ev.Evidence]:
    """Passages that stand in their document behind some other text."""
    return [
        ev.Evidence(
            name=f"ev_{name}",
            chunk=f"{DOCUMENT}/versions/1/chunks/{name}",
            document=DOCUMENT,
            document_version=f"{DOCUMENT}/versions/1",
            title_path=["Places", name.title()],
            text=PASSAGES[name],
            spans=[TextRange(start=500, end=500 + len(PASSAGES[name].encode()))],
        )
        for name in names
    ]


def asked(text: str, *names: str, **more: Any) -> pb.StreamGenerateRequest:
    more = {"intent": text_pb2.INTENT_QUESTION, "language": "en", "assistant": ASSISTANT, **more}
    return pb.StreamGenerateRequest(question=text, evidence=evidence(*names), **more)


async def drafted(running: RunningGenerator, request: pb.StreamGenerateRequest) -> list[pb.StreamGenerateResponse]:
    return [step async for step in running.stub.StreamGenerate(request, timeout=TIMEOUT)]


def kinds(steps: list[pb.StreamGenerateResponse]) -> list[str]:
    return [str(step.WhichOneof("step")) for step in steps]


def text_of(steps: list[pb.StreamGenerateResponse]) -> str:
    return "".join(step.text.text for step in steps)


async def failure(call: Any) -> MeshError:
    """The typed error that `call` fails with."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return from_rpc_error(error.value, service="generator")
