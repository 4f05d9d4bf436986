"""mTLS with SPIFFE ids: who may call what, on loopback TCP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from ragmesh.guard.v1 import guard_service_pb2 as guard_pb2
from ragmesh.guard.v1 import guard_service_pb2_grpc as guard_grpc

from services.mesh import context
from services.mesh.channel import open_channel
from services.mesh.errors import from_rpc_error
from services.mesh.identity import CLAIMS_KEY, LISTENER_KEY, principal_metadata
from tests.service.mesh.certificates import Authority
from tests.service.mesh.chassis import COUNT, COUNT_REQUEST, GENERATOR, SECONDS, VISITOR, Served, bare_failure, failure, serving

FAST = 1.0
"""Budget of a call whose handshake is refused: gRPC tries until it is used up, or says UNAVAILABLE before."""
PEERS = {GENERATOR: frozenset({"gateway", "envoy"}), "ragmesh.guard.v1.GuardService": frozenset({"retriever"})}


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[Served]:
    """A service that asks for certificates; its channel is the gateway's."""
    folder = Authority().write(tmp_path / "tls", "gateway", "guard", "retriever", "generator", "envoy")
    async with serving(tmp_path / "run", spec={"peers": PEERS}, listen="127.0.0.1:0", tls_dir=folder) as found:
        yield found


def _as(secured: Served, caller: str, folder: Path | None = None) -> grpc.aio.Channel:
    settings = secured.settings if folder is None else secured.settings.model_copy(update={"tls_dir": folder})
    return open_channel(settings, "generator", caller=caller)


async def _count(channel: grpc.aio.Channel, seconds: float = SECONDS, **arguments: Any) -> Any:
    call = channel.unary_unary(COUNT, request_serializer=lambda message: message.SerializeToString())
    return await call(COUNT_REQUEST, timeout=seconds, **arguments)


@pytest.mark.usefixtures("as_visitor")
async def test_an_allowed_peer_calls_on_somebodys_behalf(secured: Served) -> None:
    seen = []

    async def count(request: Any, call: Any) -> Any:
        seen.append(context.principal())
        return await plain(request, call)

    plain, secured.servicer.on_count = secured.servicer.on_count, count
    assert list((await secured.stub.CountTokens(COUNT_REQUEST, timeout=SECONDS)).counts) == [2]
    assert seen == [VISITOR]


@pytest.mark.usefixtures("as_visitor")
async def test_another_peer_is_refused_by_name(secured: Served) -> None:
    async with _as(secured, "guard") as channel:
        error = await failure(_count(channel))
    assert error.reason == "PEER_NOT_ALLOWED"
    assert error.metadata == {"peer": "spiffe://ragmesh/guard"}
    assert secured.servicer.calls == 0


@pytest.mark.usefixtures("as_visitor")
async def test_the_list_is_kept_for_each_service(secured: Served) -> None:
    async with _as(secured, "retriever") as channel:
        assert (await failure(_count(channel))).reason == "PEER_NOT_ALLOWED"
        call = guard_grpc.GuardServiceStub(channel).CheckOutput(timeout=SECONDS)
        await call.write(guard_pb2.CheckOutputRequest(text=guard_pb2.DraftText(text="a")))
        await call.done_writing()
        assert await call.code() is grpc.StatusCode.OK
    call = secured.guard.CheckOutput(timeout=SECONDS)
    assert (await failure(call.read())).reason == "PEER_NOT_ALLOWED"


async def test_a_method_may_have_a_list_of_its_own(tmp_path: Path) -> None:
    folder = Authority().write(tmp_path / "tls", "gateway", "guard", "generator")
    peers = {GENERATOR: frozenset({"gateway"}), COUNT: frozenset({"guard"})}
    async with serving(tmp_path / "run", spec={"peers": peers}, listen="127.0.0.1:0", tls_dir=folder) as found:
        with context.as_principal(VISITOR):
            async with _as(found, "guard") as channel:
                await _count(channel)
            assert (await failure(found.stub.CountTokens(COUNT_REQUEST, timeout=SECONDS))).reason == "PEER_NOT_ALLOWED"


async def test_without_a_certificate_there_is_no_call(secured: Served) -> None:
    tls_dir = secured.settings.tls_dir
    assert tls_dir is not None
    anybody = grpc.ssl_channel_credentials(root_certificates=(tls_dir / "ca.pem").read_bytes())
    options = [("grpc.ssl_target_name_override", "generator")]
    async with grpc.aio.secure_channel(secured.server.target, anybody, options=options) as channel:
        error = await bare_failure(_count(channel, FAST, metadata=[principal_metadata(VISITOR)]))
    assert from_rpc_error(error, service="generator").reason in {"SERVICE_UNAVAILABLE", "DEADLINE_EXCEEDED"}
    assert secured.servicer.calls == 0


async def test_without_tls_there_is_no_call(secured: Served) -> None:
    error = await bare_failure(_count(secured.raw, FAST, metadata=[principal_metadata(VISITOR)]))
    assert from_rpc_error(error, service="generator").reason in {"SERVICE_UNAVAILABLE", "DEADLINE_EXCEEDED"}
    assert secured.servicer.calls == 0


@pytest.mark.usefixtures("as_visitor")
async def test_a_certificate_of_another_authority_is_refused(secured: Served, tmp_path: Path) -> None:
    strangers = Authority().write(tmp_path / "strangers", "gateway")
    tls_dir = secured.settings.tls_dir
    assert tls_dir is not None
    (strangers / "ca.pem").write_bytes((tls_dir / "ca.pem").read_bytes())
    async with _as(secured, "gateway", strangers) as channel:
        error = await bare_failure(_count(channel, FAST))
    assert from_rpc_error(error, service="generator").reason in {"SERVICE_UNAVAILABLE", "DEADLINE_EXCEEDED"}
    assert secured.servicer.calls == 0


@pytest.mark.usefixtures("as_visitor")
async def test_an_id_of_another_trust_domain_is_nobody(tmp_path: Path) -> None:
    folder = Authority("elsewhere").write(tmp_path / "tls", "gateway", "generator")
    async with serving(tmp_path / "run", listen="127.0.0.1:0", tls_dir=folder) as found:
        error = await failure(found.stub.CountTokens(COUNT_REQUEST, timeout=SECONDS))
    assert error.reason == "PEER_NOT_ALLOWED"
    assert error.metadata == {"peer": "unknown"}


async def test_the_edge_never_brings_a_ready_made_principal(secured: Served) -> None:
    """It speaks for visitors by claims alone, so that what it failed to strip has no weight."""
    async with _as(secured, "envoy") as channel:
        error = await failure(_count(channel, metadata=[principal_metadata(VISITOR)]))
        assert error.reason == "UNAUTHENTICATED"
        await _count(channel, metadata=[(LISTENER_KEY, "local")])


async def test_another_service_never_speaks_by_claims(secured: Served) -> None:
    for entry in ((LISTENER_KEY, "local"), (CLAIMS_KEY, "eyJzdWIiOiJzZXNzaW9ucy8xIn0")):
        error = await failure(_count(secured.channel, metadata=[entry]))
        assert error.reason == "UNAUTHENTICATED"


@pytest.mark.usefixtures("as_visitor")
async def test_new_certificates_need_no_restart(secured: Served) -> None:
    tls_dir = secured.settings.tls_dir
    assert tls_dir is not None
    Authority().write(tls_dir, "gateway", "generator")
    async with _as(secured, "gateway") as channel:
        await _count(channel)


async def test_without_tls_a_port_takes_no_call(tmp_path: Path) -> None:
    """On TCP nobody can be told from anybody: only a socket or a certificate names a peer."""
    async with serving(tmp_path, listen="127.0.0.1:0") as found:
        error = await failure(_count(found.raw, metadata=[principal_metadata(VISITOR)]))
    assert error.reason == "PEER_NOT_ALLOWED"
    assert error.metadata == {"peer": "unknown"}


async def test_tls_on_a_socket_is_refused_at_start(tmp_path: Path) -> None:
    folder = Authority().write(tmp_path / "tls", "generator")
    with pytest.raises(RuntimeError, match="listen must be host:port"):
        async with serving(tmp_path / "run", tls_dir=folder):
            pass
