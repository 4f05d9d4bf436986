"""Who a client is: session tokens are checked, and nothing that a client says of itself gets through."""

from __future__ import annotations

import base64
import json
import time

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from ragmesh.gateway.v1 import gateway_service_pb2 as g
from ragmesh.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub

from cli.parts.envoy_routes import GATEWAY_SERVICE, method_names
from tests.edge.conftest import Edge
from tests.edge.wire import GRPC_WEB, call, exchange, frame

FORBIDDEN = {
    "x-ragmesh-principal-bin": base64.b64encode(b"operator").decode(),
    "x-ragmesh-claims": base64.urlsafe_b64encode(b'{"sub": "sessions/other"}').decode(),
    "x-ragmesh-listener": "local",
    "X-Ragmesh-Anything": "1",
    "traceparent": "00-11111111111111111111111111111111-2222222222222222-01",
    "tracestate": "a=b",
    "baggage": "user=admin",
    "x-client-trace-id": "1",
    "x-envoy-force-trace": "1",
    "x-request-id": "mine",
}


@pytest.mark.parametrize(
    "method", [name for name in method_names(GATEWAY_SERVICE) if name not in ("CreateSession", "GetAssistant")]
)
async def test_every_other_method_needs_a_token(edge: Edge, method: str) -> None:
    reply = await call(edge.public_port, method, g.CreateSessionRequest())
    assert reply.trailers["grpc-status"] == "16"
    assert reply.headers["content-type"] == GRPC_WEB
    assert not edge.calls.metadata


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": int(time.time()) - 60},
        {"exp": None},
        {"nbf": int(time.time()) + 600},
        {"iss": "somebody"},
        {"iss": None},
        {"aud": "another-service"},
        {"aud": None},
        {"sub": "users/local"},
        {"sub": None},
    ],
    ids=str,
)
async def test_a_token_with_wrong_claims_is_refused(edge: Edge, claims: dict[str, object]) -> None:
    reply = await call(edge.public_port, "Answer", g.AnswerRequest(question="x"), edge.bearer(**claims))
    assert reply.trailers["grpc-status"] in ("7", "16")
    assert not edge.calls.metadata


async def test_a_forged_token_is_refused(edge: Edge) -> None:
    forged = edge.token(key=ec.generate_private_key(ec.SECP256R1()))
    head, payload, signature = edge.token().split(".")
    other = base64.urlsafe_b64encode(
        json.dumps({"iss": "ragmesh", "aud": "ragmesh-gateway", "sub": "sessions/x", "exp": 2**33}).encode()
    )
    public_key_as_secret = jwt.encode(
        {"sub": "sessions/x", "iss": "ragmesh", "aud": "ragmesh-gateway", "exp": 2**33}, "0" * 32, "HS256"
    )
    unsigned = jwt.encode({"sub": "sessions/x", "iss": "ragmesh", "aud": "ragmesh-gateway", "exp": 2**33}, None, "none")
    changed = f"{head}.{other.decode().rstrip('=')}.{signature}"
    for token in (forged, changed, public_key_as_secret, unsigned, f"{head}.{payload}.", "x", ""):
        reply = await call(edge.public_port, "Answer", g.AnswerRequest(question="x"), {"authorization": f"Bearer {token}"})
        assert reply.trailers["grpc-status"] == "16", token
    assert not edge.calls.metadata


async def test_the_gateway_gets_the_verified_claims_and_not_the_token(edge: Edge) -> None:
    headers = {**edge.bearer(sub="sessions/0123"), "x-ragmesh-claims": "forged"}
    reply = await call(edge.public_port, "Answer", g.AnswerRequest(question="x"), headers)
    assert reply.trailers["grpc-status"] == "0"
    claims = edge.calls.last["x-ragmesh-claims"]
    assert isinstance(claims, str)
    assert json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["sub"] == "sessions/0123"
    assert "authorization" not in edge.calls.last


@pytest.mark.parametrize("method", ["CreateSession", "GetAssistant"])
async def test_a_first_visit_needs_no_token_and_an_old_one_does_not_stand_in_the_way(edge: Edge, method: str) -> None:
    for headers in ({}, edge.bearer(exp=int(time.time()) - 60), {"authorization": "Bearer x"}):
        reply = await call(edge.public_port, method, g.CreateSessionRequest(), headers)
        assert reply.trailers["grpc-status"] == "0"
        assert "x-ragmesh-claims" not in edge.calls.last


async def test_what_a_client_says_of_itself_is_removed_in_public(edge: Edge) -> None:
    reply = await call(edge.public_port, "CreateSession", g.CreateSessionRequest(), FORBIDDEN)
    assert reply.trailers["grpc-status"] == "0"
    seen = edge.calls.last
    assert seen["x-ragmesh-listener"] == "public"
    assert [name for name in seen if name.startswith("x-ragmesh-")] == ["x-ragmesh-listener"]
    _no_trace_of_the_client(seen)


async def test_what_a_client_says_of_itself_is_removed_on_the_local_listener(edge: Edge) -> None:
    given = [(name.lower(), b"operator" if name.endswith("-bin") else value) for name, value in FORBIDDEN.items()]
    async with grpc.aio.insecure_channel(edge.target) as channel:
        await GatewayServiceStub(channel).GetAssistant(g.GetAssistantRequest(), metadata=given, timeout=5)
    seen = edge.calls.last
    assert seen["x-ragmesh-listener"] == "local"
    assert [name for name in seen if name.startswith("x-ragmesh-")] == ["x-ragmesh-listener"]
    _no_trace_of_the_client(seen)


def _no_trace_of_the_client(seen: dict[str, str | bytes]) -> None:
    assert str(seen["traceparent"]).endswith("-00")  # nothing is sampled, whatever the client says
    assert "1111111111111111" not in str(seen["traceparent"])
    assert not seen.get("tracestate")
    assert not {"baggage", "x-client-trace-id", "x-envoy-force-trace"} & set(seen)
    assert seen["x-request-id"] != "mine"


async def test_the_page_of_another_name_for_this_address_gets_nothing(edge: Edge) -> None:
    """A site may bend its own name to 127.0.0.1 and so become "same origin" with us."""
    headers = {"host": f"evil.example:{edge.public_port}", "content-type": GRPC_WEB}
    body = frame(g.CreateSessionRequest())
    reply = await exchange(edge.public_port, "POST", "/ragmesh.gateway.v1.GatewayService/CreateSession", headers, body)
    assert not reply.messages
    assert not edge.calls.metadata
    assert (await exchange(edge.public_port, "GET", "/", {"host": "evil.example"})).status == 421
    for name in ("localhost", "127.0.0.1", "[::1]"):
        assert (await exchange(edge.public_port, "GET", "/", {"host": f"{name}:{edge.public_port}"})).status == 200
