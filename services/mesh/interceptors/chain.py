"""The chain itself: its order, and the one gRPC interceptor that runs it.

Knows the names of the links; each link knows only itself. Methods of gRPC's own services (health, reflection, channelz) pass by.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message

from services.mesh.errors import MeshError
from services.mesh.interceptors.admission import AdmissionLink
from services.mesh.interceptors.call import Call, Interceptor, Link, Proceed, Unreadable
from services.mesh.interceptors.deadline import DeadlineLink
from services.mesh.interceptors.edge_claims import EdgeClaimsLink
from services.mesh.interceptors.error_boundary import ErrorBoundaryLink
from services.mesh.interceptors.observe import TelemetryLink
from services.mesh.interceptors.peer_identity import PeerIdentityLink
from services.mesh.interceptors.request_context import RequestContextLink
from services.mesh.interceptors.validation import ValidationLink

ORDER: tuple[type[Interceptor], ...] = (
    TelemetryLink,
    ErrorBoundaryLink,
    RequestContextLink,
    PeerIdentityLink,
    EdgeClaimsLink,
    DeadlineLink,
    AdmissionLink,
    ValidationLink,
)

Handler = Any  # `grpc.RpcMethodHandler`, which is generic only in its stubs


class Chain(grpc.aio.ServerInterceptor):
    """Runs the links around every method of ours.

    Raises:
        ValueError: for links in another order than `ORDER`.
    """

    def __init__(self, links: Sequence[Interceptor], max_request_bytes: int) -> None:
        if tuple(type(link) for link in links) != ORDER:
            raise ValueError("the interceptor chain is out of order")
        self._links = tuple(links)
        self._takers = tuple(link for link in links if _looks(link, "on_request"))
        self._givers = tuple(link for link in links if _looks(link, "on_response"))
        self.walk: Proceed = _handled
        """Through the links in order, and to the handler of the call."""
        for link in reversed(self._links):
            self.walk = _before(link, self.walk)
        self._max_request_bytes = max_request_bytes
        self._wrapped: dict[str, Handler] = {}
        """By method, what it has become: as many as are served."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Wrap the handler of a call."""
        method: str = handler_call_details.method
        known = self._wrapped.get(method)
        if known is not None:
            return known
        handler = await continuation(handler_call_details)
        if method.startswith("/grpc."):
            return handler
        if handler is None:
            return _not_served(method)
        if handler.request_deserializer is None:
            return handler
        deserialiser = self._readable(method, handler.request_deserializer)
        build = _BUILDERS[(handler.request_streaming, handler.response_streaming)]
        wrapped = self._wrapped[method] = build(self, method, handler, deserialiser, handler.response_serializer)
        return wrapped

    def _readable(self, method: str, parse: Callable[[bytes], Message]) -> Callable[[bytes], Message | Unreadable]:
        # Bare gRPC answers UNKNOWN with the name of a Python class to bytes that it cannot parse.
        def deserialise(raw: bytes) -> Message | Unreadable:
            if len(raw) > self._max_request_bytes:
                limit = str(self._max_request_bytes)
                text = f"a message may have {limit} bytes"
                return Unreadable(MeshError("REQUEST_TOO_LARGE", text, metadata={"limit_bytes": limit}))
            try:
                return parse(raw)
            except DecodeError:
                text = "the bytes are no message of this method"
                return Unreadable(MeshError("MALFORMED_REQUEST", text, metadata={"method": method}))

        return deserialise

    def take(self, call: Call, message: Message | Unreadable) -> Message:
        """A message that came in, after all links looked at it.

        Raises:
            MeshError: of the link that refuses it.
        """
        if isinstance(message, Unreadable):
            raise message.error
        call.received += 1
        for link in self._takers:
            link.on_request(call, message)
        return message

    def give(self, call: Call, message: Message) -> Message:
        """A message that goes out, after all links looked at it."""
        for link in self._givers:
            link.on_response(call, message)
        call.sent += 1
        return message

    async def take_all(self, call: Call) -> AsyncIterator[Message]:
        """The messages that a caller streams, each looked at."""
        if call.requests is not None:
            async for message in call.requests:
                yield self.take(call, message)


def _looks(link: Interceptor, at: str) -> bool:
    return getattr(type(link), at) is not getattr(Link, at)


def _before(link: Interceptor, behind: Proceed) -> Proceed:
    # A plain call and not a stack of context managers: that cost more than all that the links do.
    return lambda call: link.around(call, behind)


async def _handled(call: Call) -> Any:
    return await call.handle(call)


def _metadata(context: Any) -> dict[str, str | bytes]:
    return dict(context.invocation_metadata() or ())


def _unary_unary(chain: Chain, method: str, handler: Any, read: Any, write: Any) -> Any:
    async def behave(request: Any, context: Any) -> Any:
        async def handle(call: Call) -> Any:
            return chain.give(call, await handler.unary_unary(chain.take(call, request), context))

        return await chain.walk(Call(method, _metadata(context), context, handle))

    return grpc.unary_unary_rpc_method_handler(behave, read, write)


def _unary_stream(chain: Chain, method: str, handler: Any, read: Any, write: Any) -> Any:
    async def behave(request: Any, context: Any) -> None:
        async def handle(call: Call) -> None:
            await _send(chain, call, handler.unary_stream(chain.take(call, request), context))

        await chain.walk(Call(method, _metadata(context), context, handle))

    return grpc.unary_stream_rpc_method_handler(behave, read, write)


def _stream_unary(chain: Chain, method: str, handler: Any, read: Any, write: Any) -> Any:
    async def behave(requests: Any, context: Any) -> Any:
        async def handle(call: Call) -> Any:
            return chain.give(call, await handler.stream_unary(chain.take_all(call), context))

        return await chain.walk(Call(method, _metadata(context), context, handle, requests=aiter(requests)))

    return grpc.stream_unary_rpc_method_handler(behave, read, write)


def _stream_stream(chain: Chain, method: str, handler: Any, read: Any, write: Any) -> Any:
    async def behave(requests: Any, context: Any) -> None:
        async def handle(call: Call) -> None:
            await _send(chain, call, handler.stream_stream(chain.take_all(call), context))

        await chain.walk(Call(method, _metadata(context), context, handle, requests=aiter(requests)))

    return grpc.stream_stream_rpc_method_handler(behave, read, write)


async def _send(chain: Chain, call: Call, responses: AsyncGenerator[Message, None]) -> None:
    # Written here and not yielded to gRPC, which drops a generator unclosed when the caller leaves during a write: what stands in
    # its `finally` would run in another task, and its call would end as if all were well.
    async with aclosing(responses):
        async for response in responses:
            await call.context.write(chain.give(call, response))


def _not_served(method: str) -> Handler:
    async def behave(_: Any, context: Any) -> None:
        error = MeshError("METHOD_NOT_FOUND", "this method is not served here", metadata={"method": method})
        await context.abort_with_status(error.to_grpc())

    # A method that is not known may be of any kind; this kind reads what any client sends.
    return grpc.stream_stream_rpc_method_handler(behave)


_BUILDERS: dict[tuple[bool, bool], Callable[..., Any]] = {
    (False, False): _unary_unary,
    (False, True): _unary_stream,
    (True, False): _stream_unary,
    (True, True): _stream_stream,
}
