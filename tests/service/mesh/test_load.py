"""As many calls as a service takes, none while it drains, and an orderly end for those that run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from ragmesh.generator.v1 import generator_service_pb2 as generator_pb2

from services.mesh.errors import from_rpc_error
from tests.service.mesh.chassis import COUNT_REQUEST, SECONDS, STREAM_REQUEST, Served, bare_failure, failure, serving, text, until

pytestmark = pytest.mark.usefixtures("as_visitor")


class _Gate:
    """A handler that waits until it is let go."""

    def __init__(self, served: Served) -> None:
        self.entered = 0
        self.left = 0
        self.open = asyncio.Event()
        served.servicer.on_count = self._count

    async def _count(self, _: Any, __: Any) -> Any:
        self.entered += 1
        try:
            await self.open.wait()
        finally:
            self.left += 1
        return generator_pb2.CountTokensResponse(counts=[7])


async def test_one_call_too_many_is_refused_at_once(tmp_path: Path) -> None:
    async with serving(tmp_path, max_concurrent_calls=2) as served:
        gate = _Gate(served)
        running = [asyncio.ensure_future(served.stub.CountTokens(COUNT_REQUEST, timeout=SECONDS)) for _ in range(2)]
        await until(lambda: gate.entered == 2)
        error = await failure(served.stub.CountTokens(COUNT_REQUEST, timeout=SECONDS))
        assert error.reason == "OVERLOADED"
        assert error.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert error.retry_after == 1.0
        assert error.metadata == {"limit": "2"}
        gate.open.set()
        assert [list(answer.counts) for answer in await asyncio.gather(*running)] == [[7], [7]]
        assert list((await served.stub.CountTokens(COUNT_REQUEST, timeout=SECONDS)).counts) == [7]


async def test_a_refused_call_takes_no_place(tmp_path: Path) -> None:
    async with serving(tmp_path, max_concurrent_calls=1) as served:
        for _ in range(3):
            await failure(served.send("/ragmesh.generator.v1.GeneratorService/CountTokens")(b"\xff", timeout=SECONDS))
        assert list((await served.stub.CountTokens(COUNT_REQUEST, timeout=SECONDS)).counts) == [2]


async def test_a_drain_lets_running_calls_end_and_takes_no_new_ones(tmp_path: Path) -> None:
    async with serving(tmp_path, drain_seconds=SECONDS) as served:
        gate = _Gate(served)
        running = asyncio.ensure_future(served.stub.CountTokens(COUNT_REQUEST, timeout=SECONDS))
        await until(lambda: gate.entered == 1)
        stopping = asyncio.ensure_future(served.server.stop())
        await until(lambda: served.server._admission.draining)
        error = await bare_failure(served.stub.CountTokens(COUNT_REQUEST, timeout=0.5))
        assert from_rpc_error(error, service="generator").reason in {"DRAINING", "SERVICE_UNAVAILABLE", "DEADLINE_EXCEEDED"}
        assert gate.entered == 1
        assert not stopping.done()
        gate.open.set()
        assert list((await running).counts) == [7]
        await asyncio.wait_for(stopping, SECONDS)
        assert served.servicer.calls == -1, "what the service holds is closed after its last call"


async def test_a_drain_says_so(served: Served) -> None:
    """A call that was accepted just before the drain began."""
    served.server._admission.draining = True
    error = await failure(served.stub.CountTokens(COUNT_REQUEST, timeout=SECONDS))
    assert error.reason == "DRAINING"
    assert error.metadata == {"service": "generator"}
    assert error.retryable


async def test_a_drain_does_not_wait_longer_than_it_may(tmp_path: Path) -> None:
    async with serving(tmp_path, drain_seconds=0.1) as served:
        ended = asyncio.Event()

        async def stream(_: Any, __: Any) -> AsyncIterator[Any]:
            try:
                yield text("first")
                await asyncio.Event().wait()
            finally:
                ended.set()

        served.servicer.on_stream = stream
        call = served.stub.StreamGenerate(STREAM_REQUEST, timeout=SECONDS)
        await call.read()
        await asyncio.wait_for(served.server.stop(), SECONDS)
        await asyncio.wait_for(ended.wait(), SECONDS)
        error = await bare_failure(call.read())
        assert from_rpc_error(error, service="generator").code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}


async def test_sockets_are_gone_after_the_end(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        assert sorted(path.name for path in tmp_path.iterdir()) == ["generator.admin.sock", "generator.sock"]
        await served.server.stop()
    assert list(tmp_path.iterdir()) == []


async def test_the_socket_of_a_process_that_was_killed_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "generator.sock").touch()
    async with serving(tmp_path) as served:
        assert list((await served.stub.CountTokens(COUNT_REQUEST, timeout=SECONDS)).counts) == [2]


async def test_a_folder_that_others_may_enter_is_closed_to_them(tmp_path: Path) -> None:
    """Whoever may open the socket is a peer of the mesh."""
    run_dir = tmp_path / "run"
    run_dir.mkdir(mode=0o755)
    async with serving(run_dir):
        assert run_dir.stat().st_mode & 0o777 == 0o700


async def test_a_socket_in_an_open_folder_is_refused(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o755)
    with pytest.raises(RuntimeError, match="0700"):
        async with serving(tmp_path / "run", listen=f"unix:{shared}/generator.sock"):
            pass
    assert shared.stat().st_mode & 0o777 == 0o755, "a folder that is not the mesh's is left as it is"


async def test_a_path_that_is_too_long_for_a_socket_is_named(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="too long for a socket"):
        async with serving(tmp_path / ("x" * 120)):
            pass


async def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    server = await asyncio.start_server(lambda _, __: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        with pytest.raises(RuntimeError, match=str(port)):
            async with serving(tmp_path, listen=f"127.0.0.1:{port}"):
                pass
    finally:
        server.close()
        await server.wait_closed()
