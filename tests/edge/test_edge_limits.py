"""Security headers on every response, origins, floods, sizes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from ragmesh.gateway.v1 import gateway_service_pb2 as g

from cli.parts.envoy import MAX_REQUEST_BYTES
from tests.edge.conftest import Edge, running_edge
from tests.edge.wire import GRPC_WEB, SECONDS, Connection, Reply, call, exchange, frame

ANSWER = "/ragmesh.gateway.v1.GatewayService/Answer"
SECURITY = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "content-type,x-grpc-web"}
FRIEND, STRANGER = "https://page.example", "https://page.example.evil.example"


def assert_secured(reply: Reply) -> None:
    assert {name: reply.headers.get(name) for name in SECURITY} == SECURITY
    policy = reply.headers["content-security-policy"]
    for part in ("default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"):
        assert part in policy
    assert "unsafe" not in policy
    assert "microphone=()" in reply.headers["permissions-policy"]


async def test_every_response_has_the_security_headers(edge: Edge) -> None:
    port, message = edge.public_port, g.AnswerRequest(question="x")
    index = await exchange(port, "GET", "/")
    replies = {
        200: index,
        304: await exchange(port, "GET", "/", {"if-none-match": index.headers["etag"]}),
        404: await exchange(port, "GET", "/nothing"),
        421: await exchange(port, "GET", "/", {"host": "evil.example"}),
        400: await exchange(port, "GET", "/a%2fb"),
        204: await exchange(port, "OPTIONS", ANSWER, {"origin": FRIEND, **PREFLIGHT}),
    }
    for status, reply in replies.items():
        assert reply.status == status
        assert_secured(reply)
    assert_secured(await exchange(port, "GET", "/healthz"))
    assert_secured(await call(port, "Answer", message))
    assert_secured(await call(port, "Answer", message, edge.bearer()))
    assert_secured(await call(port, "StreamAnswer", g.StreamAnswerRequest(question="fail"), edge.bearer()))
    assert_secured(await call(port, "NoSuchMethod", message, edge.bearer()))


async def test_refusals_before_any_route_have_them_too(edge: Edge) -> None:
    assert_secured(await exchange(edge.public_port, "GET", "/", {"x-long": "x" * 40_000}))
    assert_secured(await exchange(edge.public_port, "GET", "/", {"with_underscore": "1"}))


async def test_a_down_gateway_has_them_too(folder: Path) -> None:
    async with running_edge(folder, upstream=False) as edge:
        assert_secured(await call(edge.public_port, "GetAssistant", g.GetAssistantRequest()))


async def test_a_flood_is_refused_and_passes(folder: Path) -> None:
    async with running_edge(folder, rate_per_second=5, rate_burst=5) as edge:
        replies = [await call(edge.public_port, "GetAssistant", g.GetAssistantRequest()) for _ in range(12)]
        codes = [reply.trailers["grpc-status"] for reply in replies]
        assert codes[:3] == ["0", "0", "0"]
        assert "14" in codes
        refused = replies[codes.index("14")]
        assert_secured(refused)

        async with asyncio.timeout(SECONDS):
            while (await call(edge.public_port, "GetAssistant", g.GetAssistantRequest())).trailers["grpc-status"] != "0":
                continue


async def test_a_preflight_of_a_friend_is_answered_here(edge: Edge) -> None:
    reply = await exchange(edge.public_port, "OPTIONS", ANSWER, {"origin": FRIEND, **PREFLIGHT})
    assert reply.status == 204
    assert reply.headers["access-control-allow-origin"] == FRIEND
    assert reply.headers["access-control-allow-methods"] == "POST"
    assert {"content-type", "x-grpc-web", "authorization", "grpc-timeout"} <= set(
        reply.headers["access-control-allow-headers"].split(", ")
    )
    assert "access-control-allow-credentials" not in reply.headers
    assert not edge.calls.metadata


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": STRANGER, **PREFLIGHT},
        {"origin": "null", **PREFLIGHT},
        {"origin": "*", **PREFLIGHT},
        {"origin": "http://page.example", **PREFLIGHT},
        {"origin": FRIEND, "access-control-request-method": "DELETE"},
        {"origin": FRIEND},
        {},
    ],
    ids=str,
)
async def test_any_other_options_is_not_found(edge: Edge, headers: dict[str, str]) -> None:
    reply = await exchange(edge.public_port, "OPTIONS", ANSWER, headers)
    assert reply.status == 404
    assert "access-control-allow-origin" not in reply.headers
    assert not edge.calls.metadata


async def test_a_friend_may_read_answers_and_errors(edge: Edge) -> None:
    for headers in (edge.bearer(), {}):
        reply = await call(edge.public_port, "Answer", g.AnswerRequest(question="x"), {"origin": FRIEND, **headers})
        assert reply.headers["access-control-allow-origin"] == FRIEND
        exposed = reply.headers["access-control-expose-headers"]
        assert exposed.split(", ") == ["grpc-status", "grpc-message", "grpc-status-details-bin"]


async def test_a_stranger_may_not_read(edge: Edge) -> None:
    reply = await call(edge.public_port, "Answer", g.AnswerRequest(question="x"), {"origin": STRANGER, **edge.bearer()})
    assert "access-control-allow-origin" not in reply.headers


async def test_no_foreign_origin_by_default(folder: Path) -> None:
    async with running_edge(folder) as edge:
        reply = await exchange(edge.public_port, "OPTIONS", ANSWER, {"origin": FRIEND, **PREFLIGHT})
        assert reply.status == 404


async def test_a_body_that_is_announced_too_large_is_not_read(edge: Edge) -> None:
    connection = await Connection.open(edge.public_port)
    headers = {"content-type": GRPC_WEB, "content-length": str(MAX_REQUEST_BYTES + 1), **edge.bearer()}
    async with asyncio.timeout(SECONDS):
        await connection.request("POST", ANSWER, headers, b"\0")
        reply = await connection.head()
    await connection.close()
    assert reply.status == 413 or reply.headers["grpc-status"] != "0"
    assert_secured(reply)
    assert not edge.calls.metadata


async def test_a_body_at_the_limit_reaches_the_gateway_which_judges_it(edge: Edge) -> None:
    body = frame(g.AnswerRequest(question="x" * (MAX_REQUEST_BYTES - 64)))
    headers = {"content-type": GRPC_WEB, **edge.bearer()}
    reply = await exchange(edge.public_port, "POST", ANSWER, headers, body)
    assert reply.trailers["grpc-status"] == "8"  # grpc's own limit in this test's servicer
