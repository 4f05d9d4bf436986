"""A real guard on a Unix socket, served by the chassis, called through its channel."""

from __future__ import annotations

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
    """Where the compiled rules are kept: compiled for the first test only."""
    return tmp_path_factory.mktemp("guard-data")


@pytest.fixture
async def guard(tmp_path: Path, guard_data: Path) -> AsyncIterator[RunningGuard]:
    settings = GuardSettings(
        run_dir=tmp_path / "run", data_dir=guard_data, assistant_dir=ROOT / "corpus" / "assistants", drain_seconds=0.5
    )
    server = await start(settings, await build(settings))
    try:
        with context.as_principal(Principal(tenant="default", subject="users/local", roles=["visitor"])):
            async with open_channel(settings, "guard") as channel:
                yield RunningGuard(GuardServiceStub(channel), server, settings)
    finally:
        await server.stop()
