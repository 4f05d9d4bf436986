"""A real Envoy in front of recording servicers, one for each test that asks for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from cli.parts.child import Child
from cli.parts.envoy import EnvoySettings, launch_spec
from cli.parts.envoy_admin import EnvoyAdmin
from cli.parts.keys import AUDIENCE, ISSUER, ensure_session_keys
from tests.edge.recording import Calls, start_gateway, start_retriever

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


@asynccontextmanager
async def running_edge(folder: Path, *, upstream: bool = True, **changes: Any) -> AsyncIterator[Edge]:
    """An Envoy with changed settings; `upstream=False` leaves nobody behind it."""
    calls = Calls()
    keys = ensure_session_keys(folder / "data")
    settings = EnvoySettings(
        upstreams={"gateway": f"unix:{folder}/gateway.sock", "retriever": f"unix:{folder}/retriever.sock"},
        jwks_file=keys.jwks,
        admin_socket=folder / "admin.sock",
        access_log=folder / "access.log",
        public_port=0,
        local_port=0,
    )
    settings = replace(settings, **changes)
    async with AsyncExitStack() as stack:
        if upstream:
            for server in (
                await start_gateway(settings.upstreams["gateway"], calls),
                await start_retriever(settings.upstreams["retriever"], calls),
            ):
                stack.push_async_callback(server.stop, 0)
        child = await Child.start("envoy", launch_spec(folder / "envoy", settings), folder / "envoy.log")
        stack.push_async_callback(child.stop, 5.0)
        admin = EnvoyAdmin(settings.admin_socket)

        async def ready() -> bool:
            assert child.alive, (folder / "envoy.log").read_text()
            return await admin.ready()

        await until(ready, "Envoy is not ready")
        ports = await admin.listener_ports()
        yield Edge(ports["public"], ports["local"], calls, admin, settings.access_log, keys.private_key.read_bytes())


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose path is short enough for a Unix socket."""
    return tmp_path_factory.mktemp("e")


@pytest.fixture
def client_dir(folder: Path) -> Path:
    """A small built client."""
    made = folder / "dist"
    (made / "assets").mkdir(parents=True)
    (made / "index.html").write_text("<!doctype html><title>x</title>")
    (made / "app.js").write_text("const a = 1;\n" * 24_000)  # 300 KB
    (made / "assets" / "app-0123456789ab.css").write_text("p{margin:0}" * 300)
    (made / "icon.png").write_bytes(bytes(range(256)))
    (made / "app.js.map").write_text("{}")
    (made / ".env").write_text("SECRET=1")
    return made


@pytest.fixture
async def edge(folder: Path, client_dir: Path) -> AsyncIterator[Edge]:
    """An Envoy with a client, one foreign origin that may call, and recording servicers."""
    async with running_edge(folder, client_dir=client_dir, allowed_origins=("https://page.example",)) as running:
        yield running
