"""Channels: a call without a timeout is never made."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc.aio import AioRpcError
from ragmesh.generator.v1 import generator_service_pb2 as generator_pb2
from ragmesh.generator.v1 import generator_service_pb2_grpc as generator_grpc
from ragmesh.guard.v1 import guard_service_pb2_grpc as guard_grpc
from ragmesh.identity.v1.principal_pb2 import Principal
from ragmesh.retriever.v1 import document_service_pb2 as document_pb2
from ragmesh.retriever.v1 import document_service_pb2_grpc as document_grpc

from services.mesh import context
from services.mesh.channel import open_channel
from services.mesh.errors import MeshError, from_rpc_error
from services.mesh.identity import PRINCIPAL_KEY
from services.mesh.settings import MeshSettings


@pytest.fixture
async def channel(tmp_path: Path) -> AsyncIterator[Any]:
    """A channel to where nobody listens."""
    async with open_channel(MeshSettings(run_dir=tmp_path), "generator") as opened:
        yield opened


def _refusal(make: Callable[[], Any]) -> MeshError:
    with pytest.raises(AioRpcError) as caught:
        make()
    return from_rpc_error(caught.value, service="generator")


async def test_a_unary_call_needs_a_timeout(channel: Any) -> None:
    request = generator_pb2.CountTokensRequest(texts=["x"])
    error = _refusal(lambda: generator_grpc.GeneratorServiceStub(channel).CountTokens(request))
    assert error.reason == "DEADLINE_REQUIRED"
    assert error.metadata == {"method": "/ragmesh.generator.v1.GeneratorService/CountTokens"}


async def test_a_server_stream_needs_a_timeout(channel: Any) -> None:
    request = generator_pb2.StreamGenerateRequest(question="x")
    assert _refusal(lambda: generator_grpc.GeneratorServiceStub(channel).StreamGenerate(request)).reason == "DEADLINE_REQUIRED"


async def test_a_bidi_stream_needs_a_timeout(channel: Any) -> None:
    async def requests() -> AsyncIterator[Any]:
        return
        yield

    assert _refusal(lambda: guard_grpc.GuardServiceStub(channel).CheckOutput(requests())).reason == "DEADLINE_REQUIRED"


async def test_a_call_carries_the_principal_it_is_made_for_and_what_its_caller_gives(tmp_path: Path) -> None:
    came: list[tuple[tuple[str, str | bytes], ...]] = []

    async def count(_: Any, call: Any) -> generator_pb2.CountTokensResponse:
        came.append(call.invocation_metadata())
        return generator_pb2.CountTokensResponse()

    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(count, None, generator_pb2.CountTokensResponse.SerializeToString)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("ragmesh.generator.v1.GeneratorService", {"CountTokens": handler}),)
    )
    settings = MeshSettings(run_dir=tmp_path)
    server.add_insecure_port(settings.target("generator"))
    await server.start()
    anna = Principal(tenant="t", subject="users/anna")
    try:
        async with open_channel(settings, "generator") as opened:
            stub = generator_grpc.GeneratorServiceStub(opened)
            with context.as_principal(anna):
                await stub.CountTokens(generator_pb2.CountTokensRequest(), timeout=5.0, metadata=(("x-own", "1"),))
            await stub.CountTokens(generator_pb2.CountTokensRequest(), timeout=5.0)
    finally:
        await server.stop(None)
    first, second = (dict(metadata) for metadata in came)
    assert first[PRINCIPAL_KEY] == anna.SerializeToString()
    assert first["x-own"] == "1"
    assert PRINCIPAL_KEY not in second


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
