"""Third link, `request_context`: an id for the call, in the log lines of everything done for it."""

from __future__ import annotations

import secrets
from typing import Any, ClassVar

import structlog

from services.mesh import context
from services.mesh.interceptors.call import Call, Link, Proceed


class RequestContextLink(Link):
    """Names the call."""

    name: ClassVar[str] = "request_context"

    async def around(self, call: Call, proceed: Proceed) -> Any:
        """Set the id for the task of the call."""
        identifier = secrets.token_hex(8)
        context.set_request_id(identifier)
        structlog.contextvars.bind_contextvars(request=identifier)
        return await proceed(call)
