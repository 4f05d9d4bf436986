"""Channels: a call without a timeout is never made."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any

import pytest
from grpc.aio import AioRpcError
from ragmesh.generator.v1 import generator_service_pb2 as generator_pb2
from ragmesh.generator.v1 import generator_service_pb2_grpc as generator_grpc
from ragmesh.guard.v1 import guard_service_pb2_grpc as guard_grpc
from ragmesh.retriever.v1 import document_service_pb2 as document_pb2
from ragmesh.retriever.v1 import document_service_pb2_grpc as document_grpc

from services.mesh.channel import open_channel
from services.mesh.errors import MeshError, from_rpc_error
from services.mesh.settings import MeshSettings


@pytest.fixture
async def channel(tmp_path: Path) -> AsyncIterator[Any]:
    """A channel to where nobody listens."""
    async with open_channel(MeshSettings(run_dir=tmp_path), "generator") as opened:
        yield opened


async def _refusal(call: Awaitable[Any]) -> MeshError:
    with pytest.raises(AioRpcError) as caught:
        await call
    return from_rpc_error(caught.value, service="generator")


async def test_a_unary_call_needs_a_timeout(channel: Any) -> None:
    request = generator_pb2.CountTokensRequest(texts=["x"])
    error = await _refusal(generator_grpc.GeneratorServiceStub(channel).CountTokens(request))
    assert error.reason == "DEADLINE_REQUIRED"
    assert error.metadata == {"method": "/ragmesh.generator.v1.GeneratorService/CountTokens"}


async def test_a_server_stream_needs_a_timeout(channel: Any) -> None:
    call = generator_grpc.GeneratorServiceStub(channel).StreamGenerate(generator_pb2.StreamGenerateRequest(question="x"))
    assert (await _refusal(anext(aiter(call)))).reason == "DEADLINE_REQUIRED"


async def test_a_bidi_stream_needs_a_timeout(channel: Any) -> None:
    async def requests() -> AsyncIterator[Any]:
        return
        yield

    call = guard_grpc.GuardServiceStub(channel).CheckOutput(requests())
    assert (await _refusal(anext(aiter(call)))).reason == "DEADLINE_REQUIRED"


async def test_an_import_is_bounded_by_idle_time(channel: Any) -> None:
    async def requests() -> AsyncIterator[Any]:
        yield document_pb2.ImportDocumentsRequest(commit=document_pb2.ImportCommit())

    call = document_grpc.DocumentServiceStub(channel).ImportDocuments(requests())
    with pytest.raises(AioRpcError) as caught:
        await anext(aiter(call))
    assert from_rpc_error(caught.value, service="retriever").reason == "SERVICE_UNAVAILABLE"


async def test_nobody_there_is_said_within_the_timeout(channel: Any) -> None:
    with pytest.raises(AioRpcError) as caught:
        await generator_grpc.GeneratorServiceStub(channel).CountTokens(generator_pb2.CountTokensRequest(texts=["x"]), timeout=2.0)
    assert from_rpc_error(caught.value, service="generator").retryable
