"""The services that the gateway calls: one channel each, and their stubs."""

from __future__ import annotations

from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from ragmesh.generator.v1.generator_service_pb2_grpc import GeneratorServiceStub
from ragmesh.guard.v1.guard_service_pb2_grpc import GuardServiceStub
from ragmesh.retriever.v1.retriever_service_pb2_grpc import RetrieverServiceStub

from services.mesh.channel import open_channel
from services.mesh.settings import MeshSettings

_PROBE_SECONDS = 1.0
NAMES = ("guard", "retriever", "generator")


class Peers:
    """Stubs of guard, retriever and generator."""

    def __init__(self, settings: MeshSettings) -> None:
        self._channels = {name: open_channel(settings, name) for name in NAMES}
        self.guard = GuardServiceStub(self._channels["guard"])
        self.retriever = RetrieverServiceStub(self._channels["retriever"])
        self.generator = GeneratorServiceStub(self._channels["generator"])

    async def serving(self) -> dict[str, bool]:
        """Name of each service -> whether it says that it serves."""
        return {name: await self._serves(channel) for name, channel in self._channels.items()}

    @staticmethod
    async def _serves(channel: grpc.aio.Channel) -> bool:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=_PROBE_SECONDS)
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def close(self) -> None:
        """Close the channels."""
        for channel in self._channels.values():
            await channel.close()
