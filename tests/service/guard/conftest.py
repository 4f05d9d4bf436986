"""A real guard on a Unix socket, served by the chassis, called through its channel."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ragmesh.guard.v1.guard_service_pb2_grpc import GuardServiceStub
from ragmesh.identity.v1.principal_pb2 import Principal

from services.guard.build import build
from services.guard.settings import GuardSettings
from services.mesh import context
from services.mesh.channel import open_channel
from services.mesh.server import RunningServer, start

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class RunningGuard:
    stub: Any
    server: RunningServer
    settings: GuardSettings


@pytest.fixture(scope="session")
def guard_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One data folder for all tests."""
    return tmp_path_factory.mktemp("guard-data")


@contextlib.asynccontextmanager
async def running_guard(
    run_dir: Path, data_dir: Path, triton: str, assistants: Path = ROOT / "corpus" / "assistants"
) -> AsyncIterator[RunningGuard]:
    settings = GuardSettings(
        run_dir=run_dir,
        data_dir=data_dir,
        # Compiled rules are kept between runs: named by what went into them, they are never old.
        guard_cache_dir=Path(tempfile.gettempdir()) / "ragmesh-test-rules",
        assistant_dir=assistants,
        drain_seconds=0.5,
        triton=triton,
        guard_intent_seconds=5,
    )
    server = await start(settings, await build(settings))
    try:
        with context.as_principal(Principal(tenant="default", subject="users/local", roles=["visitor"])):
            async with open_channel(settings, "guard") as channel:
                yield RunningGuard(GuardServiceStub(channel), server, settings)
    finally:
        await server.stop()


@pytest.fixture
async def guard(tmp_path: Path, guard_data: Path) -> AsyncIterator[RunningGuard]:
    """Without a model server: nothing listens on port 1."""
    async with running_guard(tmp_path / "run", guard_data, "127.0.0.1:1") as running:
        yield running
