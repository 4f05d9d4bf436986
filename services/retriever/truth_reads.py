"""Questions to the store of truth: functions on a connection. Rights are part of every one that a caller's call may reach."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import orjson

from services.retriever.indexing_text import index_terms
from services.retriever.records import DocumentKey, DocumentRecord, Followed, FoundChunk, IndexedChunk, PassageRecord, Reader
from services.retriever.truth import Connection

MAX_OUTBOX = 100_000
"""Changes that are kept for an index that does not ask for them; one that misses more is built anew."""


def _readable(document: str) -> str:
    """A document without labels is everybody's in the tenant; one with labels is for holders of any of them.

    `:labels` is a JSON array.
    """
    return f"""(
    NOT EXISTS (SELECT 1 FROM label WHERE document_id = {document}.id)
    OR EXISTS (SELECT 1 FROM label WHERE document_id = {document}.id AND label IN (SELECT value FROM json_each(:labels)))
)"""


_READABLE = _readable("document")

_DOCUMENT = f"""
    SELECT document.id, document.name, document.create_time, collection.name AS collection, collection.tenant, version.uid,
        version.title, version.announced_title, version.media_type, version.size_bytes, version.sha256,
        version.source_uri, version.pipeline, version.source, version.language, version.source_time,
        CASE WHEN cluster = 0 THEN '' ELSE coalesce(
            (SELECT other.name FROM document AS other WHERE other.cluster = document.cluster AND other.id <> document.id
                AND other.collection_id = document.collection_id AND {_readable("other")} ORDER BY other.id LIMIT 1), '')
        END AS near_duplicate_of,
        version.chunk_count, version.quarantined_count, version.create_time AS update_time,
        (SELECT json_group_array(label) FROM label WHERE label.document_id = document.id) AS labels
    FROM collection
    JOIN document ON document.collection_id = collection.id
    JOIN version ON version.id = document.current_version
    WHERE collection.tenant = :tenant AND collection.name = :collection AND {_READABLE}
"""


def _rights(reader: Reader) -> dict[str, object]:
    return {"tenant": reader.tenant, "labels": orjson.dumps(reader.labels).decode()}


def meta(connection: Connection, key: str) -> str:
    """A value of the `meta` table."""
    return str(connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()[0])


def _record(row: Any) -> DocumentRecord:
    return DocumentRecord(
        key=DocumentKey(row["tenant"], row["collection"], row["name"]),
        version_uid=row["uid"],
        title=row["title"],
        announced_title=row["announced_title"],
        media_type=row["media_type"],
        size_bytes=row["size_bytes"],
        sha256=row["sha256"],
        source_uri=row["source_uri"],
        pipeline=row["pipeline"],
        labels=tuple(sorted(orjson.loads(row["labels"]))),
        chunk_count=row["chunk_count"],
        quarantined_count=row["quarantined_count"],
        create_time=row["create_time"],
        update_time=row["update_time"],
        source=row["source"],
        language=row["language"],
        source_time=row["source_time"],
        near_duplicate_of=row["near_duplicate_of"],
    )


def find_collection(connection: Connection, tenant: str, name: str) -> int | None:
    """Id of a collection of the tenant."""
    row = connection.execute("SELECT id FROM collection WHERE tenant = ? AND name = ?", (tenant, name)).fetchone()
    return None if row is None else int(row[0])


def find_document(connection: Connection, reader: Reader, key: DocumentKey) -> DocumentRecord | None:
    """A document that the reader may read."""
    row = connection.execute(
        f"{_DOCUMENT} AND document.name = :document",
        {**_rights(reader), "collection": key.collection, "document": key.document},
    ).fetchone()
    return None if row is None else _record(row)


def document_exists(connection: Connection, key: DocumentKey) -> bool:
    """Whether the tenant has such a document, readable or not. Not for answers that a caller sees."""
    found = connection.execute(
        "SELECT 1 FROM collection JOIN document ON collection_id = collection.id"
        " WHERE tenant = ? AND collection.name = ? AND document.name = ?",
        (key.tenant, key.collection, key.document),
    ).fetchone()
    return found is not None


def canonical_text(connection: Connection, version_uid: str) -> bytes:
    """The whole text of a kept version."""
    return bytes(connection.execute("SELECT canonical FROM version WHERE uid = ?", (version_uid,)).fetchone()[0])


def list_documents(
    connection: Connection, reader: Reader, collection: str, after: str, limit: int, source: str = ""
) -> tuple[list[DocumentRecord], int]:
    """Readable documents whose name comes after `after`, in the order of names, and how many the collection has in all.

    Args:
        source: only documents of this source count; empty: all.
    """
    values = {**_rights(reader), "collection": collection, "after": after, "limit": limit, "source": source}
    wanted = f"{_DOCUMENT} AND (:source = '' OR version.source = :source)"
    rows = connection.execute(f"{wanted} AND document.name > :after ORDER BY document.name LIMIT :limit", values).fetchall()
    total = connection.execute(f"SELECT count(*) FROM ({wanted}) AS wanted", values).fetchone()[0]
    return [_record(row) for row in rows], int(total)


def count_readable(connection: Connection, reader: Reader, collection: int) -> int:
    """Documents of a collection that the reader may read."""
    row = connection.execute(
        f"SELECT count(*) FROM document WHERE collection_id = :id AND current_version IS NOT NULL AND {_READABLE}",
        {**_rights(reader), "id": collection},
    ).fetchone()
    return int(row[0])


def count_chunks(connection: Connection, reader: Reader, collection: int) -> int:
    """Chunks of a collection that the reader's searches can find."""
    row = connection.execute(
        "SELECT coalesce(sum(chunk_count - quarantined_count), 0) FROM document JOIN version ON version.id = current_version"
        f" WHERE collection_id = :id AND {_READABLE}",
        {**_rights(reader), "id": collection},
    ).fetchone()
    return int(row[0])


def visible_chunks(connection: Connection, reader: Reader, collection: int, ids: Sequence[int]) -> dict[int, FoundChunk]:
    """Those of `ids` that are chunks of a current version, readable and not held back."""
    rows = connection.execute(
        f"""
        SELECT chunk.id, chunk.uid, chunk.title_path, chunk.text, chunk.range_start, chunk.range_end, document.id AS document_id,
            document.name, collection.name AS collection, collection.tenant, version.uid AS version_uid, version.create_time,
            version.source_uri, chunk.page, document.cluster
        FROM json_each(:ids) AS wanted
        CROSS JOIN chunk
        JOIN version ON version.id = chunk.version_id
        JOIN document ON document.id = version.document_id AND document.current_version = version.id
        JOIN collection ON collection.id = document.collection_id
        WHERE chunk.id = wanted.value AND collection.id = :collection AND collection.tenant = :tenant AND NOT chunk.quarantined
            AND {_READABLE}
        """,
        {**_rights(reader), "ids": orjson.dumps(list(ids)).decode(), "collection": collection},
    ).fetchall()
    return {
        row["id"]: FoundChunk(
            id=row["id"],
            uid=row["uid"],
            document_id=row["document_id"],
            key=DocumentKey(row["tenant"], row["collection"], row["name"]),
            version_uid=row["version_uid"],
            version_time=row["create_time"],
            title_path=tuple(orjson.loads(row["title_path"])),
            text=row["text"],
            start=row["range_start"],
            end=row["range_end"],
            source_uri=_at_page(row["source_uri"], row["page"]),
            cluster=row["cluster"],
        )
        for row in rows
    }


def find_passage(
    connection: Connection, reader: Reader, key: DocumentKey, version_uid: str, chunk_uid: str, neighbours: int
) -> PassageRecord | None:
    """A chunk of a kept version with up to `neighbours` chunks on either side; none of them one that the guard holds back."""
    version = connection.execute(
        f"""
        SELECT version.id, version.uid, version.source_uri FROM collection
        JOIN document ON document.collection_id = collection.id
        JOIN version ON version.document_id = document.id
        WHERE collection.tenant = :tenant AND collection.name = :collection AND document.name = :document AND version.uid = :version
            AND {_READABLE}
        """,
        {**_rights(reader), "collection": key.collection, "document": key.document, "version": version_uid},
    ).fetchone()
    if version is None:
        return None
    asked = connection.execute(
        "SELECT * FROM chunk WHERE version_id = ? AND uid = ? AND NOT quarantined", (version["id"], chunk_uid)
    ).fetchone()
    if asked is None:
        return None
    at = asked["ordinal"]
    around = connection.execute(
        "SELECT * FROM chunk WHERE version_id = ? AND ordinal BETWEEN ? AND ? ORDER BY ordinal",
        (version["id"], at - neighbours, at + neighbours),
    ).fetchall()
    first = last = asked
    for row in reversed([row for row in around if row["ordinal"] < at]):
        if row["quarantined"]:
            break
        first = row
    for row in (row for row in around if row["ordinal"] > at):
        if row["quarantined"]:
            break
        last = row
    stretch = connection.execute(
        "SELECT substr(canonical, CAST(? AS INTEGER), CAST(? AS INTEGER)) FROM version WHERE id = ?",
        (first["range_start"] + 1, last["range_end"] - first["range_start"], version["id"]),
    ).fetchone()
    text = bytes(stretch[0]).decode()
    return PassageRecord(
        version_name=f"{key.name}/versions/{version['uid']}",
        title_path=tuple(orjson.loads(asked["title_path"])),
        start=first["range_start"],
        end=last["range_end"],
        text=text,
        chunk_start=asked["range_start"],
        chunk_end=asked["range_end"],
        previous_uid=_beside(connection, version["id"], "ordinal < ? ORDER BY ordinal DESC", first["ordinal"]),
        next_uid=_beside(connection, version["id"], "ordinal > ? ORDER BY ordinal", last["ordinal"]),
        source_uri=_at_page(version["source_uri"], asked["page"]),
    )


def _at_page(source_uri: str, page: int) -> str:
    """Where a chunk stands: `#page=3` is understood by every viewer of PDFs (RFC 8118)."""
    return f"{source_uri}#page={page}" if source_uri and page else source_uri


def _beside(connection: Connection, version: int, order: str, ordinal: int) -> str:
    row = connection.execute(
        f"SELECT uid FROM chunk WHERE version_id = ? AND NOT quarantined AND {order} LIMIT 1", (version, ordinal)
    ).fetchone()
    return "" if row is None else str(row[0])


def count_indexed(connection: Connection) -> int:
    """Chunks that an index that is in step holds: those of current versions that are not held back."""
    row = connection.execute(
        "SELECT coalesce(sum(chunk_count - quarantined_count), 0) FROM document JOIN version ON version.id = current_version"
    ).fetchone()
    return int(row[0])


def indexed_chunks(connection: Connection, embedder: str, version: int | None = None) -> Iterator[IndexedChunk]:
    """What an index must hold: of all current versions, or of one of them."""
    which = "" if version is None else "AND version.id = :version"
    rows = connection.execute(
        f"""
        SELECT chunk.id, chunk.version_id, document.collection_id, chunk.title_path, chunk.text, version.topic, embedding.vector,
            (SELECT json_group_array(label) FROM label WHERE label.document_id = document.id) AS labels
        FROM document
        JOIN version ON version.id = document.current_version AND version.document_id = document.id
        JOIN chunk ON chunk.version_id = version.id
        JOIN embedding ON embedding.chunk_id = chunk.id AND embedding.embedder = :embedder
        WHERE NOT chunk.quarantined {which}
        ORDER BY chunk.id
        """,
        {"embedder": embedder, "version": version} if which else {"embedder": embedder},
    )
    for row in rows:
        path = orjson.loads(row["title_path"])
        yield IndexedChunk(
            id=row["id"],
            version=row["version_id"],
            collection=row["collection_id"],
            terms=index_terms(row["topic"], path, row["text"]),
            vector=np.frombuffer(row["vector"], dtype=np.float32),
            labels=tuple(sorted(orjson.loads(row["labels"]))),
        )


def chunks_without_vector(connection: Connection, embedder: str, limit: int) -> list[tuple[int, tuple[str, ...], str]]:
    """Current chunks that `embedder` has not embedded: id, title path, text."""
    rows = connection.execute(
        """
        SELECT chunk.id, chunk.title_path, chunk.text FROM document
        JOIN chunk ON chunk.version_id = document.current_version
        WHERE NOT chunk.quarantined AND NOT EXISTS
            (SELECT 1 FROM embedding WHERE embedding.chunk_id = chunk.id AND embedding.embedder = ?)
        ORDER BY chunk.id LIMIT ?
        """,
        (embedder, limit),
    ).fetchall()
    return [(row["id"], tuple(orjson.loads(row["title_path"])), row["text"]) for row in rows]


def outbox(connection: Connection, after: int = 0, limit: int = MAX_OUTBOX) -> list[tuple[int, int, bool]]:
    """Versions that an index that stands at row `after` may not agree with.

    Returns:
        (seq, version, whether the version is current and so has to be in the index), in the order of the changes.
    """
    rows = connection.execute(
        """
        SELECT seq, version_id, EXISTS (SELECT 1 FROM document WHERE current_version = version_id) AS is_current
        FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?
        """,
        (after, limit),
    ).fetchall()
    return [(row["seq"], row["version_id"], bool(row["is_current"])) for row in rows]


def outbox_end(connection: Connection) -> int:
    """The last row of the outbox that there ever was, as far as anybody knows: no index has to look at an earlier one again."""
    row = connection.execute("SELECT coalesce(max(seq), 0) FROM outbox").fetchone()
    return max(int(row[0]), int(meta(connection, "trimmed")))


def followed(connection: Connection, follower: str) -> Followed | None:
    """How far an index has followed; None where it is not known, or where changes that it did not see are gone from the outbox."""
    row = connection.execute("SELECT position, flushed_epoch FROM follower WHERE name = ?", (follower,)).fetchone()
    if row is None or row["position"] < int(meta(connection, "trimmed")):
        return None
    return Followed(row["position"], row["flushed_epoch"])
