"""What tests of several folders start: one real mesh for the whole run, with the sample corpus.

Everything listens on loopback on free ports, in a folder of its own, and is ended by process id.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import grpc
import pytest
import structlog
from ragmesh.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub
from ragmesh.retriever.v1.document_service_pb2_grpc import DocumentServiceStub

from bench.otlp_receiver import OtlpReceiver
from cli.documents.sample import load_sample
from cli.parts.supervisor import Mesh

T = TypeVar("T")
_START_SECONDS = 120
_STOP_SECONDS = 30


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """A command that is run inside a test sets up logging for its process."""
    yield
    structlog.reset_defaults()


class MeshThread:
    """A mesh that runs on a loop of its own, so that one serves the tests of many loops. Every turn is traced.

    The thread lives as long as the mesh: its processes die with the thread that started them.
    """

    def __init__(self, var_dir: Path, **settings: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="mesh", daemon=True)
        self._thread.start()
        self.receiver = OtlpReceiver()
        """Gets the traces of every turn."""
        self.call(self.receiver.__aenter__())
        self._starting = Mesh.start(
            var_dir, public_port=0, local_port=0, otlp_endpoint=self.receiver.endpoint, trace_ratio=1.0, **settings
        )
        self.mesh: Mesh = self.call(self._starting.__aenter__(), _START_SECONDS)

    def call(self, coroutine: Coroutine[Any, Any, T], seconds: float = 30) -> T:
        """Run a coroutine on the mesh's loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(seconds)

    def close(self) -> None:
        """Stop the mesh, then the loop."""
        self.call(self._starting.__aexit__(None, None, None), _STOP_SECONDS)
        self.call(self.receiver.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_STOP_SECONDS)
        self._loop.close()


@pytest.fixture(scope="session")
def mesh_thread(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MeshThread]:
    """The real mesh of this run."""
    # A busy machine is no reason to do without the intent model here. Compiled rules are kept between runs, and not in the home.
    rules = Path(tempfile.gettempdir()) / "ragmesh-test-rules"
    thread = MeshThread(
        tmp_path_factory.mktemp("mesh"), env={"RAGMESH_GUARD_INTENT_SECONDS": "5", "RAGMESH_GUARD_CACHE_DIR": str(rules)}
    )
    try:
        thread.call(load_sample(thread.mesh.grpc_target), _START_SECONDS)
        yield thread
    finally:
        thread.close()


@pytest.fixture(scope="session")
def mesh(mesh_thread: MeshThread) -> Mesh:
    """The real mesh of this run: `web_url`, `grpc_target`, `run_dir`, `pids`."""
    return mesh_thread.mesh


@pytest.fixture
async def channel(mesh: Mesh) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to the plain gRPC listener of the edge: the caller is `users/local`."""
    async with grpc.aio.insecure_channel(mesh.grpc_target) as opened:
        yield opened


@pytest.fixture
def gateway(channel: grpc.aio.Channel) -> GatewayServiceStub:
    """The gateway through the edge."""
    return GatewayServiceStub(channel)


@pytest.fixture
def documents(channel: grpc.aio.Channel) -> DocumentServiceStub:
    """The documents through the edge."""
    return DocumentServiceStub(channel)
