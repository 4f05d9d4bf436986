"""Refresh at the public listener: only where the owner says so, only that method, as nobody, and not by the thousand."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from ragmesh.retriever.v1 import document_service_pb2 as d
from ragmesh.retriever.v1.document_service_pb2_grpc import DocumentServiceStub

from cli.parts.envoy_routes import DOCUMENT_SERVICE, Limits, method_names
from tests.edge.conftest import Edge, running_edge
from tests.edge.wire import GRPC_WEB, exchange, frame

REFRESH = f"/{DOCUMENT_SERVICE.full_name}/Refresh"
REQUEST = d.RefreshRequest(name="collections/default/sources/site")


async def refresh(edge: Edge, metadata: dict[str, str] | None = None) -> list[d.RefreshResponse]:
    """Over plain gRPC, as grpcurl calls it."""
    async with grpc.aio.insecure_channel(f"localhost:{edge.public_port}") as channel:
        call = DocumentServiceStub(channel).Refresh(REQUEST, timeout=10, metadata=tuple((metadata or {}).items()))
        return [response async for response in call]


async def test_without_the_setting_it_is_not_there(edge: Edge) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await refresh(edge)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert not edge.calls.metadata


async def test_with_it_a_build_reaches_refresh_without_a_session_and_as_nobody(folder: Path) -> None:
    async with running_edge(folder, public_refresh=True) as edge:
        forged = {"x-ragmesh-listener": "local", "x-ragmesh-claims": "e30", **edge.bearer()}
        assert (await refresh(edge, forged))[-1].finished.document_count == 3
        assert edge.calls.last["x-ragmesh-listener"] == "public"
        assert not {"x-ragmesh-claims", "x-ragmesh-principal-bin", "authorization"} & set(edge.calls.last)
        over_web = await exchange(edge.public_port, "POST", REFRESH, {"content-type": GRPC_WEB}, frame(REQUEST))
        assert d.RefreshResponse.FromString(over_web.messages[-1]).finished.complete


async def test_with_it_no_other_method_of_documents_is_there(folder: Path) -> None:
    async with running_edge(folder, public_refresh=True) as edge:
        for method in method_names(DOCUMENT_SERVICE):
            if method != "Refresh":
                path = f"/{DOCUMENT_SERVICE.full_name}/{method}"
                reply = await exchange(edge.public_port, "POST", path, {"content-type": GRPC_WEB, **edge.bearer()}, frame(REQUEST))
                assert reply.trailers["grpc-status"] == "12", method
        assert not edge.calls.metadata


async def test_many_calls_are_refused_and_the_gateway_is_not(folder: Path) -> None:
    async with running_edge(folder, public_refresh=True, limits=Limits(refresh_burst=2, refresh_interval=600)) as edge:
        codes = []
        for _ in range(5):
            reply = await exchange(edge.public_port, "POST", REFRESH, {"content-type": GRPC_WEB}, frame(REQUEST))
            codes.append(reply.trailers["grpc-status"])
        assert codes == ["0", "0", "14", "14", "14"]
        assert len(edge.calls.metadata) == 2
        assert (await exchange(edge.public_port, "GET", "/healthz")).status == 200
