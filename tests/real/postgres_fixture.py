"""A real PostgreSQL for tests."""

from __future__ import annotations

import contextlib
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.postgres_server import USER, Server
from cli.parts.ports import free_ports

__all__ = ["USER", "Server", "postgres", "running_server", "server_folder"]


@contextlib.contextmanager
def server_folder() -> Iterator[Path]:
    """Not below pytest's own folder: only its user may look into that one."""
    with tempfile.TemporaryDirectory(prefix="pg") as name:
        yield Path(name)


@contextlib.contextmanager
def running_server() -> Iterator[Server]:
    with server_folder() as folder:
        server = Server(folder, free_ports(1)[0])
        server.make()
        server.start()
        try:
            yield server
        finally:
            # Without the checkpoint of a clean end: the folder goes away.
            server.stop(signal.SIGQUIT)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    with running_server() as server:
        yield server
