"""Real grpc.aio servicers that record what reaches them through the edge."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from ragmesh.gateway.v1 import gateway_service_pb2 as g
from ragmesh.gateway.v1 import gateway_service_pb2_grpc as g_grpc
from ragmesh.gateway.v1 import turn_pb2 as t
from ragmesh.retriever.v1 import document_service_pb2 as d
from ragmesh.retriever.v1 import document_service_pb2_grpc as d_grpc

from services.mesh.errors import MeshError

TURN = "conversations/c/turns/t"


class Calls:
    """What reached the servicers, newest last."""

    def __init__(self) -> None:
        self.metadata: list[dict[str, str | bytes]] = []
        self.remaining: list[float | None] = []
        self.began = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.release = asyncio.Event()

    def record(self, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        self.metadata.append(dict(context.invocation_metadata() or ()))
        self.remaining.append(context.time_remaining())
        self.began.set()

    def forget(self) -> None:
        """Forgets what reached the servicers before the test began."""
        self.metadata.clear()
        self.remaining.clear()
        self.began.clear()

    @property
    def last(self) -> dict[str, str | bytes]:
        return self.metadata[-1]


def event(seq: int, **kind: Any) -> g.StreamAnswerResponse:
    made = t.TurnEvent(turn=TURN, seq=seq, create_time=Timestamp(seconds=1), **kind)
    return g.StreamAnswerResponse(event=made)


class RecordingGateway(g_grpc.GatewayServiceServicer):
    """Answers by the words of the question: `fail`, `wait` (until released or cancelled), anything else."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def CreateSession(self, request: g.CreateSessionRequest, context: Any) -> g.CreateSessionResponse:
        self._calls.record(context)
        return g.CreateSessionResponse(token="token", subject="sessions/0")

    async def GetAssistant(self, request: g.GetAssistantRequest, context: Any) -> g.GetAssistantResponse:
        self._calls.record(context)
        return g.GetAssistantResponse(assistant=g.Assistant(name="assistants/default"))

    async def Answer(self, request: g.AnswerRequest, context: Any) -> g.AnswerResponse:
        self._calls.record(context)
        return g.AnswerResponse(turn=t.Turn(name=TURN, question=request.question))

    async def StreamAnswer(self, request: g.StreamAnswerRequest, context: Any) -> AsyncIterator[g.StreamAnswerResponse]:
        self._calls.record(context)
        if request.question == "fail":
            failure = MeshError("TURN_IN_PROGRESS", "a turn is running", metadata={"turn": TURN})
            await context.abort_with_status(failure.to_grpc())
        yield event(1, started=t.TurnStarted(conversation="conversations/c", question=request.question))
        if request.question == "wait":
            try:
                await self._calls.release.wait()
            except asyncio.CancelledError:
                self._calls.cancelled.set()
                raise
        yield event(2, delta=t.Delta(start=0, text="Yes. "))
        yield event(3, finished=t.TurnFinished(outcome=t.OUTCOME_ANSWERED))


class RecordingDocuments(d_grpc.DocumentServiceServicer):
    """Acks each document at its commit, after `release`."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def ImportDocuments(self, requests: AsyncIterator[d.ImportDocumentsRequest], context: Any) -> AsyncIterator[Any]:
        self._calls.record(context)
        name = ""
        async for request in requests:
            name = request.begin.document or name
            if request.HasField("commit"):
                await self._calls.release.wait()
                yield d.ImportDocumentsResponse(acked=d.ImportAcked(document=name))

    async def Refresh(self, request: d.RefreshRequest, context: Any) -> AsyncIterator[d.RefreshResponse]:
        self._calls.record(context)
        yield d.RefreshResponse(finished=d.RefreshFinished(document_count=3, complete=True))


async def start_gateway(address: str, calls: Calls, credentials: grpc.ServerCredentials | None = None) -> grpc.aio.Server:
    """A gateway with health and reflection at `address`."""
    server = grpc.aio.server()
    g_grpc.add_GatewayServiceServicer_to_server(RecordingGateway(calls), server)
    checked = health.aio.HealthServicer()
    await checked.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(checked, server)
    names = ("ragmesh.gateway.v1.GatewayService", "ragmesh.retriever.v1.DocumentService", reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    _bind(server, address, credentials)
    await server.start()
    return server


async def start_retriever(address: str, calls: Calls) -> grpc.aio.Server:
    """A DocumentService at `address`."""
    server = grpc.aio.server()
    d_grpc.add_DocumentServiceServicer_to_server(RecordingDocuments(calls), server)
    _bind(server, address, None)
    await server.start()
    return server


def _bind(server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials | None) -> None:
    Path(address.removeprefix("unix:")).unlink(missing_ok=True)
    if credentials is not None:
        server.add_secure_port(address, credentials)
    else:
        server.add_insecure_port(address)
