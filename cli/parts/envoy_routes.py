"""Routes of the edge: one per method of the contract, per file of the client, per origin that may call.

The methods come from the generated descriptors, so that a new RPC has its route and an unknown path has none. Knows no address.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from ragmesh.gateway.v1 import gateway_service_pb2
from ragmesh.retriever.v1 import document_service_pb2

from cli.parts.yaml_template import fill

GATEWAY_SERVICE: ServiceDescriptor = gateway_service_pb2.DESCRIPTOR.services_by_name["GatewayService"]
DOCUMENT_SERVICE: ServiceDescriptor = document_service_pb2.DESCRIPTOR.services_by_name["DocumentService"]

ANONYMOUS_METHODS = frozenset({"CreateSession", "GetAssistant"})
"""Methods of GatewayService that a visitor may call before having a session."""

REFRESH = "Refresh"
"""The one method of DocumentService that the public listener may have: whoever calls it there signs with the source's secret."""

MAX_FILE_BYTES = 1024 * 1024
MAX_FILES = 256

# Only what is named here is served: a stray source map, note or dot file in the folder stays there.
CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}

_NAMED_BY_CONTENT = re.compile(r"[.-][A-Za-z0-9_]{8,}\.[a-z0-9]+$")


class ClientFilesError(Exception):
    """The folder of the browser client cannot be served as it is."""


@dataclass(frozen=True)
class Limits:
    """How long a call may last at the edge, in seconds."""

    stream: float = 120.0
    """The wall for a call; the gateway ends a turn long before it."""
    idle: float = 75.0
    """Silence on a stream; the gateway's heartbeats are far closer together."""
    import_idle: float = 600.0
    """Silence while a document is stored; an import has no wall."""
    refresh: float = 7200.0
    """The wall for a refresh that comes in public; the source's own limits end it long before."""
    refresh_burst: int = 5
    """Refreshes that may come in public at once, of all callers together."""
    refresh_interval: float = 10.0
    """Seconds from when on one more may come."""


def method_names(service: ServiceDescriptor) -> list[str]:
    """Names of the methods of a service, in the order of its file."""
    return [method.name for method in _methods(service)]


def _methods(service: ServiceDescriptor) -> Sequence[MethodDescriptor]:
    return list(service.methods)


def _seconds(value: float) -> str:
    return f"{value:g}s"


def _idle(method: MethodDescriptor, limits: Limits) -> str:
    # A unary call is silent for as long as it works.
    return _seconds(limits.idle if method.server_streaming else limits.stream)


def gateway_routes(template: Any, limits: Limits) -> list[Any]:
    """Routes of GatewayService over gRPC-Web."""
    return [
        fill(
            template,
            {
                "service": GATEWAY_SERVICE.full_name,
                "method": method.name,
                "idle_timeout": _idle(method, limits),
                "max_stream_duration": _seconds(limits.stream),
                "requirement": "anonymous" if method.name in ANONYMOUS_METHODS else "session",
            },
        )
        for method in _methods(GATEWAY_SERVICE)
    ]


def preflight_routes(template: Any, origins: Iterable[str]) -> list[Any]:
    """Routes for the preflights of origins that may call."""
    return [fill(template, {"service": GATEWAY_SERVICE.full_name, "origin": origin}) for origin in origins]


def refresh_routes(template: Any, limits: Limits) -> list[Any]:
    """The route of signed refreshes on the public listener."""
    values = _values("retriever", DOCUMENT_SERVICE.full_name, REFRESH, _seconds(limits.import_idle), _seconds(limits.refresh))
    rate = {"burst": limits.refresh_burst, "interval": _seconds(limits.refresh_interval)}
    return [fill(template, {**values, **rate})]


def service_routes(template: Any, limits: Limits) -> list[Any]:
    """Routes of the local listener: gateway, documents, reflection, health."""
    return [fill(template, values) for values in _service_values(limits)]


def _service_values(limits: Limits) -> Iterator[dict[str, str]]:
    wall, forever = _seconds(limits.stream), "0s"
    for method in _methods(GATEWAY_SERVICE):
        yield _values("gateway", GATEWAY_SERVICE.full_name, method.name, _idle(method, limits), wall)
    for method in _methods(DOCUMENT_SERVICE):
        # An import and a refresh last as long as they have something to do.
        last = forever if method.client_streaming or method.server_streaming else wall
        yield _values("retriever", DOCUMENT_SERVICE.full_name, method.name, _seconds(limits.import_idle), last)
    for version in ("v1", "v1alpha"):
        name = f"grpc.reflection.{version}.ServerReflection"
        yield _values("gateway", name, "ServerReflectionInfo", wall, wall)
    yield _values("gateway", "grpc.health.v1.Health", "Check", wall, wall)
    # Watch is silent until the health changes.
    yield _values("gateway", "grpc.health.v1.Health", "Watch", forever, forever)


def _values(cluster: str, service: str, method: str, idle: str, wall: str) -> dict[str, str]:
    return {"cluster": cluster, "service": service, "method": method, "idle_timeout": idle, "max_stream_duration": wall}


def client_files(folder: Path) -> list[Path]:
    """Files of the client, sorted.

    Raises:
        ClientFilesError: where there are too many, or one is too large.
    """
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix in CONTENT_TYPES and not any(part.startswith(".") for part in path.parts)
    ]
    if len(found) > MAX_FILES:
        raise ClientFilesError(f"{folder} holds {len(found)} files; {MAX_FILES} can be served")
    for path in found:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ClientFilesError(f"{path} is larger than {MAX_FILE_BYTES} bytes")
    return found


def file_routes(routes: Any, folder: Path) -> list[Any]:
    """Routes of the client's files: each with its type and cache rule, and a 304 where the browser has it."""
    made: list[Any] = []
    for file in client_files(folder):
        name = file.relative_to(folder).as_posix()
        etag = hashlib.sha256(file.read_bytes()).hexdigest()[:32]
        values = {
            "file": str(file.absolute()),
            "content_type": CONTENT_TYPES[file.suffix],
            # A name with a hash in it never changes its content; any other is asked for again each time, and mostly gets a 304.
            "cache_control": "public, max-age=31536000, immutable" if _NAMED_BY_CONTENT.search(name) else "no-cache",
            "etag": f'W/"{etag}"',  # weak: the compressed bytes are others
            "etag_value": etag,
        }
        paths = [f"/{name}"]
        if file.name == "index.html":
            paths.append("/" + name.removesuffix("index.html"))
        for path in paths:
            made += [fill(routes[kind], {**values, "path": path}) for kind in ("file_unchanged", "file")]
    return made
