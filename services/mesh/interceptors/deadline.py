"""Sixth link, `deadline`: the budget of the call. An internal call without one is refused."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from services.mesh import context
from services.mesh.deadline import Budget
from services.mesh.errors import MeshError
from services.mesh.interceptors.call import Call, Link, Proceed


class DeadlineLink(Link):
    """Sets the budget and ends the handler when it is used up.

    Args:
        default: seconds for a call that came without a deadline; None refuses it.
        cap: most seconds that any call gets.
        unbounded: methods that may take as long as they like; they are bounded by idle time.
    """

    name: ClassVar[str] = "deadline"

    def __init__(self, default: float | None, cap: float, unbounded: frozenset[str]) -> None:
        self._default = default
        self._cap = cap
        self._unbounded = unbounded

    async def around(self, call: Call, proceed: Proceed) -> Any:
        """The time that gRPC says is left, or the default, at most the cap."""
        if call.method in self._unbounded:
            return await proceed(call)
        left = call.context.time_remaining()
        if left is None:
            if self._default is None:
                raise MeshError("DEADLINE_REQUIRED", "calls inside the mesh carry a deadline", metadata={"method": call.method})
            left = self._default
        seconds = min(left, self._cap)
        context.set_budget(Budget(seconds))
        async with asyncio.timeout(seconds):
            return await proceed(call)
