"""A real Triton for tests: the shipped model repository on free loopback ports, started once a session, ended by its process id."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import tritonclient.grpc as triton

from cli.parts.triton import ENGINES, launch_spec

ROOT = Path(__file__).resolve().parents[2]
REPOSITORY = ROOT / "deploy" / "triton" / "model_repository"
READY_WITHIN_S = 60.0


@dataclass(frozen=True)
class RunningTriton:
    grpc: str
    pid: int
    ready_after_s: float


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago; all are held until all are known, so that they differ."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def _wait_until_ready(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    with triton.InferenceServerClient(address) as client:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                break
            with contextlib.suppress(triton.InferenceServerException):
                if client.is_server_ready():
                    return
            time.sleep(0.05)
    raise RuntimeError(f"Triton was not ready: {log.read_text(errors='replace')[-4000:]}")


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
    log = work_dir / "triton.log"
    began = time.monotonic()
    with log.open("wb") as output:
        # Its own session, so that the stubs it starts end with it.
        process = subprocess.Popen(
            spec.argv, env=spec.env, cwd=spec.cwd, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            address = f"127.0.0.1:{grpc_port}"
            _wait_until_ready(process, address, log)
            yield RunningTriton(address, process.pid, time.monotonic() - began)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
                try:
                    process.wait(timeout=15)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait(timeout=15)


@pytest.fixture(scope="session")
def triton_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningTriton]:
    with running_triton(tmp_path_factory.mktemp("triton")) as server:
        yield server
