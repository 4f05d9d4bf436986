"""Registered sources in the store of truth: what they are, what was read of them and when. Functions on a connection."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from services.mesh.errors import MeshError
from services.retriever.records import DocumentKey
from services.retriever.truth import Connection

MAX_SOURCES = 1_000


@dataclass(frozen=True, slots=True)
class SourceKey:
    """A source inside a tenant."""

    tenant: str
    collection: str
    source: str

    @classmethod
    def parse(cls, tenant: str, name: str) -> SourceKey:
        """From `collections/{c}/sources/{s}`, whose form was validated."""
        _, collection, _, source = name.split("/")
        return cls(tenant, collection, source)

    @property
    def name(self) -> str:
        """`collections/{c}/sources/{s}`."""
        return f"collections/{self.collection}/sources/{self.source}"


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """A source as it is kept."""

    id: int
    key: SourceKey
    definition: bytes
    """A serialised `Source`, as its editor gave it."""
    secret: str
    create_time: int
    """Nanoseconds since 1970."""
    refresh_time: int | None
    documents: int


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of an address since it was last read."""

    uri: str
    document: str
    """Name of its document inside the collection; empty where it has none."""
    etag: str
    last_modified: str
    sha256: str
    pipeline: str
    links: tuple[str, ...]


_SOURCE = """
    SELECT source.id, source.name, definition, secret, source.create_time, refresh_time, collection.name AS collection, tenant,
        (SELECT count(*) FROM document JOIN version ON version.id = current_version
            WHERE document.collection_id = collection.id AND version.source = source.name) AS documents
    FROM source JOIN collection ON collection.id = collection_id WHERE tenant = ? AND collection.name = ?
"""


def _record(row: Any) -> SourceRecord:
    return SourceRecord(
        id=row["id"],
        key=SourceKey(row["tenant"], row["collection"], row["name"]),
        definition=bytes.fromhex(row["definition"]),
        secret=row["secret"],
        create_time=row["create_time"],
        refresh_time=row["refresh_time"],
        documents=row["documents"],
    )


def source_not_found(key: SourceKey) -> MeshError:
    """The one answer for a source that is not there and one of another tenant."""
    return MeshError("SOURCE_NOT_FOUND", "there is no such source", metadata={"source": key.name})


def find_source(connection: Connection, key: SourceKey) -> SourceRecord:
    """A registered source.

    Raises:
        MeshError: SOURCE_NOT_FOUND.
    """
    row = connection.execute(f"{_SOURCE} AND source.name = ?", (key.tenant, key.collection, key.source)).fetchone()
    if row is None:
        raise source_not_found(key)
    return _record(row)


def list_sources(connection: Connection, tenant: str, collection: str) -> list[SourceRecord]:
    """The sources of a collection, in the order of names."""
    rows = connection.execute(f"{_SOURCE} ORDER BY source.name LIMIT {MAX_SOURCES}", (tenant, collection)).fetchall()
    return [_record(row) for row in rows]


def put_source(connection: Connection, key: SourceKey, definition: bytes, secret: str | None) -> SourceRecord:
    """Registers a source, or changes what is kept of it.

    Args:
        secret: None leaves the one that it has.
    """
    now = time.time_ns()
    connection.execute(
        "INSERT INTO collection (tenant, name, create_time) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        (key.tenant, key.collection, now),
    )
    row = connection.execute("SELECT id FROM collection WHERE tenant = ? AND name = ?", (key.tenant, key.collection)).fetchone()
    connection.execute(
        "INSERT INTO source (collection_id, name, definition, secret, create_time) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (collection_id, name) DO UPDATE SET definition = excluded.definition,"
        " secret = CASE WHEN ? THEN excluded.secret ELSE source.secret END",
        (row[0], key.source, definition.hex(), secret or "", now, secret is not None),
    )
    return find_source(connection, key)


def forget_source(connection: Connection, key: SourceKey) -> None:
    """Deletes a source; its documents were deleted before."""
    connection.execute("DELETE FROM source WHERE id = ?", (find_source(connection, key).id,))


def use_nonce(connection: Connection, source: int, nonce: str, until: float) -> bool:
    """Whether `nonce` was not used yet; it is from now on, until the time `until` (seconds since 1970)."""
    connection.execute("DELETE FROM used_nonce WHERE time < ?", (int(time.time()),))
    row = connection.execute(
        "INSERT INTO used_nonce (source_id, nonce, time) VALUES (?, ?, ?) ON CONFLICT DO NOTHING RETURNING 1",
        (source, nonce, int(until) + 1),
    ).fetchone()
    return row is not None


def known_pages(connection: Connection, source: int) -> dict[str, Known]:
    """What is known of the addresses of a source."""
    rows = connection.execute("SELECT * FROM fetched WHERE source_id = ?", (source,))
    return {
        row["uri"]: Known(
            row["uri"],
            row["document"],
            row["etag"],
            row["last_modified"],
            row["sha256"],
            row["pipeline"],
            tuple(orjson.loads(row["links"])),
        )
        for row in rows
    }


def remember(connection: Connection, source: int, pages: Iterable[Known]) -> None:
    """Keeps what is known of addresses now."""
    connection.executemany(
        "INSERT INTO fetched (source_id, uri, document, etag, last_modified, sha256, pipeline, links)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (source_id, uri) DO UPDATE SET document = excluded.document,"
        " etag = excluded.etag, last_modified = excluded.last_modified, sha256 = excluded.sha256,"
        " pipeline = excluded.pipeline, links = excluded.links",
        [
            (
                source,
                page.uri,
                page.document,
                page.etag,
                page.last_modified,
                page.sha256,
                page.pipeline,
                orjson.dumps(page.links).decode(),
            )
            for page in pages
        ],
    )


def finish_refresh(connection: Connection, source: int, there: Iterable[str]) -> None:
    """The source was read to its end: of the addresses that are not `there` any more nothing is known from now on."""
    gone = [row[0] for row in connection.execute("SELECT uri FROM fetched WHERE source_id = ?", (source,))]
    kept = set(there)
    connection.executemany(
        "DELETE FROM fetched WHERE source_id = ? AND uri = ?", [(source, uri) for uri in gone if uri not in kept]
    )
    connection.execute("UPDATE source SET refresh_time = ? WHERE id = ?", (time.time_ns(), source))


def document_keys(connection: Connection, key: SourceKey) -> list[DocumentKey]:
    """Documents that came from a source and are stored; whoever may refresh it may replace them."""
    rows = connection.execute(
        "SELECT document.name FROM collection JOIN document ON document.collection_id = collection.id"
        " JOIN version ON version.id = current_version WHERE tenant = ? AND collection.name = ? AND version.source = ?"
        " ORDER BY document.name",
        (key.tenant, key.collection, key.source),
    )
    return [DocumentKey(key.tenant, key.collection, row[0]) for row in rows]


def count_of(connection: Connection, key: SourceKey) -> tuple[int, int]:
    """Documents of a source, and their chunks that a search can find, as the store has them."""
    row = connection.execute(
        "SELECT count(DISTINCT document.id), count(chunk.id) FROM collection"
        " JOIN document ON document.collection_id = collection.id JOIN version ON version.id = current_version"
        " LEFT JOIN chunk ON chunk.version_id = version.id AND NOT chunk.quarantined"
        " WHERE tenant = ? AND collection.name = ? AND version.source = ?",
        (key.tenant, key.collection, key.source),
    ).fetchone()
    return int(row[0]), int(row[1])
