"""Health that stays true: readiness is looked at again and again, not once.

`grpc.health.v1` answers per service name; the empty name is the process as a whole. Knows dependencies by name only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from grpc_health.v1 import health, health_pb2

from services.mesh.errors import MeshError
from services.mesh.log import get_logger

_log = get_logger(__name__)

Readiness = Callable[[], Awaitable[Mapping[str, bool]]]


class CannotServe(Exception):
    """Raised by a readiness that nothing can make true while the process lives: it is to end, and to say why.

    Args:
        error: why, and what a person can do.
    """

    def __init__(self, error: MeshError) -> None:
        super().__init__(str(error))
        self.error = error


class HealthMonitor:
    """Asks `readiness` every `interval` seconds and sets the health of `services` by it.

    A dependency that does not answer within the interval counts as down. Those of `optional` are named when they go and come; no
    service waits for them.
    """

    def __init__(
        self, services: Sequence[str], readiness: Readiness, interval: float, optional: frozenset[str] = frozenset()
    ) -> None:
        self.servicer = health.aio.HealthServicer()
        self._services = ("", *services)
        self._readiness = readiness
        self._interval = interval
        self._optional = optional
        self._last: dict[str, bool] | None = None
        self._task: asyncio.Task[None] | None = None

    async def look(self) -> bool:
        """Look at readiness once and publish it.

        Raises:
            CannotServe: as the readiness says.
        """
        try:
            async with asyncio.timeout(max(self._interval, 5.0)):
                found = dict(await self._readiness())
        except TimeoutError:
            found = {"readiness": False}
        except CannotServe:
            raise
        except Exception:  # whatever a dependency raises, it is not ready
            _log.warning("readiness.failed", exc_info=True)
            found = {"readiness": False}
        ready = all(up for name, up in found.items() if name not in self._optional)
        if found != self._last:
            _log.info("readiness", ready=ready, **{f"dependency.{name}": up for name, up in found.items()})
            self._last = found
        status = health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
        for service in self._services:
            await self.servicer.set(service, status)
        return ready

    async def start(self) -> None:
        """Begin to look; until the first look is done the services are not serving."""
        for service in self._services:
            await self.servicer.set(service, health_pb2.HealthCheckResponse.NOT_SERVING)
        self._task = asyncio.create_task(self._run(), name="health")

    async def _run(self) -> None:
        while True:
            ready = await self.look()
            # While something is still starting, a user waits: look more often.
            await asyncio.sleep(self._interval if ready else min(self._interval, 0.1))

    async def failed(self) -> None:
        """Returns never; raises once a look has said that the process cannot serve.

        Raises:
            CannotServe.
        """
        if self._task is None:
            raise RuntimeError("nobody looks yet")
        await asyncio.shield(self._task)

    async def drain(self) -> None:
        """Say from now on that nothing is served, and stop looking."""
        if self._task is not None:
            self._task.cancel()
        await self.servicer.enter_graceful_shutdown()
