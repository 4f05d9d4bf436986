"""Channels to other services of the mesh.

A call made on one carries the principal and the trace of the call that it is made for, and must have a timeout: the budget that the
caller gives it. Retries stand in the service-config JSON beside each proto and nowhere else.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import grpc
import orjson
from grpc.aio import ClientCallDetails, Metadata

from services.mesh import context, telemetry
from services.mesh.errors import MeshError
from services.mesh.identity import PRINCIPAL_KEY, channel_credentials
from services.mesh.settings import MeshSettings

PROTO_DIR = Path(__file__).resolve().parents[2] / "proto"
_MAX_MESSAGE_BYTES = 16 * 1024 * 1024
_UNBOUNDED = frozenset({"/ragmesh.retriever.v1.DocumentService/ImportDocuments"})


def service_config_path(service: str) -> Path:
    """Where the service config of `service` stands."""
    return PROTO_DIR / "ragmesh" / service / "v1" / f"{service}_grpc_service_config.json"


@cache
def service_config(service: str) -> str:
    """The service config of `service` as gRPC takes it: one line of JSON."""
    return orjson.dumps(orjson.loads(service_config_path(service).read_bytes())).decode()


def _text(method: str | bytes) -> str:
    return method.decode() if isinstance(method, bytes) else method


def _prepare(details: ClientCallDetails) -> ClientCallDetails:
    if details.timeout is None and _text(details.method) not in _UNBOUNDED:
        method = _text(details.method)
        error = MeshError("DEADLINE_REQUIRED", f"a call of {method} was made without a timeout", metadata={"method": method})
        raise error.to_rpc_error()  # the one kind of error that gRPC expects of an interceptor
    metadata = Metadata(*(details.metadata or ()))
    principal = context.principal_or_none()
    if principal is not None and metadata.get(PRINCIPAL_KEY) is None:
        metadata.add(PRINCIPAL_KEY, principal.SerializeToString())
    for key, value in telemetry.inject().items():
        metadata.add(key, value)
    return ClientCallDetails(
        method=details.method,
        timeout=details.timeout,
        metadata=metadata,
        credentials=details.credentials,
        wait_for_ready=details.wait_for_ready,
    )


class _UnaryUnary(grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: ClientCallDetails, request: Any
    ) -> Any:
        return await continuation(_prepare(client_call_details), request)


class _UnaryStream(grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(
        self, continuation: Callable[..., Any], client_call_details: ClientCallDetails, request: Any
    ) -> Any:
        return await continuation(_prepare(client_call_details), request)


class _StreamStream(grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(
        self,
        continuation: Callable[..., Any],
        client_call_details: ClientCallDetails,
        request_iterator: AsyncIterable[Any] | Iterable[Any],
    ) -> Any:
        return await continuation(_prepare(client_call_details), request_iterator)


def open_channel(settings: MeshSettings, service: str, *, caller: str = "gateway") -> grpc.aio.Channel:
    """A channel to `service`; with mTLS, on behalf of `caller`.

    The channel connects when it is first used. Calls fail with what `errors.from_rpc_error` reads.
    """
    options: list[tuple[str, Any]] = [
        ("grpc.service_config", service_config(service)),
        ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
        ("grpc.max_reconnect_backoff_ms", 1000),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.initial_reconnect_backoff_ms", 100),
    ]
    interceptors = [_UnaryUnary(), _UnaryStream(), _StreamStream()]
    target = settings.target(service)
    if settings.tls_dir is None:
        # On a Unix socket the authority would be the path, which HTTP/2 servers refuse.
        options.append(("grpc.default_authority", service))
        return grpc.aio.insecure_channel(target, options=options, interceptors=interceptors)
    # Certificates name services, not hosts.
    options.append(("grpc.ssl_target_name_override", service))
    credentials = channel_credentials(settings, caller)
    return grpc.aio.secure_channel(target, credentials, options=options, interceptors=interceptors)
