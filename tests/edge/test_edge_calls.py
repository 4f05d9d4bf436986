"""gRPC-Web on the wire: frames, typed errors, aborts, deadlines, and what is routed at all."""

from __future__ import annotations

import asyncio
import base64
import time
from pathlib import Path

import pytest
from google.rpc import status_pb2
from ragmesh.gateway.v1 import gateway_service_pb2 as g
from ragmesh.gateway.v1 import turn_pb2 as t

from cli.parts.envoy_routes import Limits
from services.mesh.errors import from_status
from tests.edge.conftest import Edge, running_edge, until
from tests.edge.wire import GRPC_WEB, SECONDS, Connection, call, exchange, frame, frames

STREAM = "/ragmesh.gateway.v1.GatewayService/StreamAnswer"


def events(messages: list[bytes]) -> list[str]:
    return [g.StreamAnswerResponse.FromString(message).event.WhichOneof("event") or "" for message in messages]


async def test_a_unary_call_is_one_message_and_trailers(edge: Edge) -> None:
    reply = await call(edge.public_port, "Answer", g.AnswerRequest(question="Why?"), edge.bearer())
    assert (reply.status, reply.headers["content-type"]) == (200, GRPC_WEB)
    assert g.AnswerResponse.FromString(reply.messages[0]).turn.question == "Why?"
    assert reply.trailers["grpc-status"] == "0"


async def test_a_stream_is_its_messages_and_trailers(edge: Edge) -> None:
    reply = await call(edge.public_port, "StreamAnswer", g.StreamAnswerRequest(question="Why?"), edge.bearer())
    assert events(reply.messages) == ["started", "delta", "finished"]
    assert reply.trailers["grpc-status"] == "0"


async def test_a_stream_is_not_held_back_and_not_compressed(edge: Edge) -> None:
    connection = await Connection.open(edge.public_port)
    request = frame(g.StreamAnswerRequest(question="wait"))
    headers = {"content-type": GRPC_WEB, "accept-encoding": "gzip", **edge.bearer()}
    async with asyncio.timeout(SECONDS):
        await connection.request("POST", STREAM, headers, request)
        reply = await connection.head()
        assert "content-encoding" not in reply.headers
        first = await connection.chunk()
        assert events([payload for _, payload in frames(first)]) == ["started"]
        edge.calls.release.set()
        rest = await connection.body(reply, "POST")
    await connection.close()
    assert events([payload for flag, payload in frames(rest) if not flag]) == ["delta", "finished"]


async def test_a_typed_error_arrives_whole(edge: Edge) -> None:
    reply = await call(edge.public_port, "StreamAnswer", g.StreamAnswerRequest(question="fail"), edge.bearer())
    assert reply.status == 200
    trailers = reply.trailers
    assert trailers["grpc-status"] == "10"
    raw = trailers["grpc-status-details-bin"]
    status = status_pb2.Status.FromString(base64.b64decode(raw + "=" * (-len(raw) % 4)))
    error = from_status(status)
    assert error is not None
    assert (error.reason, error.metadata) == ("TURN_IN_PROGRESS", {"turn": "conversations/c/turns/t"})


async def test_a_client_that_leaves_is_noticed_by_the_handler(edge: Edge) -> None:
    connection = await Connection.open(edge.public_port)
    headers = {"content-type": GRPC_WEB, **edge.bearer()}
    await connection.request("POST", STREAM, headers, frame(g.StreamAnswerRequest(question="wait")))
    async with asyncio.timeout(SECONDS):
        await connection.head()
        await connection.chunk()
        left = time.monotonic()
        await connection.close()
        await edge.calls.cancelled.wait()
    assert time.monotonic() - left < 1.0


async def test_the_deadline_of_a_client_reaches_the_handler(edge: Edge) -> None:
    headers = {"grpc-timeout": "1500m", **edge.bearer()}
    await call(edge.public_port, "Answer", g.AnswerRequest(question="x"), headers)
    remaining = edge.calls.remaining[-1]
    assert remaining is not None
    assert 0.5 < remaining <= 1.5


async def test_a_deadline_that_passes_ends_the_call(edge: Edge) -> None:
    headers = {"grpc-timeout": "200m", **edge.bearer()}
    reply = await call(edge.public_port, "StreamAnswer", g.StreamAnswerRequest(question="wait"), headers)
    assert events(reply.messages) == ["started"]
    assert reply.trailers["grpc-status"] == "4"
    async with asyncio.timeout(SECONDS):
        await edge.calls.cancelled.wait()


async def test_the_wall_of_the_edge_cuts_a_stream_that_never_ends(folder: Path) -> None:
    async with running_edge(folder, limits=Limits(stream=0.5, idle=30.0)) as edge:
        connection = await Connection.open(edge.public_port)
        headers = {"content-type": GRPC_WEB, **edge.bearer()}
        async with asyncio.timeout(SECONDS):
            await connection.request("POST", STREAM, headers, frame(g.StreamAnswerRequest(question="wait")))
            await connection.head()
            await connection.chunk()
            # No trailer: this is why the gateway ends its turns long before.
            with pytest.raises((asyncio.IncompleteReadError, ValueError)):
                while await connection.chunk():
                    continue
                raise ValueError("ended without a trailer frame")
            await edge.calls.cancelled.wait()
        await connection.close()


async def test_no_route_timeout_cuts_a_slow_answer(folder: Path) -> None:
    """Envoy's default of 15 s would; the configuration says 0 s on each route that leads to a service."""
    from cli.parts.envoy import EnvoySettings, bootstrap

    settings = EnvoySettings(
        upstreams={"gateway": "unix:/g", "retriever": "unix:/r"},
        jwks_file=folder / "j",
        admin_socket=folder / "a",
        access_log=folder / "l",
    )
    routes = [
        route
        for listener in bootstrap(settings)["static_resources"]["listeners"]
        for host in listener["filter_chains"][0]["filters"][0]["typed_config"]["route_config"]["virtual_hosts"]
        for route in host["routes"]
        if "route" in route
    ]
    assert len(routes) > 20
    assert {route["route"]["timeout"] for route in routes} == {"0s"}
    assert not any("grpc_timeout_header_max" in route["route"]["max_stream_duration"] for route in routes)


@pytest.mark.parametrize("content_type", ["application/grpc", "application/json", "text/plain", "application/proto"])
async def test_only_grpc_web_is_served_in_public(edge: Edge, content_type: str) -> None:
    headers = {"content-type": content_type, **edge.bearer()}
    reply = await exchange(edge.public_port, "POST", STREAM, headers, frame(g.StreamAnswerRequest(question="x")))
    assert reply.status == 404 or reply.trailers.get("grpc-status") == "12"
    assert not edge.calls.metadata


@pytest.mark.parametrize(
    "path",
    [
        "/ragmesh.retriever.v1.DocumentService/ListDocuments",
        "/ragmesh.guard.v1.GuardService/CheckInput",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "/grpc.health.v1.Health/Check",
        "/ragmesh.gateway.v1.GatewayService/NoSuchMethod",
        "/ragmesh.gateway.v1.GatewayService/Answer/",
    ],
)
async def test_no_other_method_is_served_in_public(edge: Edge, path: str) -> None:
    reply = await exchange(
        edge.public_port, "POST", path, {"content-type": GRPC_WEB, **edge.bearer()}, frame(g.CreateSessionRequest())
    )
    assert reply.trailers["grpc-status"] == "12"
    assert not edge.calls.metadata


async def test_a_gateway_that_is_down_is_unavailable(folder: Path) -> None:
    async with running_edge(folder, upstream=False) as edge:
        reply = await call(edge.public_port, "GetAssistant", g.GetAssistantRequest())
        assert reply.trailers["grpc-status"] == "14"


async def test_health_is_the_gateways(edge: Edge) -> None:
    async def healthy() -> bool:
        return (await exchange(edge.public_port, "GET", "/healthz")).status == 200

    await until(healthy, "the edge never said that it is healthy")


async def test_health_is_bad_without_a_gateway(folder: Path) -> None:
    async with running_edge(folder, upstream=False) as edge:

        async def unhealthy() -> bool:
            return (await exchange(edge.public_port, "GET", "/healthz")).status == 503

        await until(unhealthy, "the edge never noticed that the gateway is down")


async def test_an_empty_and_a_broken_body_end_the_call_and_harm_nobody(edge: Edge) -> None:
    headers = {"content-type": GRPC_WEB, **edge.bearer()}
    for body in (b"", b"\0", b"\0\0\0\0\5ab", b"\0\0\0\0\2\xff\xff"):
        reply = await exchange(edge.public_port, "POST", STREAM, {**headers, "grpc-timeout": "300m"}, body)
        assert reply.trailers.get("grpc-status", "13") != "0", body
    reply = await call(edge.public_port, "StreamAnswer", g.StreamAnswerRequest(question="x"), edge.bearer())
    assert events(reply.messages)[-1] == "finished"
    assert g.StreamAnswerResponse.FromString(reply.messages[-1]).event.finished.outcome == t.OUTCOME_ANSWERED
