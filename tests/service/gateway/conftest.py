"""A gateway between scripted services, and visitors who call it."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from services.gateway import hub as hub_module
from services.gateway.build import build
from services.gateway.settings import GatewaySettings
from services.mesh.server import start
from tests.service.gateway.fake_services import FakeServices
from tests.service.gateway.visitors import GatewayUnderTest, Visitor
from tests.unit.gateway.turn_events import visitor

Start = Callable[..., Awaitable[GatewayUnderTest]]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Only what is wrong is logged."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    yield
    structlog.reset_defaults()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="gw") as name:
        yield Path(name)


@pytest.fixture
async def start_gateway(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Start]:
    """Starts the gateway with settings of the test; its services are running."""
    monkeypatch.setattr(hub_module, "_KEEP_SECONDS", 0.05)
    running: list[GatewayUnderTest] = []

    async def make(**values: Any) -> GatewayUnderTest:
        more = {"run_dir": folder / "run", "data_dir": folder / "data", "drain_seconds": 0.2, "_env_file": None, **values}
        settings = GatewaySettings(**more)
        services = FakeServices(settings)
        await services.start()
        server = await start(settings, await build(settings))
        made = GatewayUnderTest(settings, services, server)
        running.append(made)
        return made

    yield make
    for made in running:
        await made.close()


@pytest.fixture
async def gateway(start_gateway: Start) -> GatewayUnderTest:
    """A gateway with default settings."""
    return await start_gateway()


@pytest.fixture
async def anna(gateway: GatewayUnderTest) -> Visitor:
    """A visitor of it."""
    return gateway.visitor(visitor("anna"))
