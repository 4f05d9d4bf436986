"""Questions to a mesh that something has happened to."""

from __future__ import annotations

import time

import grpc
from ragmesh.gateway.v1 import gateway_service_pb2 as g
from ragmesh.gateway.v1 import turn_pb2 as t
from ragmesh.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub
from ragmesh.retriever.v1 import document_service_pb2 as d
from ragmesh.retriever.v1.document_service_pb2_grpc import DocumentServiceStub

from cli.parts.supervisor import Mesh

QUESTION = "Does CBD interact with blood thinners?"
COLLECTION = "collections/default"
REASONS = ("SERVICE_UNAVAILABLE", "MODEL_UNAVAILABLE", "DEADLINE_EXCEEDED", "TURN_INTERRUPTED")
"""Of turns that a part did not live to see the end of."""


async def ask(mesh: Mesh) -> t.Turn:
    """One whole turn."""
    async with grpc.aio.insecure_channel(mesh.grpc_target) as channel:
        return (await GatewayServiceStub(channel).Answer(g.AnswerRequest(question=QUESTION), timeout=30)).turn


async def documents(mesh: Mesh) -> int:
    """How many are stored."""
    async with grpc.aio.insecure_channel(mesh.grpc_target) as channel:
        request = d.ListDocumentsRequest(parent=COLLECTION, page_size=1)
        return (await DocumentServiceStub(channel).ListDocuments(request, timeout=5)).total_size


async def until_answered(mesh: Mesh, seconds: float = 40) -> t.Turn:
    """Ask until the answer comes; each try fails in a typed way or not at all."""
    end = time.monotonic() + seconds
    while True:
        try:
            turn = await ask(mesh)
        except grpc.aio.AioRpcError as error:
            assert error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL)
        else:
            if turn.finished.outcome == t.OUTCOME_ANSWERED:
                return turn
            assert turn.finished.failure.reason in REASONS
            assert turn.finished.failure.retryable
        assert time.monotonic() < end, "the mesh did not come back"
