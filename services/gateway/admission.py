"""How often one visitor may ask: a fixed window per subject, bounded in memory.

The edge limits connections and requests; the typed answer to a visitor who asks too often comes from here.
"""

from __future__ import annotations

import time
from collections import OrderedDict

from ragmesh.identity.v1.principal_pb2 import Principal

from services.mesh.errors import MeshError

_WINDOW_SECONDS = 60.0
_MAX_SUBJECTS = 10_000


class QuestionLimit:
    """Counts questions of anonymous visitors. Callers with a login of the owner's are not limited.

    Args:
        per_minute: questions that a subject may ask in a window of a minute.
    """

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def admit(self, principal: Principal) -> None:
        """Count a question.

        Raises:
            MeshError: RATE_LIMITED.
        """
        if not principal.subject.startswith("sessions/"):
            return
        now = time.monotonic()
        began, count = self._windows.pop(principal.subject, (now, 0))
        if now - began >= _WINDOW_SECONDS:
            began, count = now, 0
        self._windows[principal.subject] = (began, count + 1)
        while len(self._windows) > _MAX_SUBJECTS:
            self._windows.popitem(last=False)
        if count >= self._per_minute:
            wait = _WINDOW_SECONDS - (now - began)
            text = f"that is more than {self._per_minute} questions a minute; try again in {wait:.0f} s"
            limit = str(self._per_minute)
            raise MeshError("RATE_LIMITED", text, metadata={"limit_per_minute": limit}, retry_after=wait)
