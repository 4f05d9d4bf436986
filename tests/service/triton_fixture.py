"""A real Triton for tests: the shipped model repository on free loopback ports, started once a session, ended by its process id."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import tritonclient.grpc as triton

from cli.parts.ports import free_ports
from cli.parts.triton import ENGINES, launch_spec
from tests.server_process import ServerProcess

ROOT = Path(__file__).resolve().parents[2]
REPOSITORY = ROOT / "deploy" / "triton" / "model_repository"
READY_WITHIN_S = 60.0


@dataclass(frozen=True)
class RunningTriton:
    grpc: str
    pid: int
    ready_after_s: float


def _is_ready(grpc_port: int, http_port: int) -> bool:
    """Whether both ports answer: the second one is opened a moment after the first."""
    with triton.InferenceServerClient(f"127.0.0.1:{grpc_port}") as client, contextlib.suppress(triton.InferenceServerException):
        if client.is_server_ready():
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", http_port), timeout=1.0):
                return True
    return False


@contextlib.contextmanager
def running_triton(
    work_dir: Path,
    repository: Path = REPOSITORY,
    otlp_endpoint: str | None = None,
    engines: Path = ENGINES,
    runtime: str = "auto",
) -> Iterator[RunningTriton]:
    grpc_port, http_port = free_ports(2)
    spec = launch_spec(work_dir, repository, grpc_port, http_port, otlp_endpoint=otlp_endpoint, engines=engines, runtime=runtime)
    server = ServerProcess("Triton", work_dir / "triton.log")
    began = time.monotonic()
    server.start(spec)
    try:
        server.wait_until(lambda: _is_ready(grpc_port, http_port), READY_WITHIN_S)
        yield RunningTriton(f"127.0.0.1:{grpc_port}", server.pid, time.monotonic() - began)
    finally:
        server.stop()


@pytest.fixture(scope="session")
def triton_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningTriton]:
    with running_triton(tmp_path_factory.mktemp("triton")) as server:
        yield server
