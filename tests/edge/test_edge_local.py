"""The local listener: plain gRPC for programs of this machine, and mTLS towards the services."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from ragmesh.gateway.v1 import gateway_service_pb2 as g
from ragmesh.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub
from ragmesh.retriever.v1 import document_service_pb2 as d
from ragmesh.retriever.v1.document_service_pb2_grpc import DocumentServiceStub

from bench.otlp_receiver import OtlpReceiver
from cli.parts.certificates import issue
from cli.parts.envoy_routes import Limits
from cli.parts.ports import free_ports
from tests.edge.conftest import Edge, running_edge, until
from tests.edge.recording import Calls, start_gateway
from tests.edge.wire import call, exchange


@pytest.fixture
async def channel(edge: Edge) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(edge.target) as opened:
        yield opened


async def test_reflection_lists_what_is_routed(channel: grpc.aio.Channel) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)

    async def requests() -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
        yield reflection_pb2.ServerReflectionRequest(list_services="")

    answers = [answer async for answer in stub.ServerReflectionInfo(requests(), timeout=5)]
    names = {service.name for service in answers[0].list_services_response.service}
    assert {"ragmesh.gateway.v1.GatewayService", "ragmesh.retriever.v1.DocumentService"} <= names


async def test_health_is_answered_by_the_gateway(channel: grpc.aio.Channel) -> None:
    answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_calls_and_streams_need_no_token(edge: Edge, channel: grpc.aio.Channel) -> None:
    stub = GatewayServiceStub(channel)
    answer = await stub.Answer(g.AnswerRequest(question="Why?"), timeout=5)
    assert answer.turn.question == "Why?"
    events = [response.event async for response in stub.StreamAnswer(g.StreamAnswerRequest(question="x"), timeout=5)]
    assert [event.seq for event in events] == [1, 2, 3]
    assert edge.calls.last["x-ragmesh-listener"] == "local"


async def test_a_cancelled_call_reaches_the_handler(edge: Edge, channel: grpc.aio.Channel) -> None:
    running = GatewayServiceStub(channel).StreamAnswer(g.StreamAnswerRequest(question="wait"), timeout=30)
    await running.read()
    running.cancel()
    async with asyncio.timeout(2):
        await edge.calls.cancelled.wait()


@pytest.mark.parametrize(
    "path",
    [
        "/ragmesh.guard.v1.GuardService/CheckInput",
        "/ragmesh.retriever.v1.RetrieverService/Search",
        "/grpc.channelz.v1.Channelz/GetServers",
    ],
)
async def test_what_is_not_routed_is_unimplemented(channel: grpc.aio.Channel, path: str) -> None:
    unknown = channel.unary_unary(path, request_serializer=bytes, response_deserializer=bytes)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await unknown(b"", timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_an_import_has_no_wall(folder: Path) -> None:
    """A stream that goes on for longer than any turn may: the wall of 0.3 s is for turns alone."""
    async with (
        running_edge(folder, limits=Limits(stream=0.3)) as edge,
        grpc.aio.insecure_channel(edge.target) as channel,
    ):
        imports = DocumentServiceStub(channel).ImportDocuments()
        begin = d.ImportBegin(document="collections/c/documents/d", media_type="text/plain", size_bytes=1, sha256="0" * 64)
        await imports.write(d.ImportDocumentsRequest(begin=begin))
        await imports.write(d.ImportDocumentsRequest(commit=d.ImportCommit()))
        turn = GatewayServiceStub(channel).StreamAnswer(g.StreamAnswerRequest(question="wait"), timeout=30)
        with pytest.raises(grpc.aio.AioRpcError):
            async for _ in turn:
                continue
        edge.calls.release.set()
        answer = await imports.read()
        assert answer.acked.document == "collections/c/documents/d"
        await imports.done_writing()
        assert await imports.code() is grpc.StatusCode.OK


async def test_a_web_browser_gets_nothing_here(edge: Edge) -> None:
    """HTTP/1.1 is not spoken, so that no page can reach the listener that needs no token."""
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await exchange(edge.local_port, "GET", "/")


def _service_credentials(folder: Path, name: str) -> grpc.ServerCredentials:
    pair = ((folder / f"{name}.key").read_bytes(), (folder / f"{name}.pem").read_bytes())
    return grpc.ssl_server_credentials([pair], (folder / "ca.pem").read_bytes(), require_client_auth=True)


@pytest.mark.parametrize(("presented", "status"), [("gateway", "0"), ("guard", "14")])
async def test_mtls_reaches_the_service_that_is_meant_and_no_other(folder: Path, presented: str, status: str) -> None:
    issue(folder / "tls", days=1)
    calls = Calls()
    gateway, retriever = free_ports(2)
    server = await start_gateway(f"127.0.0.1:{gateway}", calls, _service_credentials(folder / "tls", presented))
    upstreams = {"gateway": f"127.0.0.1:{gateway}", "retriever": f"127.0.0.1:{retriever}"}
    try:
        async with running_edge(folder, upstream=False, upstreams=upstreams, tls_dir=folder / "tls") as edge:
            reply = await call(edge.public_port, "GetAssistant", g.GetAssistantRequest())
            assert reply.trailers["grpc-status"] == status

            async def logged() -> bool:
                return edge.access_log.exists() and "GetAssistant" in edge.access_log.read_text()

            await until(logged, "the access log stayed empty")
            refused = "CERTIFICATE_VERIFY_FAILED" in edge.access_log.read_text()
            assert refused == (presented != "gateway")
    finally:
        await server.stop(0)


async def test_sampling_is_switched_while_it_runs_and_no_client_can(folder: Path) -> None:
    sampled = {"traceparent": "00-11111111111111111111111111111111-2222222222222222-01", "x-envoy-force-trace": "1"}
    async with OtlpReceiver() as receiver, running_edge(folder, otlp_endpoint=receiver.endpoint) as edge:
        for _ in range(20):
            await call(edge.public_port, "GetAssistant", g.GetAssistantRequest(), sampled)
            assert str(edge.calls.last["traceparent"]).endswith("-00")
        await edge.admin.set_sampling(100)

        async def traced() -> bool:
            await call(edge.public_port, "GetAssistant", g.GetAssistantRequest())
            return str(edge.calls.last["traceparent"]).endswith("-01")

        await until(traced, "the sampling never changed")
        trace_id = str(edge.calls.last["traceparent"]).split("-")[1]
        await receiver.wait(lambda spans: any(span.trace_id == trace_id for span in spans), 10)
        (span,) = receiver.trace(trace_id)
        assert (span.service, span.name) == ("envoy", "ragmesh.gateway.v1.GatewayService/GetAssistant")
        assert not span.parent_id.strip("0")
        await edge.admin.set_sampling(None)

        async def untraced() -> bool:
            return not await traced()

        await until(untraced, "the sampling was never switched back")


async def test_the_access_log_holds_no_query_and_no_body(edge: Edge) -> None:
    await exchange(edge.public_port, "GET", "/?q=secret-in-query")
    await call(edge.public_port, "Answer", g.AnswerRequest(question="secret-in-body"), edge.bearer())

    async def written() -> bool:
        return edge.access_log.exists() and "GatewayService/Answer" in edge.access_log.read_text()

    await until(written, "the access log stayed empty")
    text = edge.access_log.read_text()
    assert "secret" not in text
    assert '"path":"/"' in text
