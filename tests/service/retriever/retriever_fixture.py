"""A real retriever in this process, with a guard that records and answers as it is told. Imported where a test needs it."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from ragmesh.evidence.v1.text_pb2 import TextRange
from ragmesh.guard.v1 import guard_service_pb2 as guard_pb
from ragmesh.guard.v1.guard_service_pb2_grpc import GuardServiceServicer, add_GuardServiceServicer_to_server
from ragmesh.identity.v1.principal_pb2 import Principal
from ragmesh.retriever.v1 import document_service_pb2 as documents_pb
from ragmesh.retriever.v1 import retriever_service_pb2 as retriever_pb
from ragmesh.retriever.v1.document_service_pb2_grpc import DocumentServiceStub
from ragmesh.retriever.v1.retriever_service_pb2_grpc import RetrieverServiceStub

from services.mesh import context
from services.mesh.channel import open_channel
from services.mesh.server import RunningServer, ServiceSpec, start
from services.mesh.settings import MeshSettings
from services.retriever.build import Retriever, service_spec
from services.retriever.settings import RetrieverSettings

EDITOR = Principal(tenant="default", subject="users/editor", roles=["visitor", "editor"])
VISITOR = Principal(tenant="default", subject="sessions/1", roles=["visitor"])
STRANGER = Principal(tenant="other", subject="users/stranger", roles=["visitor", "editor"])
SECONDS = 20.0
_DATA_BYTES = 256 * 1024


@dataclass
class RecordingGuard(GuardServiceServicer):
    """Allows every passage but those that hold a word of `blocked`; keeps what it was asked."""

    blocked: Sequence[str] = ()
    action: guard_pb.Action.ValueType = guard_pb.Action.ACTION_BLOCK
    requests: list[guard_pb.CheckDocumentRequest] = field(default_factory=list)
    verdicts: int | None = None
    """Number of verdicts to answer with. None: as many as passages."""
    before: Callable[[], Any] | None = None
    sanitised: str | None = None
    quoted: Sequence[str] = ()
    """Words of a passage that it says to be orders."""
    rules: str = ""
    """Digest of what it judges by."""

    async def CheckDocument(
        self, request: guard_pb.CheckDocumentRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> guard_pb.CheckDocumentResponse:
        self.requests.append(request)
        if self.before is not None:
            await self.before()
        actions = [
            self.action if any(word in passage for word in self.blocked) else guard_pb.Action.ACTION_ALLOW
            for passage in request.passages
        ]
        verdicts = [
            guard_pb.Verdict(action=action, sanitised=self.sanitised, quoted=self._places(passage))
            for action, passage in zip(actions, request.passages, strict=True)
        ]
        return guard_pb.CheckDocumentResponse(verdicts=verdicts[: self.verdicts], digest=self.rules)

    def _places(self, passage: str) -> list[TextRange]:
        places = [(passage.encode().find(words.encode()), len(words.encode())) for words in self.quoted]
        return [TextRange(start=start, end=start + size) for start, size in places if start >= 0]

    async def CheckInput(
        self, request: guard_pb.CheckInputRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> guard_pb.CheckInputResponse:
        raise NotImplementedError

    async def CheckOutput(
        self, request_iterator: AsyncIterator[guard_pb.CheckOutputRequest], context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[guard_pb.CheckOutputResponse]:
        raise NotImplementedError
        yield


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder whose sockets' paths stay below the 108 bytes that Unix allows."""
    with tempfile.TemporaryDirectory(prefix="rm") as name:
        yield Path(name)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where a retriever keeps everything."""
    with short_folder() as made:
        yield made


@asynccontextmanager
async def running_guard(settings: MeshSettings, guard: RecordingGuard) -> AsyncIterator[RunningServer]:
    async def ready() -> dict[str, bool]:
        return {"guard": True}

    async def close() -> None:
        return None

    name = "ragmesh.guard.v1.GuardService"
    spec = ServiceSpec(
        name="guard",
        grpc_services=(name,),
        register=lambda server: add_GuardServiceServicer_to_server(guard, server),
        readiness=ready,
        close=close,
        peers={name: frozenset({"gateway", "retriever"})},
    )
    server = await start(settings, spec)
    try:
        yield server
    finally:
        await server.stop()


@dataclass
class RetrieverClient:
    """What a test does with a retriever. Calls are made as `principal`."""

    settings: RetrieverSettings
    retriever: Retriever
    server: RunningServer
    guard: RecordingGuard
    channel: grpc.aio.Channel
    principal: Principal = field(default_factory=lambda: EDITOR)

    @property
    def documents(self) -> Any:
        return DocumentServiceStub(self.channel)

    @property
    def stub(self) -> Any:
        return RetrieverServiceStub(self.channel)

    async def send(
        self, requests: Sequence[documents_pb.ImportDocumentsRequest], principal: Principal | None = None
    ) -> list[documents_pb.ImportDocumentsResponse]:
        with context.as_principal(principal or self.principal):
            async with asyncio.timeout(SECONDS * 3):
                return [response async for response in self.documents.ImportDocuments(iter_async(requests))]

    async def put(self, document: str, text: str | bytes, principal: Principal | None = None, **begin: Any) -> Any:
        """Imports one document; the one answer's `acked` or `rejected`."""
        (response,) = await self.send(import_of(document, text, **begin), principal)
        return getattr(response, str(response.WhichOneof("result")))

    async def search(
        self, query: str, principal: Principal | None = None, timeout: float = SECONDS, **fields: Any
    ) -> retriever_pb.SearchResponse:
        fields.setdefault("collection", "collections/default")
        request = retriever_pb.SearchRequest(query=query, **fields)
        found: retriever_pb.SearchResponse = await self.call(self.stub.Search, request, principal, timeout)
        return found

    async def call(self, method: Any, request: Any, principal: Principal | None = None, timeout: float = SECONDS) -> Any:
        with context.as_principal(principal or self.principal):
            return await method(request, timeout=timeout)


async def iter_async(items: Sequence[Any]) -> AsyncIterator[Any]:
    for item in items:
        yield item


def import_of(document: str, text: str | bytes, **begin: Any) -> list[documents_pb.ImportDocumentsRequest]:
    """The messages that import one document; `begin` overrides what is announced."""
    data = text.encode() if isinstance(text, str) else text
    fields: dict[str, Any] = {
        "document": document if "/" in document else f"collections/default/documents/{document}",
        "media_type": "text/markdown",
        "size_bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        **begin,
    }
    request = documents_pb.ImportDocumentsRequest
    pieces = [data[first : first + _DATA_BYTES] for first in range(0, len(data), _DATA_BYTES)]
    return [
        request(begin=documents_pb.ImportBegin(**fields)),
        *(request(data=documents_pb.ImportData(data=piece)) for piece in pieces),
        request(commit=documents_pb.ImportCommit()),
    ]


@asynccontextmanager
async def running_retriever(folder: Path, triton: str, *, guard: bool = True, **settings: Any) -> AsyncIterator[RetrieverClient]:
    """A retriever in `folder`, which may hold the stores of an earlier one.

    Args:
        triton: address of the model server.
        guard: whether a guard answers.
    """
    configured = RetrieverSettings(run_dir=folder / "run", data_dir=folder / "data", triton=triton, **settings)
    recording = RecordingGuard()
    async with optional(running_guard(configured, recording), guard):
        retriever = await Retriever.open(configured)
        server = await start(configured, service_spec(retriever))
        channel = open_channel(configured, "retriever")
        try:
            yield RetrieverClient(configured, retriever, server, recording, channel)
        finally:
            await channel.close()
            await server.stop()


@asynccontextmanager
async def optional(context_of: Any, wanted: bool) -> AsyncIterator[None]:
    if not wanted:
        yield
        return
    async with context_of:
        yield
