"""Health that stays true, and what the admin port shows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import grpc
import pytest
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from services.mesh.errors import MeshError
from services.mesh.health import CannotServe, HealthMonitor
from services.mesh.server import ServiceSpec, _serve
from services.mesh.settings import MeshSettings
from tests.service.mesh.chassis import COUNT_REQUEST, GENERATOR, GUARD, SECONDS, Served, bare_failure, serving

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
async def admin(served: Served) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to the admin port."""
    options = [("grpc.default_authority", "generator")]
    async with grpc.aio.insecure_channel(served.server.admin_target, options=options) as opened:
        yield opened


async def _becomes(channel: grpc.aio.Channel, service: str, wanted: int) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    async with asyncio.timeout(SECONDS):
        while (await stub.Check(health_pb2.HealthCheckRequest(service=service))).status != wanted:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("service", ["", GENERATOR, GUARD])
async def test_health_follows_a_dependency_down_and_up_again(served: Served, admin: grpc.aio.Channel, service: str) -> None:
    for channel in (served.raw, admin):
        await _becomes(channel, service, SERVING)
    served.ready["store"] = False
    for channel in (served.raw, admin):
        await _becomes(channel, service, NOT_SERVING)
    served.ready["store"] = True
    for channel in (served.raw, admin):
        await _becomes(channel, service, SERVING)


async def test_a_service_nobody_serves_has_no_health(served: Served) -> None:
    stub = health_pb2_grpc.HealthStub(served.raw)
    error = await bare_failure(stub.Check(health_pb2.HealthCheckRequest(service="ragmesh.none.v1.NoneService")))
    assert error.code() is grpc.StatusCode.NOT_FOUND


async def test_a_watcher_sees_the_change(served: Served) -> None:
    watch = health_pb2_grpc.HealthStub(served.raw).Watch(health_pb2.HealthCheckRequest(service=GENERATOR))
    async with asyncio.timeout(SECONDS):
        while (await watch.read()).status != SERVING:
            pass
        served.ready["store"] = False
        while (await watch.read()).status != NOT_SERVING:
            pass
    watch.cancel()


async def test_a_dependency_that_breaks_or_hangs_is_not_ready() -> None:
    async def broken() -> Mapping[str, bool]:
        raise ConnectionError("gone")

    async def hanging() -> Mapping[str, bool]:
        raise TimeoutError

    async def one_of_two() -> Mapping[str, bool]:
        return {"store": True, "model": False}

    for readiness in (broken, hanging, one_of_two):
        assert await HealthMonitor(["s"], readiness, 0.05).look() is False


async def test_an_optional_dependency_is_named_and_not_waited_for() -> None:
    async def one_of_two() -> Mapping[str, bool]:
        return {"store": True, "model": False}

    assert await HealthMonitor(["s"], one_of_two, 0.05, frozenset({"model"})).look() is True
    assert await HealthMonitor(["s"], one_of_two, 0.05, frozenset({"store"})).look() is False


async def test_a_process_that_cannot_serve_ends_with_the_reason(tmp_path: Path) -> None:
    closed: list[bool] = []
    looks = iter([False, False])

    async def hopeless() -> Mapping[str, bool]:
        if (found := next(looks, None)) is None:
            raise CannotServe(MeshError("EMBEDDER_CHANGED", "run this"))
        return {"models": found}

    async def close() -> None:
        closed.append(True)

    async def build(_: MeshSettings) -> ServiceSpec:
        return ServiceSpec("guard", (GUARD,), lambda server: None, hopeless, close, {GUARD: frozenset()})

    with pytest.raises(MeshError, match="run this") as caught:
        await _serve(MeshSettings(run_dir=tmp_path / "run", data_dir=tmp_path / "data", readiness_seconds=0.05), build)
    assert caught.value.reason == "EMBEDDER_CHANGED"
    assert closed == [True]


async def test_a_draining_service_is_not_serving(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        await _becomes(served.raw, GENERATOR, SERVING)
        await served.server._monitor.drain()
        await _becomes(served.raw, GENERATOR, NOT_SERVING)


async def test_the_admin_port_lists_what_is_served(admin: grpc.aio.Channel) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(admin)
    call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=SECONDS)
    answer = await call.read()
    names = {service.name for service in answer.list_services_response.service}
    assert names == {
        GENERATOR,
        GUARD,
        "grpc.health.v1.Health",
        "grpc.channelz.v1.Channelz",
        "grpc.reflection.v1alpha.ServerReflection",
    }


async def test_reflection_describes_our_messages(admin: grpc.aio.Channel) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(admin)
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=GENERATOR)
    answer = await stub.ServerReflectionInfo(iter([request]), timeout=SECONDS).read()
    files = answer.file_descriptor_response.file_descriptor_proto
    assert any(b"ragmesh/generator/v1/generator_service.proto" in file for file in files)


async def test_channelz_counts_calls(served: Served, admin: grpc.aio.Channel) -> None:
    stub = channelz_pb2_grpc.ChannelzStub(admin)
    before = await stub.GetServers(channelz_pb2.GetServersRequest(), timeout=SECONDS)
    assert len(before.server) >= 2, "the service and its admin port"
    await bare_failure(served.raw_stub.CountTokens(COUNT_REQUEST, timeout=SECONDS))
    after = await stub.GetServers(channelz_pb2.GetServersRequest(), timeout=SECONDS)
    calls = [sum(server.data.calls_started for server in answer.server) for answer in (before, after)]
    assert calls[1] > calls[0]


async def test_the_admin_port_serves_nothing_of_ours(admin: grpc.aio.Channel, served: Served) -> None:
    call = served.send(f"/{GENERATOR}/CountTokens", to=admin)(b"", timeout=SECONDS)
    assert (await bare_failure(call)).code() is grpc.StatusCode.UNIMPLEMENTED


async def test_the_own_port_lists_only_what_the_edge_routes(tmp_path: Path, served: Served) -> None:
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    closed = reflection_pb2_grpc.ServerReflectionStub(served.raw).ServerReflectionInfo(iter([request]), timeout=SECONDS)
    assert (await bare_failure(closed.read())).code() is grpc.StatusCode.UNIMPLEMENTED
    async with serving(tmp_path / "edge", spec={"edge_reflection": (GENERATOR,)}) as open_one:
        stub = reflection_pb2_grpc.ServerReflectionStub(open_one.raw)
        answer = await stub.ServerReflectionInfo(iter([request]), timeout=SECONDS).read()
    names = {service.name for service in answer.list_services_response.service}
    assert GENERATOR in names
    assert GUARD not in names
