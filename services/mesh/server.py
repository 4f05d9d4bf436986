"""A service as a process: settings -> build -> run, on one loop, drained on SIGTERM.

One place registers what a service serves: its own port has its methods and health; its admin port (a Unix socket) health,
reflection and channelz. Knows nothing of what a service does.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import grpc
import uvloop
from grpc_channelz.v1 import channelz
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.mesh import log, telemetry
from services.mesh.deadline import MAX_CALL_SECONDS
from services.mesh.health import CannotServe, HealthMonitor, Readiness
from services.mesh.identity import server_credentials
from services.mesh.interceptors.admission import AdmissionLink
from services.mesh.interceptors.chain import Chain
from services.mesh.interceptors.deadline import DeadlineLink
from services.mesh.interceptors.edge_claims import EdgeClaimsLink
from services.mesh.interceptors.error_boundary import ErrorBoundaryLink
from services.mesh.interceptors.observe import TelemetryLink
from services.mesh.interceptors.peer_identity import PeerIdentityLink
from services.mesh.interceptors.request_context import RequestContextLink
from services.mesh.interceptors.validation import ValidationLink
from services.mesh.settings import MeshSettings

S = TypeVar("S", bound=MeshSettings)

_log = log.get_logger(__name__)

# gRPC itself must let larger messages in than we take, so that the refusal is ours and typed.
_WIRE_LIMIT_BYTES = 32 * 1024 * 1024
_TELEMETRY_POLL_SECONDS = 0.5
_MAX_SOCKET_PATH_BYTES = 107  # sockaddr_un of Linux
HEALTH_NAME = "grpc.health.v1.Health"
CHANNELZ_NAME = "grpc.channelz.v1.Channelz"


@dataclass(frozen=True)
class ServiceSpec:
    """What the chassis must know about a service."""

    name: str
    """Short name, for example `guard`: of its socket, its certificate, its spans."""
    grpc_services: tuple[str, ...]
    """Full names of the gRPC services that it serves."""
    register: Callable[[grpc.aio.Server], None]
    """Adds its servicers to a server."""
    readiness: Readiness
    """Name of a dependency -> whether it is up. Looked at again and again; all true is SERVING. `CannotServe` ends the process."""
    close: Callable[[], Awaitable[None]]
    """Called once all calls are over."""
    peers: Mapping[str, frozenset[str]]
    """Full name of a service or method -> services that may call it under mTLS."""
    drain: Callable[[float], Coroutine[Any, Any, None]] | None = None
    """Called when the process is told to end, with the seconds that its calls may still take: ends in good order what would take
    longer. Cancelled once all calls are over."""
    optional: frozenset[str] = frozenset()
    """Dependencies that it does without: named by `readiness`, not waited for."""
    anonymous: frozenset[str] = frozenset()
    """Methods that need no principal: `/package.Service/Method`."""
    unbounded: frozenset[str] = frozenset()
    """Methods that may come without a deadline."""
    default_deadline: float | None = None
    """Seconds for a call that comes without a deadline. None refuses such calls."""
    max_deadline: float = MAX_CALL_SECONDS
    """Most seconds that a call gets."""
    edge_reflection: tuple[str, ...] = field(default=())
    """Services that reflection on the service's own port lists. Empty: no reflection there."""


class RunningServer:
    """A service that answers, until `stop`."""

    def __init__(
        self,
        settings: MeshSettings,
        spec: ServiceSpec,
        servers: tuple[grpc.aio.Server, ...],
        monitor: HealthMonitor,
        admission: AdmissionLink,
        target: str,
        admin_target: str,
    ) -> None:
        self._settings = settings
        self._spec = spec
        self._servers = servers
        self._monitor = monitor
        self._admission = admission
        self.target = target
        """Address of the service, as a channel takes it."""
        self.admin_target = admin_target
        """Address of its admin port."""

    async def ready(self) -> bool:
        """Look at readiness now.

        Raises:
            CannotServe.
        """
        return await self._monitor.look()

    async def failed(self) -> None:
        """Returns never; raises once readiness has said that the process cannot serve.

        Raises:
            CannotServe.
        """
        await self._monitor.failed()

    async def stop(self) -> None:
        """Refuse new calls, let those that run end within `drain_seconds`, then close."""
        await self._monitor.drain()
        self._admission.draining = True
        main, admin = self._servers
        seconds = self._settings.drain_seconds
        draining = asyncio.create_task(self._spec.drain(seconds), name="drain") if self._spec.drain is not None else None
        await main.stop(seconds)
        if draining is not None:
            draining.cancel()
            await asyncio.gather(draining, return_exceptions=True)
        await self._spec.close()
        await admin.stop(None)
        for target in (self.target, self.admin_target):
            if target.startswith("unix:"):
                Path(target.removeprefix("unix:")).unlink(missing_ok=True)


def _options() -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", _WIRE_LIMIT_BYTES),
        ("grpc.max_send_message_length", _WIRE_LIMIT_BYTES),
        ("grpc.so_reuseport", 0),
        # Envoy keeps its upstream connections alive; pings of a live peer are no abuse.
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ]


def _bind(server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials | None, run_dir: Path) -> str:
    if address.startswith("unix:"):
        if credentials is not None:
            raise RuntimeError(f"tls_dir is set, and {address} is a socket, which has no TLS: listen must be host:port")
        _clear_socket(Path(address.removeprefix("unix:")), run_dir)
        server.add_insecure_port(address)
        return address
    port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    host = address.rpartition(":")[0]
    return f"{host}:{port}"


def _clear_socket(path: Path, run_dir: Path) -> None:
    """Make room for a socket in a folder that nobody else may enter: whoever may is a peer of the mesh."""
    if len(os.fsencode(path)) > _MAX_SOCKET_PATH_BYTES:
        raise RuntimeError(f"the path {path} is too long for a socket: run_dir must be shorter")
    folder = path.parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder == run_dir.absolute():
        folder.chmod(0o700)  # it is ours, whoever made it
    elif folder.stat().st_mode & 0o077:
        raise RuntimeError(f"others may enter {folder}, where a socket of the mesh is to be: its mode must be 0700")
    path.unlink(missing_ok=True)  # of a process that was killed; a live one holds the lock of its run_dir


async def start(settings: MeshSettings, spec: ServiceSpec) -> RunningServer:
    """Serve `spec` and return once it accepts calls.

    Raises:
        RuntimeError: where an address cannot be bound; the message says why.
    """
    admission = AdmissionLink(spec.name, settings.max_concurrent_calls)
    chain = Chain(
        [
            TelemetryLink(),
            ErrorBoundaryLink(),
            RequestContextLink(),
            PeerIdentityLink(spec.peers),
            EdgeClaimsLink(spec.anonymous),
            DeadlineLink(spec.default_deadline, spec.max_deadline, spec.unbounded),
            admission,
            ValidationLink(),
        ],
        settings.max_request_bytes,
    )
    monitor = HealthMonitor(spec.grpc_services, spec.readiness, settings.readiness_seconds, spec.optional)
    main = grpc.aio.server(interceptors=[chain], options=_options())
    spec.register(main)
    health_pb2_grpc.add_HealthServicer_to_server(monitor.servicer, main)
    if spec.edge_reflection:
        names = (*spec.edge_reflection, HEALTH_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, main)
    admin = grpc.aio.server(options=_options())
    health_pb2_grpc.add_HealthServicer_to_server(monitor.servicer, admin)
    channelz.add_channelz_servicer(admin)
    own = (*spec.grpc_services, HEALTH_NAME, CHANNELZ_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(own, admin)
    credentials = server_credentials(settings, spec.name) if settings.tls_dir else None
    target = _bind(main, settings.listen_address(spec.name), credentials, settings.run_dir)
    admin_target = _bind(admin, settings.admin_address(spec.name), None, settings.run_dir)
    await monitor.start()
    await main.start()
    await admin.start()
    _log.info("serving", target=target, admin=admin_target)
    return RunningServer(settings, spec, (main, admin), monitor, admission, target, admin_target)


async def _watch_telemetry(state: telemetry.Telemetry) -> None:
    while True:
        await asyncio.sleep(_TELEMETRY_POLL_SECONDS)
        state.refresh()


async def _serve(settings: S, build: Callable[[S], Awaitable[ServiceSpec]]) -> None:
    """
    Raises:
        MeshError: why it cannot serve; see `CannotServe`.
    """
    settings.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    spec = await build(settings)
    log.configure(settings.log_level, spec.name)
    state = telemetry.configure(spec.name, settings.run_dir / "telemetry.json")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = await start(settings, spec)
    # What lives as long as the process need not be looked at by every collection: a full one would hold up a turn for milliseconds.
    gc.collect()
    gc.freeze()
    watcher = asyncio.create_task(_watch_telemetry(state), name="telemetry-watch")
    asked = asyncio.create_task(stop.wait(), name="asked-to-stop")
    failing = asyncio.create_task(server.failed(), name="cannot-serve")
    try:
        await asyncio.wait((asked, failing), return_when=asyncio.FIRST_COMPLETED)
        if failing.done():
            failing.result()
    except CannotServe as refused:
        raise refused.error from None
    finally:
        asked.cancel()
        failing.cancel()
        watcher.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watcher
        await server.stop()
        await asyncio.to_thread(state.close)
        _log.info("stopped")


def run(settings_type: type[S], build: Callable[[S], Awaitable[ServiceSpec]]) -> None:
    """Run a service until SIGTERM or SIGINT. The body of every `__main__.py`."""
    os.umask(0o077)
    uvloop.run(_serve(settings_type(), build))
