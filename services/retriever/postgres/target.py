"""From settings to what the driver is given, and what is refused on the way: plain text and well-known passwords over a network.

Beyond loopback the server's certificate has to be checked against its name (`sslmode=verify-full`).
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from services.retriever.postgres.settings import PostgresSettings
from services.retriever.truth_schema import TruthUnusable

MAX_PASSWORD_BYTES = 1024
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
# What installations, images and examples come with. Compared without case.
_WORDS = """
    postgres postgresql password passw0rd p@ssw0rd pass admin administrator root secret changeme change-me changeit default guest
    test example ragmesh user database db 1234 12345 123456 12345678 123456789 qwerty letmein welcome mysecretpassword
"""
_WELL_KNOWN = frozenset(_WORDS.split())
# What would bring a password or a server from somewhere else than the settings.
_REFUSED = ("password", "passfile", "service", "servicefile", "options")


def conninfo(settings: PostgresSettings, application: str) -> dict[str, Any]:
    """Parameters for the driver.

    Args:
        application: name under which the server lists the connections.

    Raises:
        TruthUnusable: the settings are not complete or not safe; the message says what to do.
    """
    found = _parsed(settings.dsn)
    password = _password(settings.password_file)
    hosts = [host for name in ("host", "hostaddr") for host in str(found.get(name) or "").split(",") if name in found]
    if not hosts or not all(hosts):
        raise TruthUnusable("RAGMESH_RETRIEVER_POSTGRES__DSN names no host: add one, or the folder of the server's Unix socket")
    if not all(stays_here(host) for host in hosts):
        _check_far(found, password)
    return {
        **found,
        # Set here, so that no variable of the environment (PGSSLMODE, PGPASSWORD, PGHOSTADDR, ...) says something else.
        "hostaddr": found.get("hostaddr", ""),
        "sslmode": found.get("sslmode", "prefer"),
        "password": password,
        "passfile": "/dev/null",
        "application_name": application,
        "connect_timeout": max(2, round(settings.connect_seconds)),
        # A server that vanished without a word is given up: packets that nobody confirms, a line that nobody is at.
        "tcp_user_timeout": round(settings.statement_seconds * 1000),
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "client_encoding": "UTF8",
    }


def _parsed(dsn: str) -> dict[str, Any]:
    if not dsn.strip():
        raise TruthUnusable("PostgreSQL has no address: set RAGMESH_RETRIEVER_POSTGRES__DSN")
    try:
        found = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:  # its text repeats the address
        raise TruthUnusable("RAGMESH_RETRIEVER_POSTGRES__DSN cannot be read: write postgresql://user@host/database") from None
    for name in _REFUSED:
        if name in found:
            where = "; put the password into a file, RAGMESH_RETRIEVER_POSTGRES__PASSWORD_FILE" if name.startswith("pass") else ""
            raise TruthUnusable(f"RAGMESH_RETRIEVER_POSTGRES__DSN must not have {name!r}{where}")
    if not found.get("user") or not found.get("dbname"):
        raise TruthUnusable("RAGMESH_RETRIEVER_POSTGRES__DSN names no user or no database: write postgresql://user@host/database")
    return found


def is_well_known(password: str, user: str) -> bool:
    """Whether installations, images and examples come with that password."""
    return password.lower() in _WELL_KNOWN or password.lower() == user.lower()


def stays_here(host: str) -> bool:
    """Whether what is sent there stays on this machine."""
    return host.startswith(("/", "@")) or host in _LOOPBACK


def _check_far(found: dict[str, Any], password: str) -> None:
    if found.get("sslmode") != "verify-full":
        raise TruthUnusable(
            "a PostgreSQL beyond this machine is reached over TLS that is checked: add sslmode=verify-full to"
            " RAGMESH_RETRIEVER_POSTGRES__DSN, and sslrootcert=FILE for a certificate authority of your own"
        )
    if "sslcert" in found and not password:
        return
    if not password:
        raise TruthUnusable(
            "a PostgreSQL beyond this machine needs a password: set RAGMESH_RETRIEVER_POSTGRES__PASSWORD_FILE,"
            " or add sslcert and sslkey to RAGMESH_RETRIEVER_POSTGRES__DSN"
        )
    if is_well_known(password, str(found["user"])):
        raise TruthUnusable(
            "the password of PostgreSQL is one that everybody knows: give the user another one (ALTER ROLE ... PASSWORD)"
            " and write it to RAGMESH_RETRIEVER_POSTGRES__PASSWORD_FILE"
        )


def _password(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(path.stat().st_mode)
            data = file.read(MAX_PASSWORD_BYTES + 1)
    except OSError as error:
        raise TruthUnusable(f"the password file {path} cannot be read: {error.strerror}") from None
    # As libpq asks of keys: the owner alone; or root's, which a group may read.
    if mode & (0o027 if path.stat().st_uid == 0 else 0o077):
        raise TruthUnusable(f"others may read the password file {path}: chmod 600 {path}")
    text = data.decode("utf-8", "replace").strip("\r\n")
    if not text or len(data) > MAX_PASSWORD_BYTES or any(ord(character) < 32 for character in text):
        raise TruthUnusable(f"the password file {path} must hold the password on one line, and nothing else")
    return text
