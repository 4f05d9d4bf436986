"""The parts of a mesh: how each is started and when it is ready. Knows nothing of restarts or of the order of things."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cli.errors import CliError
from cli.parts import envoy, triton, weaviate
from cli.parts.envoy_admin import EnvoyAdmin
from cli.parts.envoy_routes import ClientFilesError
from cli.parts.http_request import request
from cli.parts.keys import SessionKeys
from cli.parts.launch import LaunchSpec
from cli.parts.model_keeper import ModelKeeper, ModelsLostError
from cli.parts.model_overlay import Overlays
from cli.parts.run_state import VarLayout
from cli.parts.weaviate import NodePorts
from cli.settings import REPOSITORY, UpSettings

SERVICES = ("guard", "retriever", "generator", "gateway")
PARTS = ("triton", "envoy", *SERVICES)

MODEL_REPOSITORY = REPOSITORY / "deploy" / "triton" / "model_repository"
CLIENT_DIR = REPOSITORY / "web" / "dist"

# Enough for calls that are nearly done; the whole mesh must be down within eight seconds of Ctrl-C.
_DRAIN_SECONDS = "2"


@dataclass(frozen=True)
class Ports:
    """Ports of loopback that a mesh chose for itself."""

    triton_grpc: int
    triton_http: int
    weaviate: NodePorts | None
    """Of the Weaviate of this mesh; None where it has none."""
    services: Mapping[str, int]
    """With mTLS: service -> port. Without: empty, services have Unix sockets."""


class PartBrokenError(Exception):
    """A part runs and does not do its work; the message says in one line why."""


@dataclass(frozen=True)
class Part:
    """One program of the mesh."""

    name: str
    launch: Callable[[], LaunchSpec]
    """How to start it; asked again for each start."""
    ready: Callable[[], Awaitable[bool]]
    """Whether it does its work now."""
    grace: float
    """Seconds between asking it to end and making it."""
    orphan_signal: signal.Signals = signal.SIGKILL
    """What it gets when the supervisor is killed."""
    clean: Callable[[], None] = lambda: None
    """Removes what it may have left behind; called once it ended."""
    tend: Callable[[int, Callable[[str], None]], Awaitable[None]] | None = None
    """Looks after it while it runs, by its process id, and tells in one line what it did.

    Raises PartBrokenError where it must be started again.
    """


def admin_socket(run_dir: Path) -> Path:
    """Envoy's admin socket."""
    return run_dir / "envoy.admin.sock"


def service_targets(run_dir: Path, ports: Ports) -> dict[str, str]:
    """Service -> its address."""
    if ports.services:
        return {name: f"127.0.0.1:{port}" for name, port in ports.services.items()}
    return {name: f"unix:{run_dir / name}.sock" for name in SERVICES}


def service_part(name: str, folders: VarLayout, settings: UpSettings, ports: Ports, env: Mapping[str, str]) -> Part:
    """One of our own services."""
    targets = service_targets(folders.run_dir, ports)
    own = {
        "RAGMESH_RUN_DIR": str(folders.run_dir),
        "RAGMESH_DATA_DIR": str(folders.data_dir),
        "RAGMESH_TRITON": f"127.0.0.1:{ports.triton_grpc}",
        "PYTHONPATH": os.pathsep.join(str(REPOSITORY / part) for part in ("", "gen/python", "deploy/triton/lib")),
    }
    if ports.weaviate is not None:
        own["RAGMESH_RETRIEVER_INDEX"] = "weaviate"
        node = {"http_port": ports.weaviate.http, "grpc_port": ports.weaviate.grpc}
        own["RAGMESH_RETRIEVER_WEAVIATE__NODES"] = json.dumps([node])
    if ports.services:
        own["RAGMESH_TLS_DIR"] = str(settings.tls_dir and settings.tls_dir.resolve())
        own["RAGMESH_LISTEN"] = targets[name]
        own["RAGMESH_TARGETS"] = json.dumps(targets)
    # The working folder is not the repository: services would read the settings in its var folder, which may be another mesh's.
    usual = {"RAGMESH_DRAIN_SECONDS": _DRAIN_SECONDS, "RAGMESH_ASSISTANT_DIR": str(REPOSITORY / "corpus" / "assistants")}
    environment = {**usual, **os.environ, **env, **own}
    spec = LaunchSpec((sys.executable, "-m", f"services.{name}"), environment, folders.run_dir)
    socket = folders.run_dir / f"{name}.admin.sock"
    return Part(name, lambda: spec, partial(_serving, socket), grace=3.0)


def triton_part(folders: VarLayout, settings: UpSettings, ports: Ports) -> Part:
    """The model server."""

    def launch() -> LaunchSpec:
        try:
            spec = triton.launch_spec(
                folders.root / "triton",
                Overlays(folders.root, MODEL_REPOSITORY).served(),
                ports.triton_grpc,
                ports.triton_http,
                otlp_endpoint=f"http://{settings.viewer_endpoint}",
                runtime=settings.triton_runtime,
            )
        except triton.TritonUnavailableError as error:
            raise CliError(f"Triton cannot start: {error}.", "`ragmesh doctor` checks every part.") from error
        # Shared memory outlives a Triton that is killed; under a name of its own it can be removed.
        region = f"--backend-config=python,shm-region-prefix-name={_shared_memory(folders)}"
        return LaunchSpec((*spec.argv, region), spec.env, spec.cwd)

    http = f"127.0.0.1:{ports.triton_http}"

    async def ready() -> bool:
        try:
            return (await request(http, "/v2/health/ready")).status == 200
        except OSError:
            return False

    async def tend(pid: int, say: Callable[[str], None]) -> None:
        try:
            await ModelKeeper(pid, http, ready, say).run()
        except ModelsLostError as error:
            raise PartBrokenError(str(error)) from error

    def clean() -> None:
        for region in Path("/dev/shm").glob(f"{_shared_memory(folders)}*"):  # noqa: S108  # where Linux keeps it
            region.unlink(missing_ok=True)

    # Asked to end, it ends itself after five seconds at most, and with it the processes of its models.
    return Part("triton", launch, ready, grace=2.5, orphan_signal=signal.SIGTERM, clean=clean, tend=tend)


def weaviate_part(folders: VarLayout, ports: NodePorts) -> Part:
    """The server of an index on Weaviate."""
    launch = partial(weaviate.launch_spec, folders.data_dir / "weaviate", ports)
    return Part("weaviate", launch, partial(weaviate.is_ready, ports), grace=3.0, orphan_signal=signal.SIGTERM)


def _shared_memory(folders: VarLayout) -> str:
    return f"ragmesh_{folders.key}_"


def envoy_part(folders: VarLayout, settings: Callable[[], UpSettings], ports: Ports, keys: SessionKeys) -> Part:
    """The edge. `settings` is asked at each start: once it has chosen its ports, a restart must keep them."""
    admin = admin_socket(folders.run_dir)

    def launch() -> LaunchSpec:
        now = settings()
        targets = service_targets(folders.run_dir, ports)
        edge = envoy.EnvoySettings(
            upstreams={name: targets[name] for name in ("gateway", "retriever")},
            jwks_file=keys.jwks,
            admin_socket=admin,
            access_log=folders.log_dir / "access.log",
            public_host=now.public_host,
            public_port=now.public_port,
            local_host=now.local_host,
            local_port=now.local_port,
            client_dir=CLIENT_DIR if CLIENT_DIR.is_dir() else None,
            public_hosts=now.public_hosts,
            allowed_origins=now.allowed_origins,
            public_refresh=now.public_refresh,
            tls_dir=now.tls_dir,
            otlp_endpoint=now.viewer_endpoint,
            sampling=now.trace_ratio if now.otlp_endpoint else 0.0,
        )
        try:
            return envoy.launch_spec(folders.run_dir / "envoy", edge)
        except ClientFilesError as error:
            raise CliError(f"The browser client cannot be served: {error}.", "`git checkout web/dist` brings it back.") from error

    return Part("envoy", launch, EnvoyAdmin(admin).ready, grace=2.0)


async def _serving(socket: Path) -> bool:
    """Whether the process behind an admin socket is SERVING as a whole; where it is not yet, waits a second for it to say so.

    Asking again and again would cost a starting mesh more of the processor than half of what it starts.
    """
    if not socket.exists():
        return False
    options = [("grpc.default_authority", "localhost"), ("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(f"unix:{socket}", options=options) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        watching = stub.Watch(health_pb2.HealthCheckRequest(), timeout=1.0)  # type: ignore[attr-defined]  # not in its type stubs
        try:
            async for answer in watching:
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return True
        except grpc.aio.AioRpcError:
            return False
        finally:
            watching.cancel()
    return False
