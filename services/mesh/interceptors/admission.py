"""Seventh link, `admission`: as many calls at a time as the service takes, and none while it drains."""

from __future__ import annotations

from typing import Any, ClassVar

from services.mesh.errors import MeshError
from services.mesh.interceptors.call import Call, Link, Proceed


class AdmissionLink(Link):
    """Counts live calls.

    Args:
        limit: most calls at a time.
    """

    name: ClassVar[str] = "admission"

    def __init__(self, service: str, limit: int) -> None:
        self._service = service
        self._limit = limit
        self.live = 0
        self.draining = False

    async def around(self, call: Call, proceed: Proceed) -> Any:
        """Refuse at once instead of queueing: the caller has a budget to keep."""
        if self.draining:
            raise MeshError("DRAINING", f"{self._service} is about to end", metadata={"service": self._service})
        if self.live >= self._limit:
            raise MeshError("OVERLOADED", f"{self._service} has too much to do", metadata={"limit": str(self._limit)})
        self.live += 1
        try:
            return await proceed(call)
        finally:
            self.live -= 1
