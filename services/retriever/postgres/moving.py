"""Copies a store of truth from its SQLite file to an empty PostgreSQL: all of it or nothing, in one transaction.

Rows are read and written in batches. Before the end every table is read back, and count and digest of its rows are compared with
those of the file. The file is only read. What belongs to one index alone is not copied (`follower`, `outbox`): an index of the new
store is built from the vectors that are stored.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from services.retriever.folder_lock import lock_folder
from services.retriever.postgres.pool import WRITE, prepare
from services.retriever.postgres.schema import migrate
from services.retriever.postgres.settings import PostgresSettings
from services.retriever.postgres.target import conninfo
from services.retriever.postgres.truth import refuse_retrievers, why
from services.retriever.truth_schema import SCHEMA_VERSION, TruthUnusable

_BATCH = 64
# Table, its columns, how many of them are its key (rows are compared in that order), whether its ids are given by the database.
_TABLES = (
    ("collection", "id tenant name create_time", 1, True),
    ("document", "id collection_id name current_version create_time cluster", 1, True),
    ("label", "document_id label", 2, False),
    (
        "version",
        "id uid document_id title topic announced_title media_type size_bytes sha256 source_uri pipeline canonical chunk_count"
        " quarantined_count create_time source language source_time",
        1,
        False,
    ),
    ("chunk", "id version_id ordinal uid range_start range_end title_path text tokens quarantined page", 1, False),
    ("embedding", "chunk_id embedder vector", 2, False),
    ("minhash", "document_id signature", 1, False),
    ("band", "collection_id number value document_id", 4, False),
    ("source", "id collection_id name definition secret create_time refresh_time", 1, True),
    ("fetched", "source_id uri document etag last_modified sha256 pipeline links", 2, False),
    ("used_nonce", "source_id nonce time", 2, False),
)
_QUARANTINE = (
    ("held", "tenant document digest category rules text time", 3, False),
    ("released", "tenant digest subject time", 2, False),
)
_BOOLEANS = frozenset({"quarantined"})
_META = ("instance", "epoch", "embedder", "next_version", "next_chunk")


@dataclass(frozen=True, slots=True)
class Moved:
    """A table that is the same in both."""

    table: str
    rows: int
    sha256: str


def move(folder: Path, settings: PostgresSettings) -> list[Moved]:
    """Copies what `folder` holds. Blocks; the longest statement takes as long as its table.

    Raises:
        TruthUnusable: a retriever runs, the file is of another release, PostgreSQL cannot be used, holds something already or would
            hold something else than the file. Nothing is changed then.
    """
    path = folder / "truth.db"
    if not path.is_file():
        raise TruthUnusable(f"there is no store in {folder}")
    target = conninfo(settings, "ragmesh-move")
    with ExitStack() as stack:
        stack.callback(os.close, lock_folder(folder))
        try:
            source = stack.enter_context(_reading(path))
            _check(source)
            quarantine = folder / "quarantine.db"
            noted = stack.enter_context(_reading(quarantine)) if quarantine.is_file() else None
            refuse_retrievers(target)
            migrate(target)
            connection = stack.enter_context(psycopg.connect(**target, autocommit=True))
            prepare(connection)
            return _transfer(source, noted, connection)
        except sqlite3.Error as error:
            raise TruthUnusable(f"the file cannot be read ({error}): restore it from a backup") from error
        except psycopg.DataError as error:
            raise TruthUnusable(
                f"PostgreSQL cannot hold a value of the file ({type(error).__name__}); nothing was changed"
            ) from None
        except psycopg.Error as error:
            raise TruthUnusable(f"{why(target, error)}; nothing was changed") from None


def _reading(path: Path) -> closing[sqlite3.Connection]:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
    connection.execute("BEGIN")
    return closing(connection)


def _check(source: sqlite3.Connection) -> None:
    found = int(source.execute("PRAGMA user_version").fetchone()[0])
    if found != SCHEMA_VERSION:
        raise TruthUnusable(f"the file has schema {found}, this release {SCHEMA_VERSION}: start and stop the mesh once, then move")


def _transfer(source: sqlite3.Connection, noted: sqlite3.Connection | None, target: psycopg.Connection[Any]) -> list[Moved]:
    # Leaving this block by an error, or by being killed, leaves an empty database.
    with target.transaction():
        target.execute("SET LOCAL statement_timeout = 0")
        target.execute("SET LOCAL synchronous_commit = on")
        target.execute(WRITE.removeprefix("BEGIN; ").encode())
        plan = [(source, *table) for table in _TABLES]
        plan += [(noted, *table) for table in _QUARANTINE if noted is not None]
        for _, table, _, _, _ in plan:
            row = target.execute(f"SELECT EXISTS (SELECT 1 FROM {table})".encode()).fetchone()
            if row is None or row[0]:
                raise TruthUnusable("the database holds documents already: name one that is empty")
        return [*(_copy(*one, target) for one in plan), _copy_meta(source, target)]


def _copy(origin: sqlite3.Connection, table: str, columns: str, key: int, numbered: bool, target: psycopg.Connection[Any]) -> Moved:
    names = columns.split()
    listed, order = ", ".join(names), ", ".join(names[:key])
    question = f"SELECT {listed} FROM {table} ORDER BY {order}"
    written, rows = hashlib.sha256(), 0
    with target.cursor().copy(f"COPY {table} ({listed}) FROM STDIN".encode()) as copy:
        for row in _batched(origin.execute(question)):
            copy.write_row([bool(value) if name in _BOOLEANS else value for name, value in zip(names, row, strict=True)])
            _digest(written, row)
            rows += 1
    if numbered:
        last = origin.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()[0]
        # Ids are never given twice, those of deleted rows neither.
        target.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), %s, %s)".encode(), (max(1, last), last > 0))
    found, count = hashlib.sha256(), 0
    with target.cursor(name=f"compare_{table}") as cursor:
        cursor.itersize = _BATCH
        for row in cursor.execute(question.encode()):
            _digest(found, row)
            count += 1
    return _same(table, (rows, written.hexdigest()), (count, found.hexdigest()))


def _same(table: str, before: tuple[int, str], after: tuple[int, str]) -> Moved:
    if before != after:
        raise TruthUnusable(f"the table {table} would not be the same ({before[0]} rows and {after[0]}): nothing was changed")
    return Moved(table, *before)


def _copy_meta(source: sqlite3.Connection, target: psycopg.Connection[Any]) -> Moved:
    kept = dict(source.execute("SELECT key, value FROM meta").fetchall())
    last = source.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'outbox'").fetchone()[0]
    end = max(last, int(kept["trimmed"]))
    target.execute("SELECT setval(pg_get_serial_sequence('outbox', 'seq'), %s, %s)", (max(1, end), end > 0))
    wanted = {**{key: kept[key] for key in _META}, "trimmed": str(end)}
    for key, value in wanted.items():
        target.execute("UPDATE meta SET value = %s WHERE key = %s", (value, key))
    found = dict(target.execute("SELECT key, value FROM meta").fetchall())
    digests = []
    for values in (wanted, found):
        digest = hashlib.sha256()
        for pair in sorted(values.items()):
            _digest(digest, pair)
        digests.append((len(values), digest.hexdigest()))
    return _same("meta", digests[0], digests[1])


def _batched(cursor: sqlite3.Cursor) -> Iterator[tuple[Any, ...]]:
    while rows := cursor.fetchmany(_BATCH):
        yield from rows


def _digest(digest: Any, row: Iterable[Any]) -> None:
    """Adds a row so that no other row adds the same bytes."""
    for value in row:
        if isinstance(value, str):
            value = value.encode()
            kind = b"t"
        elif value is None or isinstance(value, int):
            kind, value = b"n", b"" if value is None else b"%d" % int(value)
        else:
            kind, value = b"b", bytes(value)
        digest.update(b"%c%d:" % (kind, len(value)))
        digest.update(value)
