"""A real service on the chassis whose behaviour a test writes down, and ways to call it rightly and wrongly.

Knows the chassis and two of our contracts; no service of ours runs here.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2
from ragmesh.generator.v1 import generator_service_pb2 as generator_pb2
from ragmesh.generator.v1 import generator_service_pb2_grpc as generator_grpc
from ragmesh.guard.v1 import guard_service_pb2_grpc as guard_grpc
from ragmesh.identity.v1.principal_pb2 import Principal

from services.mesh import errors
from services.mesh.channel import open_channel
from services.mesh.errors import MeshError
from services.mesh.server import RunningServer, ServiceSpec, start
from services.mesh.settings import MeshSettings

GENERATOR = "ragmesh.generator.v1.GeneratorService"
GUARD = "ragmesh.guard.v1.GuardService"
COUNT = f"/{GENERATOR}/CountTokens"
STREAM = f"/{GENERATOR}/StreamGenerate"
VISITOR = Principal(tenant="default", subject="sessions/1", roles=["visitor"])
SECONDS = 10.0
"""Budget of a call that is meant to succeed; nothing waits for it."""

COUNT_REQUEST = generator_pb2.CountTokensRequest(texts=["one two"])
STREAM_REQUEST = generator_pb2.StreamGenerateRequest(question="Why?", assistant="assistants/default")


async def until(condition: Callable[[], Any], seconds: float = 5.0) -> None:
    """Wait for `condition`; it must hold within `seconds`."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


def text(words: str) -> generator_pb2.StreamGenerateResponse:
    """A step of a draft."""
    return generator_pb2.StreamGenerateResponse(text=generator_pb2.GeneratedText(text=words))


class Scripted(generator_grpc.GeneratorServiceServicer, guard_grpc.GuardServiceServicer):
    """Answers as the attributes say; a test replaces them."""

    def __init__(self) -> None:
        self.calls = 0

        async def count(request: Any, _: Any) -> Any:
            return generator_pb2.CountTokensResponse(counts=[len(words.split()) for words in request.texts])

        async def stream(request: Any, _: Any) -> AsyncIterator[Any]:
            yield text(request.question)

        async def check(requests: Any, _: Any) -> AsyncIterator[Any]:
            async for _request in requests:
                pass
            return
            yield

        self.on_count: Callable[[Any, Any], Awaitable[Any]] = count
        self.on_stream: Callable[[Any, Any], AsyncIterator[Any]] = stream
        self.on_check: Callable[[Any, Any], AsyncIterator[Any]] = check

    async def CountTokens(self, request: Any, context: Any) -> Any:
        """As the contract has it."""
        self.calls += 1
        return await self.on_count(request, context)

    async def StreamGenerate(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """As the contract has it."""
        self.calls += 1
        async with contextlib.aclosing(self.on_stream(request, context)) as responses:
            async for response in responses:
                yield response

    async def CheckOutput(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        """As the contract has it."""
        self.calls += 1
        async with contextlib.aclosing(self.on_check(requests, context)) as responses:
            async for response in responses:
                yield response


@dataclass
class Served:
    """A running service with a channel to it."""

    server: RunningServer
    servicer: Scripted
    settings: MeshSettings
    ready: dict[str, bool]
    channel: grpc.aio.Channel
    raw: grpc.aio.Channel
    """Without our interceptors: carries no principal and asks for no timeout."""

    @property
    def stub(self) -> generator_grpc.GeneratorServiceStub:
        """The generator's methods on the mesh's channel."""
        return generator_grpc.GeneratorServiceStub(self.channel)

    @property
    def raw_stub(self) -> generator_grpc.GeneratorServiceStub:
        """The generator's methods on the bare channel."""
        return generator_grpc.GeneratorServiceStub(self.raw)

    @property
    def guard(self) -> guard_grpc.GuardServiceStub:
        """The guard's methods on the mesh's channel."""
        return guard_grpc.GuardServiceStub(self.channel)

    def send(self, method: str, *, to: grpc.aio.Channel | None = None) -> Callable[..., Any]:
        """A unary call of `method` whose request is bytes, good or bad."""
        return (to or self.channel).unary_unary(method, request_serializer=bytes, response_deserializer=bytes)


def make_spec(servicer: Scripted, ready: Mapping[str, bool], **changes: Any) -> ServiceSpec:
    """A service `generator` that serves the generator's and the guard's methods."""

    async def readiness() -> Mapping[str, bool]:
        return dict(ready)

    async def close() -> None:
        servicer.calls = -1

    def register(server: grpc.aio.Server) -> None:
        generator_grpc.add_GeneratorServiceServicer_to_server(servicer, server)
        guard_grpc.add_GuardServiceServicer_to_server(servicer, server)

    described: dict[str, Any] = {
        "name": "generator",
        "grpc_services": (GENERATOR, GUARD),
        "register": register,
        "readiness": readiness,
        "close": close,
        "peers": {GENERATOR: frozenset({"gateway"}), GUARD: frozenset({"gateway", "retriever"})},
    }
    return ServiceSpec(**(described | changes))


@contextlib.asynccontextmanager
async def serving(run_dir: Path, *, spec: Mapping[str, Any] | None = None, **settings: Any) -> AsyncIterator[Served]:
    """Serve on a Unix socket in `run_dir`; with other settings or another spec where they are given."""
    made = MeshSettings(run_dir=run_dir, readiness_seconds=0.05, **({"drain_seconds": 0.2} | settings))
    servicer = Scripted()
    ready = {"store": True}
    server = await start(made, make_spec(servicer, ready, **(spec or {})))
    reached = made.model_copy(update={"targets": {"generator": server.target}})
    try:
        async with (
            open_channel(reached, "generator") as channel,
            grpc.aio.insecure_channel(server.target, options=[("grpc.default_authority", "generator")]) as raw,
        ):
            yield Served(server, servicer, reached, ready, channel, raw)
    finally:
        await server.stop()


async def failure(call: Awaitable[Any]) -> MeshError:
    """The typed error that `call` ends with: one Status with exactly one ErrorInfo, whose code is the call's."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
        assert isinstance(details, bytes), f"a bare status: {error.code()} {error.details()}"
        status = status_pb2.Status.FromString(details)
        infos = [detail for detail in status.details if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR)]
        assert len(infos) == 1
        typed = errors.from_status(status)
        assert typed is not None
        assert typed.code is error.code()
        assert status.message == error.details()
        return typed
    raise AssertionError(f"the call went well: {answer!r}")


async def bare_failure(call: Awaitable[Any]) -> grpc.aio.AioRpcError:
    """The status that `call` ends with, typed or not."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError(f"the call went well: {answer!r}")


async def collect(stream: AsyncIterator[Any]) -> list[Any]:
    """Everything that `stream` gives."""
    return [item async for item in stream]
