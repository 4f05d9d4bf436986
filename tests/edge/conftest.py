"""A real Envoy in front of recording servicers: one shared by most tests, one of its own for a test with other settings."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from ragmesh.gateway.v1 import gateway_service_pb2 as g

from cli.parts.child import Child
from cli.parts.envoy import EnvoySettings, launch_spec
from cli.parts.envoy_admin import EnvoyAdmin
from cli.parts.keys import AUDIENCE, ISSUER, ensure_session_keys
from tests.edge.recording import Calls, start_gateway, start_retriever
from tests.edge.wire import call

READY_SECONDS = 15.0


@dataclass
class Edge:
    """A running Envoy and what reached the servicers behind it."""

    public_port: int
    local_port: int
    calls: Calls
    admin: EnvoyAdmin
    access_log: Path
    private_key: bytes

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.local_port}"

    def token(self, key: Any = None, **claims: Any) -> str:
        """A session token as the gateway makes them; a claim of None is left out."""
        made = {"iss": ISSUER, "aud": AUDIENCE, "sub": "sessions/abc", "exp": int(time.time()) + 600, **claims}
        given = {name: value for name, value in made.items() if value is not None}
        return jwt.encode(given, key or serialization.load_pem_private_key(self.private_key, None), algorithm="ES256")

    def bearer(self, **claims: Any) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token(**claims)}"}


async def until(condition: Callable[[], Awaitable[bool]], what: str, seconds: float = READY_SECONDS) -> None:
    """Waits until something is so, with a deadline."""
    async with asyncio.timeout(seconds):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.02)
    raise AssertionError(what)


def _settings(folder: Path, **changes: Any) -> EnvoySettings:
    settings = EnvoySettings(
        upstreams={"gateway": f"unix:{folder}/gateway.sock", "retriever": f"unix:{folder}/retriever.sock"},
        jwks_file=ensure_session_keys(folder / "data").jwks,
        admin_socket=folder / "admin.sock",
        access_log=folder / "access.log",
        public_port=0,
        local_port=0,
    )
    return replace(settings, **changes)


async def _serve(stack: AsyncExitStack, settings: EnvoySettings, calls: Calls) -> None:
    for start in (start_gateway, start_retriever):
        name = start.__name__.removeprefix("start_")
        stack.push_async_callback((await start(settings.upstreams[name], calls)).stop, 0)


async def _describe(folder: Path, settings: EnvoySettings, calls: Calls) -> Edge:
    admin = EnvoyAdmin(settings.admin_socket)
    ports = await admin.listener_ports()
    key = (folder / "data" / "keys" / "session.pem").read_bytes()
    return Edge(ports["public"], ports["local"], calls, admin, settings.access_log, key)


@asynccontextmanager
async def running_edge(folder: Path, *, upstream: bool = True, **changes: Any) -> AsyncIterator[Edge]:
    """An Envoy of its own with changed settings; `upstream=False` leaves nobody behind it."""
    calls = Calls()
    settings = _settings(folder, **changes)
    async with AsyncExitStack() as stack:
        if upstream:
            await _serve(stack, settings, calls)
        child = await Child.start("envoy", launch_spec(folder / "envoy", settings), folder / "envoy.log")
        stack.push_async_callback(child.stop, 5.0)
        admin = EnvoyAdmin(settings.admin_socket)

        async def ready() -> bool:
            assert child.alive, (folder / "envoy.log").read_text()
            return await admin.ready()

        await until(ready, "Envoy is not ready")
        yield await _describe(folder, settings, calls)


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose path is short enough for a Unix socket."""
    return tmp_path_factory.mktemp("e")


@pytest.fixture(scope="session")
def client_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small built client."""
    made = tmp_path_factory.mktemp("client")
    (made / "assets").mkdir()
    (made / "index.html").write_text("<!doctype html><title>x</title>")
    (made / "app.js").write_text("const a = 1;\n" * 24_000)  # 300 KB
    (made / "assets" / "app-0123456789ab.css").write_text("p{margin:0}" * 300)
    (made / "icon.png").write_bytes(bytes(range(256)))
    (made / "app.js.map").write_text("{}")
    (made / ".env").write_text("SECRET=1")
    return made


@pytest.fixture(scope="session")
def shared_envoy(tmp_path_factory: pytest.TempPathFactory, client_dir: Path) -> Iterator[tuple[Path, EnvoySettings]]:
    """One Envoy for all tests that need no other settings: a client, and one foreign origin that may call."""
    folder = tmp_path_factory.mktemp("s")
    settings = _settings(folder, client_dir=client_dir, allowed_origins=("https://page.example",), rate_burst=100_000)
    spec = launch_spec(folder / "envoy", settings)
    with (folder / "envoy.log").open("wb") as log:
        process = subprocess.Popen(spec.argv, cwd=spec.cwd, stdout=log, stderr=log)
    try:

        async def ready() -> bool:
            assert process.poll() is None, (folder / "envoy.log").read_text()
            return await EnvoyAdmin(settings.admin_socket).ready()

        asyncio.run(until(ready, "Envoy is not ready"))
        yield folder, settings
    finally:
        process.terminate()
        process.wait(READY_SECONDS)


@pytest.fixture
async def edge(shared_envoy: tuple[Path, EnvoySettings]) -> AsyncIterator[Edge]:
    """The shared Envoy with recording servicers of this test behind it."""
    folder, settings = shared_envoy
    async with AsyncExitStack() as stack:
        calls = Calls()
        await _serve(stack, settings, calls)
        running = await _describe(folder, settings, calls)

        async def reached() -> bool:
            # Envoy may still hold connections to the servicers of the test before.
            reply = await call(running.public_port, "GetAssistant", g.GetAssistantRequest())
            return reply.trailers["grpc-status"] == "0"

        await until(reached, "Envoy does not reach the servicers")
        running.calls.forget()
        yield running
