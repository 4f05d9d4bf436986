"""Visitors of a gateway: calls with an identity, answers as messages, failures as typed errors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import Any

import grpc
from ragmesh.gateway.v1 import gateway_service_pb2 as g
from ragmesh.gateway.v1 import turn_pb2 as t
from ragmesh.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub
from ragmesh.identity.v1.principal_pb2 import Principal

from services.gateway.settings import GatewaySettings
from services.mesh.errors import MeshError, from_rpc_error
from services.mesh.identity import principal_metadata
from services.mesh.server import RunningServer
from tests.service.gateway.fake_services import FakeServices

SECONDS = 20.0
QUESTION = "How is oil stored?"


class Stream:
    """Events of a turn as they come."""

    def __init__(self, call: Any) -> None:
        self.call = call
        self.seen: list[t.TurnEvent] = []

    def __aiter__(self) -> AsyncIterator[t.TurnEvent]:
        return self._events()

    async def _events(self) -> AsyncIterator[t.TurnEvent]:
        try:
            while (response := await self.call.read()) is not grpc.aio.EOF:
                self.seen.append(response.event)
                yield response.event
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error, service="gateway") from None

    async def until(self, kind: str) -> t.TurnEvent:
        """Read on to the next event of this kind."""
        async for event in self:
            if event.HasField(kind):  # type: ignore[arg-type]
                return event
        raise AssertionError(f"the stream ended without {kind}: {self.kinds()}")

    async def rest(self) -> list[t.TurnEvent]:
        """Read to the end; all events of the stream."""
        async for _ in self:
            pass
        return self.seen

    def kinds(self) -> list[str]:
        """Kinds of the events seen so far."""
        return [str(event.WhichOneof("event")) for event in self.seen]

    @property
    def turn(self) -> str:
        """Name of the turn."""
        return self.seen[0].turn

    @property
    def finished(self) -> t.TurnFinished:
        """How the turn ended."""
        assert self.seen[-1].HasField("finished"), self.kinds()
        return self.seen[-1].finished


class Visitor:
    """Somebody who calls the gateway."""

    def __init__(self, target: str, principal: Principal | None) -> None:
        # A pool of its own: channels to one target would otherwise share their connection.
        options = [("grpc.default_authority", "gateway"), ("grpc.use_local_subchannel_pool", 1)]
        self._channel = grpc.aio.insecure_channel(target, options=options)
        self.metadata = [principal_metadata(principal)] if principal is not None else []
        self.stub: Any = GatewayServiceStub(self._channel)

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()

    def ask(self, question: str = QUESTION, *, timeout: float | None = SECONDS, **fields: str) -> Stream:
        """Ask, and follow."""
        request = g.StreamAnswerRequest(question=question, **fields)
        return Stream(self.stub.StreamAnswer(request, metadata=self.metadata, timeout=timeout))

    async def asked(self, question: str = QUESTION, **fields: Any) -> Stream:
        """Ask, and follow to the end."""
        stream = self.ask(question, **fields)
        await stream.rest()
        return stream

    def resume(self, turn: str, after_seq: int = 0, timeout: float = SECONDS) -> Stream:
        """Follow a turn again."""
        request = g.ResumeAnswerRequest(turn=turn, after_seq=after_seq)
        return Stream(self.stub.ResumeAnswer(request, metadata=self.metadata, timeout=timeout))

    async def call(self, method: str, request: Any, timeout: float = SECONDS) -> Any:
        """Any unary method.

        Raises:
            MeshError: what it failed with.
        """
        try:
            return await getattr(self.stub, method)(request, metadata=self.metadata, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error, service="gateway") from None

    async def answer(self, question: str = QUESTION, **fields: str) -> t.Turn:
        """Ask, and wait."""
        found = await self.call("Answer", g.AnswerRequest(question=question, **fields))
        turn: t.Turn = found.turn
        return turn

    async def turn(self, name: str) -> t.Turn:
        """The fold of a turn."""
        found: t.Turn = (await self.call("GetTurn", g.GetTurnRequest(name=name))).turn
        return found

    async def stop(self, name: str) -> t.Turn:
        """Stop a turn."""
        found: t.Turn = (await self.call("StopAnswer", g.StopAnswerRequest(turn=name))).turn
        return found


async def failure(call: Awaitable[Any]) -> MeshError:
    """The typed error that `call` fails with."""
    try:
        result = await call
    except MeshError as error:
        return error
    raise AssertionError(f"it did not fail: {result}")


class GatewayUnderTest:
    """A gateway that answers."""

    def __init__(self, settings: GatewaySettings, services: FakeServices, server: RunningServer) -> None:
        self.settings = settings
        self.services = services
        self.guard = services.guard
        self.retriever = services.retriever
        self.generator = services.generator
        self.server = server
        self._visitors: list[Visitor] = []
        self._stopped = False

    def visitor(self, principal: Principal | None) -> Visitor:
        """Somebody with an identity, or without one."""
        made = Visitor(self.server.target, principal)
        self._visitors.append(made)
        return made

    async def close(self) -> None:
        """Stop everything."""
        for visitor in self._visitors:
            await visitor.close()
        await self.stop()

    async def stop(self) -> None:
        """Stop the gateway, then its services, while visitors may still be connected."""
        if not self._stopped:
            self._stopped = True
            await self.server.stop()
            await self.services.stop()
