"""Changes of the store of truth: functions on a connection, each run as one transaction by its caller.

The outbox names versions whose chunks an index may not agree with. A row is written before the index is touched and goes away only
once every index that follows has the change on disk, so that a killed process always knows what to look at again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import orjson
from numpy.typing import NDArray

from services.mesh.errors import MeshError
from services.retriever import truth_links
from services.retriever.records import Committed, DocumentKey, NewVersion, Reserved
from services.retriever.truth import Connection
from services.retriever.truth_reads import MAX_OUTBOX, meta, outbox_end

FOLLOWER_SECONDS = 7 * 24 * 3600
"""After this time without a word an index is not waited for any more."""


def _set(connection: Connection, key: str, value: int | str) -> None:
    connection.execute("UPDATE meta SET value = ? WHERE key = ?", (str(value), key))


def _take(connection: Connection, key: str, count: int) -> int:
    """The first of `count` numbers that nobody gets again."""
    row = connection.execute(
        "UPDATE meta SET value = CAST(CAST(value AS BIGINT) + CAST(? AS BIGINT) AS TEXT) WHERE key = ? RETURNING value",
        (count, key),
    ).fetchone()
    return int(row[0]) - count


def _next_epoch(connection: Connection) -> int:
    return _take(connection, "epoch", 1) + 1


def _announce(connection: Connection, version: int) -> int:
    """Writes to the outbox; returns the number of the row. Changes come one at a time, so that numbers rise with the epochs."""
    return _announce_all(connection, [version])[0]


def _announce_all(connection: Connection, versions: Sequence[int]) -> tuple[int, ...]:
    """As `_announce`, for several versions."""
    places = ", ".join(["(?)"] * len(versions))
    rows = connection.execute(f"INSERT INTO outbox (version_id) VALUES {places} RETURNING seq", tuple(versions)).fetchall()
    return tuple(sorted(int(row[0]) for row in rows))


def reserve(connection: Connection, key: DocumentKey, chunks: int) -> Reserved:
    """Ids for a version with `chunks` indexed chunks; makes the collection where it is missing. Ids are never given twice."""
    return reserve_all(connection, [(key, chunks)])[0]


def reserve_all(connection: Connection, wanted: Sequence[tuple[DocumentKey, int]]) -> list[Reserved]:
    """As `reserve`, for several versions."""
    collections: dict[tuple[str, str], int] = {}
    for tenant, name in {(key.tenant, key.collection): None for key, _ in wanted}:
        connection.execute(
            "INSERT INTO collection (tenant, name, create_time) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            (tenant, name, time.time_ns()),
        )
        row = connection.execute("SELECT id FROM collection WHERE tenant = ? AND name = ?", (tenant, name)).fetchone()
        collections[tenant, name] = int(row[0])
    version = _take(connection, "next_version", len(wanted))
    chunk = _take(connection, "next_chunk", sum(chunks for _, chunks in wanted))
    connection.executemany("INSERT INTO outbox (version_id) VALUES (?)", [(version + at,) for at in range(len(wanted))])
    places: list[Reserved] = []
    for at, (key, chunks) in enumerate(wanted):
        places.append(Reserved(version + at, chunk, collections[key.tenant, key.collection]))
        chunk += chunks
    return places


def commit_all(connection: Connection, ready: Sequence[tuple[NewVersion, Reserved]], keep: int) -> tuple[Committed, list[bool]]:
    """Makes each version the current one of its document, whole; of one document the last one.

    What can be asked once for all of them is: over a network each answer that is waited for takes longer than the statement.

    Args:
        keep: former versions of each that stay readable.

    Returns:
        Of all together, and of each whether its document resembles another one.

    Raises:
        MeshError: EMBEDDER_CHANGED where the store's vectors come from another embedder.
    """
    for embedder in {new.embedder: None for new, _ in ready}:
        _claim_embedder(connection, embedder)
    linked: list[bool] = []
    stale: list[int] = []
    changed: list[int] = []
    for new, reserved in ready:
        former, cluster = _replace(connection, new, reserved, keep)
        linked.append(cluster != 0)
        changed.append(reserved.version)
        if former is not None:
            stale.append(former)
            changed.append(former)
    # Once more: the rows that `reserve` wrote may be settled already.
    announced = _announce_all(connection, changed)
    epoch = _take(connection, "epoch", len(ready)) + len(ready)
    return Committed(epoch, tuple(stale), sum(len(new.chunks) for new, _ in ready), announced), linked


def _replace(connection: Connection, new: NewVersion, reserved: Reserved, keep: int) -> tuple[int | None, int]:
    """Puts a version in the place of the one before; returns that one, and the cluster that its document is in now."""
    now = time.time_ns()
    row = connection.execute(
        "INSERT INTO document (collection_id, name, create_time) VALUES (?, ?, ?)"
        " ON CONFLICT (collection_id, name) DO UPDATE SET name = excluded.name RETURNING id, current_version",
        (reserved.collection, new.key.document, now),
    ).fetchone()
    document, former = int(row["id"]), None if row["current_version"] is None else int(row["current_version"])
    _insert_version(connection, new, reserved, document, now)
    connection.execute("UPDATE document SET current_version = ? WHERE id = ?", (reserved.version, document))
    connection.execute("DELETE FROM label WHERE document_id = ?", (document,))
    connection.executemany("INSERT INTO label VALUES (?, ?)", [(document, label) for label in sorted(set(new.labels))])
    cluster = truth_links.link(connection, reserved.collection, document, new.minhash)
    if former is not None:
        connection.execute("DELETE FROM embedding WHERE chunk_id IN (SELECT id FROM chunk WHERE version_id = ?)", (former,))
    connection.execute(
        "DELETE FROM version WHERE document_id = :document AND id NOT IN"
        " (SELECT id FROM version WHERE document_id = :document ORDER BY id = :current DESC, id DESC LIMIT :keep)",
        {"document": document, "current": reserved.version, "keep": keep + 1},
    )
    return former, cluster


def _claim_embedder(connection: Connection, embedder: str) -> None:
    known = meta(connection, "embedder")
    if not known:
        _set(connection, "embedder", embedder)
    elif known != embedder:
        raise embedder_changed(known, embedder)


def embedder_changed(indexed: str, served: str) -> MeshError:
    """The error for vectors of one embedder and queries of another: comparing the two would be noise."""
    return MeshError(
        "EMBEDDER_CHANGED",
        "the documents were embedded by another model than the one that is served: stop the mesh and run `ragmesh store reindex`"
        " (for a retriever that runs alone: `python -m services.retriever rebuild`)",
        metadata={"index_embedder": indexed, "served_embedder": served},
    )


def _insert_version(connection: Connection, new: NewVersion, reserved: Reserved, document: int, now: int) -> None:
    connection.execute(
        """
        INSERT INTO version (id, uid, document_id, title, topic, announced_title, media_type, size_bytes, sha256, source_uri,
            pipeline, canonical, chunk_count, quarantined_count, create_time, source, language, source_time)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (
            reserved.version,
            new.uid,
            document,
            new.title,
            new.topic,
            new.announced_title,
            new.media_type,
            new.size_bytes,
            new.sha256,
            new.source_uri,
            new.pipeline,
            new.canonical,
            len(new.chunks),
            len(new.quarantined),
            now,
            new.source,
            new.language,
            new.source_time,
        ),
    )
    ids = range(reserved.first_chunk, reserved.first_chunk + len(new.chunks))
    connection.executemany(
        "INSERT INTO chunk (id, version_id, ordinal, uid, range_start, range_end, title_path, text, tokens, quarantined, page)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                chunk_id,
                reserved.version,
                chunk.ordinal,
                chunk.uid,
                chunk.start,
                chunk.end,
                orjson.dumps(chunk.title_path).decode(),
                chunk.text,
                chunk.tokens,
                chunk.ordinal in new.quarantined,
                chunk.page,
            )
            for chunk_id, chunk in zip(ids, new.chunks, strict=True)
        ],
    )
    kept = [chunk_id for chunk_id, chunk in zip(ids, new.chunks, strict=True) if chunk.ordinal not in new.quarantined]
    connection.executemany(
        "INSERT INTO embedding (chunk_id, embedder, vector) VALUES (?, ?, ?)",
        [(chunk_id, new.embedder, _blob(vector)) for chunk_id, vector in zip(kept, new.vectors, strict=True)],
    )


def _blob(vector: NDArray[np.float32]) -> bytes:
    return np.ascontiguousarray(vector, dtype=np.float32).tobytes()


def delete(connection: Connection, key: DocumentKey) -> Committed:
    """Deletes a document with all its versions; the caller has asked whether it may be read.

    Raises:
        MeshError: DOCUMENT_NOT_FOUND.
    """
    row = connection.execute(
        "SELECT document.id, current_version, chunk_count FROM collection JOIN document ON collection_id = collection.id"
        " JOIN version ON version.id = current_version WHERE tenant = ? AND collection.name = ? AND document.name = ?",
        (key.tenant, key.collection, key.document),
    ).fetchone()
    if row is None:
        raise document_not_found(key)
    announced = _announce(connection, row["current_version"])
    connection.execute("DELETE FROM document WHERE id = ?", (row["id"],))
    return Committed(_next_epoch(connection), (row["current_version"],), row["chunk_count"], (announced,))


def touch(connection: Connection, version_uid: str, size_bytes: int, sha256: str) -> None:
    """The current version was imported again from other bytes that say exactly the same."""
    connection.execute("UPDATE version SET size_bytes = ?, sha256 = ? WHERE uid = ?", (size_bytes, sha256, version_uid))


def document_not_found(key: DocumentKey) -> MeshError:
    """The one answer for a document that is not there and one that the caller may not read."""
    return MeshError("DOCUMENT_NOT_FOUND", "there is no such document", metadata={"document": key.name})


def announce_change(connection: Connection, version: int) -> Committed:
    """Other chunks of a current version are found from now on."""
    announced = _announce(connection, version)
    return Committed(_next_epoch(connection), (), 0, (announced,))


def settle(connection: Connection, upto: int, epoch: int, follower: str = "") -> None:
    """The index of `follower` has every change up to outbox row `upto` on disk, and stands at `epoch`.

    What all have seen is taken from the outbox, and so is what only somebody misses who was away for `FOLLOWER_SECONDS` or for
    `MAX_OUTBOX` changes: such an index is built anew.
    """
    now = int(time.time())
    connection.execute(
        "INSERT INTO follower (name, position, flushed_epoch, seen) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (name) DO UPDATE SET position = excluded.position, flushed_epoch = excluded.flushed_epoch,"
        " seen = excluded.seen",
        (follower, upto, epoch, now),
    )
    connection.execute("DELETE FROM follower WHERE seen < ?", (now - FOLLOWER_SECONDS,))
    slowest = int(connection.execute("SELECT min(position) FROM follower").fetchone()[0])
    trimmed = max(slowest, outbox_end(connection) - MAX_OUTBOX)
    if trimmed > int(meta(connection, "trimmed")):
        connection.execute("DELETE FROM outbox WHERE seq <= ?", (trimmed,))
        _set(connection, "trimmed", trimmed)


def add_vectors(connection: Connection, embedder: str, ids: Sequence[int], vectors: NDArray[np.float32]) -> None:
    """Vectors of another embedder beside those in use; `adopt` makes them the ones in use."""
    connection.executemany(
        "INSERT INTO embedding (chunk_id, embedder, vector) VALUES (?, ?, ?)"
        " ON CONFLICT (chunk_id, embedder) DO UPDATE SET vector = excluded.vector",
        [(chunk_id, embedder, _blob(vector)) for chunk_id, vector in zip(ids, vectors, strict=True)],
    )


def adopt(connection: Connection, embedder: str) -> int:
    """From now on the vectors of `embedder` count; those of others are deleted. Returns the new epoch."""
    connection.execute("DELETE FROM embedding WHERE embedder <> ?", (embedder,))
    _set(connection, "embedder", embedder)
    return _next_epoch(connection)
