"""Looks at a PostgreSQL as `ragmesh doctor` does: whether the documents can be there, and what waits or lags. Changes nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg

from services.retriever.postgres.schema import missing
from services.retriever.postgres.settings import PostgresSettings
from services.retriever.postgres.target import conninfo, is_well_known, stays_here
from services.retriever.postgres.truth import place, refuse_server, why
from services.retriever.truth import Checked
from services.retriever.truth_schema import TruthUnusable

_LISTENS = "SELECT current_setting('listen_addresses')"
_END = "greatest((SELECT coalesce(max(seq), 0) FROM outbox), (SELECT value::bigint FROM meta WHERE key = 'trimmed'))"
_FOLLOWERS = f"SELECT {_END} - position, seen FROM follower"
_BEHIND = 10_000
"""Changes; an index that answers takes over thousands a second."""
_SILENT_SECONDS = 2 * 3600
"""Indexes say at least once an hour how far they are."""


@dataclass(frozen=True, slots=True)
class _Follower:
    behind: int
    """Changes that it has not on disk."""
    silent: float
    """Seconds since it was heard of."""


def check(settings: PostgresSettings) -> Iterator[Checked]:
    """What can be found out, up to the first thing that keeps a retriever from starting. Blocks."""
    try:
        target = conninfo(settings, "ragmesh-doctor")
    except TruthUnusable as refused:
        yield Checked("postgresql", False, str(refused))
        return
    try:
        with psycopg.connect(**target, autocommit=True) as connection:
            refuse_server(connection, target)
            version = str(connection.info.parameter_status("server_version")).split()[0]
            yield Checked("postgresql", True, f"{version} at {place(target).removeprefix('PostgreSQL at ')}, {target['dbname']}")
            yield _encryption(connection, target)
            yield _password(connection, target)
            steps = missing(connection)
            if steps:
                yield Checked("its tables", True, f"not there yet, the next start makes them (missing: {', '.join(steps)})")
                return
            yield Checked("its tables", True, "as this release has them")
            yield _followers(connection)
    except TruthUnusable as refused:
        yield Checked("postgresql", False, str(refused))
    except psycopg.Error as error:
        yield Checked("postgresql", False, why(target, error))


def _encryption(connection: psycopg.Connection[Any], target: dict[str, Any]) -> Checked:
    if connection.pgconn.ssl_in_use:
        checked = "its certificate is checked" if target["sslmode"] == "verify-full" else "its certificate is not checked"
        return Checked("its TLS", True, f"used, {checked}")
    # Beyond this machine `conninfo` insists on it.
    return Checked("its TLS", True, "not used: the connection does not leave this machine")


def _password(connection: psycopg.Connection[Any], target: dict[str, Any]) -> Checked:
    row = connection.execute(_LISTENS).fetchone()
    listens = [] if row is None else [address.strip() for address in str(row[0]).split(",") if address.strip()]
    far = [address for address in listens if not stays_here(address)]
    if not connection.pgconn.used_password:
        if far and "sslcert" not in target:
            remedy = "ask for scram-sha-256 in its pg_hba.conf"
            return Checked("its password", False, f"none is asked of {target['user']}, and it listens on {', '.join(far)}", remedy)
        return Checked("its password", True, f"none is asked of {target['user']}")
    if is_well_known(target["password"], target["user"]):
        if far:
            remedy = f"ALTER ROLE {target['user']} PASSWORD '...', and the same in the password file"
            return Checked("its password", False, f"everybody knows it, and it listens on {', '.join(far)}", remedy)
        return Checked("its password", True, "one that everybody knows; it listens on this machine alone")
    return Checked("its password", True, f"asked of {target['user']}, and not one that everybody knows")


def _followers(connection: psycopg.Connection[Any]) -> Checked:
    now = time.time()
    rows = connection.execute(_FOLLOWERS).fetchall()
    found = [_Follower(max(0, int(behind)), max(0.0, now - int(seen))) for behind, seen in rows]
    if not found:
        return Checked("its followers", True, "no index follows yet")
    slowest = max(found, key=lambda one: (one.behind, one.silent))
    indexes = f"{len(found)} indexes follow" if len(found) > 1 else "one index follows"
    detail = f"{indexes}, the last one {slowest.behind:,} changes behind, heard of {_ago(slowest.silent)} ago"
    if slowest.behind < _BEHIND:
        return Checked("its followers", True, detail)
    if slowest.silent >= _SILENT_SECONDS:
        remedy = "start its retriever; one that stays away is built anew when it comes back"
        return Checked("its followers", False, detail, remedy)
    return Checked("its followers", False, detail, "see the log of its retriever")


def _ago(seconds: float) -> str:
    for name, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} seconds"
