"""The trace viewer (Arize Phoenix): installed into an environment of its own, started on loopback, tied to our life.

A tool that a person starts; nothing depends on it. Knows nothing of a mesh.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from cli.errors import CliError
from cli.parts import ports
from cli.parts.child import Child
from cli.parts.http_request import request
from cli.parts.launch import LaunchSpec
from cli.parts.logs import last_words
from cli.settings import REPOSITORY

REQUIREMENTS = REPOSITORY / "requirements" / "traces.txt"
START_SECONDS = 120.0
_MARKER = ".requirements-sha256"
_STOP_SECONDS = 5.0


@dataclass(frozen=True)
class Viewer:
    """Where a viewer lives and listens."""

    venv: Path
    work_dir: Path
    log_file: Path
    host: str
    otlp_port: int
    ui_port: int

    @property
    def url(self) -> str:
        """What a person opens."""
        return f"http://{self.host}:{self.ui_port}"


def is_installed(venv: Path) -> bool:
    """Whether the environment holds exactly what the lock file says."""
    try:
        return (venv / _MARKER).read_text() == _requirements_hash()
    except FileNotFoundError:
        return False


def _requirements_hash() -> str:
    return hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()


def install(venv: Path) -> None:
    """Makes the environment; uv shows its own progress.

    Raises:
        CliError: it could not be made.
    """
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv is None:
        raise CliError("uv is not there, which installs the trace viewer.", "`make setup` brings it.")
    steps = (
        (uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(venv)),
        (uv, "pip", "sync", "--require-hashes", "--python", str(venv / "bin" / "python"), str(REQUIREMENTS)),
    )
    for step in steps:
        if subprocess.run(step, check=False, cwd=REPOSITORY).returncode != 0:
            raise CliError("The trace viewer could not be installed; the lines above say why.", "Run `ragmesh traces` again.")
    (venv / _MARKER).write_text(_requirements_hash())


@asynccontextmanager
async def running(viewer: Viewer) -> AsyncIterator[Child]:
    """A viewer that is ready, and ended with the block.

    Raises:
        CliError: a port is taken, or it did not start.
    """
    for port, name in ((viewer.otlp_port, "RAGMESH_OTLP_ENDPOINT of `ragmesh up`"), (viewer.ui_port, "--port")):
        if not ports.is_free(viewer.host, port):
            raise CliError(f"Port {port} on {viewer.host} is in use.", f"Stop who uses it, or choose another with {name}.")
    viewer.work_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    environment = {
        **os.environ,
        "PHOENIX_WORKING_DIR": str(viewer.work_dir),
        "PHOENIX_HOST": viewer.host,
        "PHOENIX_PORT": str(viewer.ui_port),
        "PHOENIX_GRPC_PORT": str(viewer.otlp_port),
        # Nothing leaves this machine.
        "PHOENIX_TELEMETRY_ENABLED": "false",
        "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
    }
    spec = LaunchSpec((str(viewer.venv / "bin" / "python"), "-m", "phoenix.server.main", "serve"), environment, viewer.work_dir)
    child = await Child.start("phoenix", spec, viewer.log_file)
    try:
        await _until_ready(viewer, child)
        yield child
    finally:
        await child.stop(_STOP_SECONDS)


async def _until_ready(viewer: Viewer, child: Child) -> None:
    try:
        async with asyncio.timeout(START_SECONDS):
            while True:
                if not child.alive:
                    words = last_words(viewer.log_file, lines=1)
                    raise CliError(f"The trace viewer ended: {words[:300]}", f"See {viewer.log_file}.")
                if await _answers(viewer):
                    return
                await asyncio.sleep(0.2)
    except TimeoutError as error:
        raise CliError(f"The trace viewer was not ready within {START_SECONDS:.0f} s.", f"See {viewer.log_file}.") from error


async def _answers(viewer: Viewer) -> bool:
    try:
        return (await request(f"{viewer.host}:{viewer.ui_port}", "/healthz")).status == 200
    except OSError:
        return False
