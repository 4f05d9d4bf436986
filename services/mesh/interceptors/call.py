"""A call as the interceptors see it. Knows nothing of any of them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import grpc
from google.protobuf.message import Message

from services.mesh.errors import MeshError


@dataclass(slots=True)
class Call:
    """One RPC, from its first byte to its status."""

    method: str
    """`/package.Service/Method`."""
    metadata: Mapping[str, str | bytes]
    context: grpc.aio.ServicerContext[Any, Any]
    handle: Callable[[Call], Awaitable[Any]]
    """What is behind the last link."""
    error: MeshError | None = None
    """What it failed with, once it has."""
    cancelled: bool = False
    received: int = 0
    sent: int = 0
    peer: str | None = None
    """Name of the calling service, where it is known."""
    requests: AsyncIterator[Any] | None = None
    """What the caller streams, as it comes off the wire. None where it sends one message."""
    began: float = field(default_factory=time.monotonic)

    @property
    def service(self) -> str:
        """`package.Service`."""
        return self.method[1:].rpartition("/")[0]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands in for a message that could not be read, so that the chain can refuse it by a typed error."""

    error: MeshError


Proceed = Callable[[Call], Awaitable[Any]]
"""What is behind a link: the next one, or the handler."""


class Interceptor(Protocol):
    """One link of the chain."""

    name: ClassVar[str]

    async def around(self, call: Call, proceed: Proceed) -> Any:
        """Around the whole call: awaits `proceed(call)` once, or raises, and gives back what that gave."""
        ...

    def on_request(self, call: Call, message: Message) -> None:
        """Look at a message that came in."""
        ...

    def on_response(self, call: Call, message: Message) -> None:
        """Look at a message that goes out."""
        ...


class Link:
    """An interceptor that looks at no message."""

    async def around(self, call: Call, proceed: Proceed) -> Any:
        """Nothing to do around the call."""
        return await proceed(call)

    def on_request(self, call: Call, message: Message) -> None:
        """Look at a message that came in."""

    def on_response(self, call: Call, message: Message) -> None:
        """Look at a message that goes out."""
