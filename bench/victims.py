"""What is killed while documents are imported: a retriever process, and the servers that it stands on.

Knows neither documents nor what is counted.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal, Protocol

import grpc

from cli.parts.child import Child
from cli.parts.weaviate import NodePorts, is_ready, launch_spec
from services.mesh.channel import open_channel
from services.retriever.postgres.settings import PostgresSettings
from services.retriever.settings import RetrieverSettings
from services.retriever.weaviate_settings import WeaviateSettings

Victim = Literal["retriever", "weaviate", "postgresql"]

START_SECONDS = 90.0
POLL_SECONDS = 0.02


class KillableServer(Protocol):
    """A server that may be killed and started again over the same data."""

    async def start(self) -> None:
        """Starts it and waits until it serves."""
        ...

    async def kill(self) -> None:
        """Kills it where it runs."""
        ...


class WeaviateServer:
    """A Weaviate of one node."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports = NodePorts.choose()
        self._child: Child | None = None

    @property
    def settings(self) -> WeaviateSettings:
        """Where it is."""
        node = {"http_port": self._ports.http, "grpc_port": self._ports.grpc}
        return WeaviateSettings.model_validate({"nodes": [node]})

    async def start(self) -> None:
        """Starts it and waits until it serves."""
        spec = launch_spec(self._folder, self._ports)
        self._child = await Child.start("weaviate", spec, self._folder / "weaviate.log", orphan_signal=signal.SIGTERM)
        async with asyncio.timeout(START_SECONDS):
            while True:
                if await is_ready(self._ports):
                    return
                await asyncio.sleep(POLL_SECONDS)

    async def kill(self) -> None:
        """Kills it where it runs."""
        if self._child is not None:
            self._child.kill_group()
            await self._child.wait()


def environment(settings: RetrieverSettings) -> dict[str, str]:
    """Environment of a retriever process with these settings."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "RAGMESH_RUN_DIR": str(settings.run_dir),
        "RAGMESH_DATA_DIR": str(settings.data_dir),
        "RAGMESH_TRITON": settings.triton,
        "RAGMESH_LOG_LEVEL": "warning",
        "RAGMESH_RETRIEVER_INDEX": settings.retriever_index,
        "RAGMESH_RETRIEVER_WEAVIATE__NODES": json.dumps([node.model_dump() for node in settings.retriever_weaviate.nodes]),
        **(_postgres(settings.retriever_postgres) if settings.retriever_truth == "postgresql" else {}),
    }


def _postgres(settings: PostgresSettings) -> dict[str, str]:
    return {
        "RAGMESH_RETRIEVER_TRUTH": "postgresql",
        "RAGMESH_RETRIEVER_POSTGRES__DSN": settings.dsn,
        "RAGMESH_RETRIEVER_POSTGRES__PASSWORD_FILE": str(settings.password_file or ""),
    }


async def launch(settings: RetrieverSettings, *arguments: str) -> asyncio.subprocess.Process:
    """A process of the retriever; what it says is in its standard error."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.retriever",
        *arguments,
        env=environment(settings),
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
    )


@asynccontextmanager
async def retriever_process(settings: RetrieverSettings) -> AsyncIterator[tuple[asyncio.subprocess.Process, grpc.aio.Channel]]:
    """A retriever process that answers, and a channel to it; killed at the end where it still runs."""
    socket = settings.run_dir / "retriever.sock"
    socket.unlink(missing_ok=True)
    process = await launch(settings)
    said = asyncio.create_task(process.stderr.read() if process.stderr else asyncio.sleep(0, b""))
    channel = open_channel(settings, "retriever")
    try:
        try:
            async with asyncio.timeout(START_SECONDS):
                while not socket.exists():
                    if process.returncode is not None:
                        raise RuntimeError(f"the retriever ended: {(await said).decode(errors='replace')[-2000:]}")
                    await asyncio.sleep(POLL_SECONDS)
                await channel.channel_ready()
        except TimeoutError:
            process.kill()
            words = (await said).decode(errors="replace")[-2000:]
            raise RuntimeError(f"the retriever did not answer within {START_SECONDS:.0f} s: {words}") from None
        yield process, channel
    finally:
        await channel.close()
        if process.returncode is None:
            process.kill()
        await process.wait()
        await said
