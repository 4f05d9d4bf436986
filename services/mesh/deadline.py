"""Deadline budgets: what is left of a call's time, and how much of it a child call may have.

Knows nothing of gRPC; the deadline interceptor sets the budget of a call.
"""

from __future__ import annotations

import math
import time

from services.mesh.errors import MeshError

MAX_CALL_SECONDS = 110.0
"""Most seconds that a call to a service gets, unless the service says otherwise. No setting for one call promises more."""


class Budget:
    """Time that is left, counted from its making on the monotonic clock.

    Args:
        seconds: how much there is; `math.inf` for a call that is bounded by something else.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds that are left, never below zero."""
        return max(0.0, self._end - time.monotonic())

    def share(self, fraction: float, *, cap: float | None = None, reserve: float = 0.0) -> float:
        """Seconds that a child call may have: `fraction` of what is left after `reserve`, at most `cap`.

        Raises:
            MeshError: DEADLINE_EXCEEDED where nothing is left.
        """
        left = (self.remaining() - reserve) * fraction
        if cap is not None:
            left = min(left, cap)
        if left <= 0:
            raise MeshError("DEADLINE_EXCEEDED", "the time of this call is used up")
        return left

    def bounded(self) -> bool:
        """Whether there is an end at all."""
        return not math.isinf(self._end)
