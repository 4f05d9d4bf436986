"""Tables of the store of truth, and how an older file becomes one of today. `PRAGMA user_version` counts the steps taken."""

from __future__ import annotations

import sqlite3

# Each step runs once, in one transaction, and is never edited after a release: a change is a new step.
_STEPS = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    INSERT INTO meta VALUES
        ('instance', lower(hex(randomblob(16)))), ('epoch', '0'), ('flushed_epoch', '0'), ('embedder', ''),
        ('next_version', '1'), ('next_chunk', '1');

    CREATE TABLE collection (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        tenant TEXT NOT NULL,
        name TEXT NOT NULL,
        create_time INTEGER NOT NULL,
        UNIQUE (tenant, name)
    );
    CREATE TABLE document (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        collection_id INTEGER NOT NULL REFERENCES collection (id),
        name TEXT NOT NULL,
        current_version INTEGER,
        create_time INTEGER NOT NULL,
        UNIQUE (collection_id, name)
    );
    CREATE TABLE label (
        document_id INTEGER NOT NULL REFERENCES document (id) ON DELETE CASCADE,
        label TEXT NOT NULL,
        PRIMARY KEY (document_id, label)
    ) WITHOUT ROWID;
    CREATE TABLE version (
        id INTEGER PRIMARY KEY,
        uid TEXT NOT NULL UNIQUE,
        document_id INTEGER NOT NULL REFERENCES document (id) ON DELETE CASCADE,
        title TEXT NOT NULL,
        topic TEXT NOT NULL,
        announced_title TEXT NOT NULL,
        media_type TEXT NOT NULL,
        size_bytes INTEGER NOT NULL,
        sha256 TEXT NOT NULL,
        source_uri TEXT NOT NULL,
        pipeline TEXT NOT NULL,
        canonical BLOB NOT NULL,
        chunk_count INTEGER NOT NULL,
        quarantined_count INTEGER NOT NULL,
        create_time INTEGER NOT NULL
    );
    CREATE INDEX version_document ON version (document_id);
    CREATE TABLE chunk (
        id INTEGER PRIMARY KEY,
        version_id INTEGER NOT NULL REFERENCES version (id) ON DELETE CASCADE,
        ordinal INTEGER NOT NULL,
        uid TEXT NOT NULL,
        range_start INTEGER NOT NULL,
        range_end INTEGER NOT NULL,
        title_path TEXT NOT NULL,
        text TEXT NOT NULL,
        tokens INTEGER NOT NULL,
        quarantined INTEGER NOT NULL,
        UNIQUE (version_id, ordinal)
    );
    CREATE TABLE embedding (
        chunk_id INTEGER NOT NULL REFERENCES chunk (id) ON DELETE CASCADE,
        embedder TEXT NOT NULL,
        vector BLOB NOT NULL,
        PRIMARY KEY (chunk_id, embedder)
    ) WITHOUT ROWID;
    CREATE TABLE outbox (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        version_id INTEGER NOT NULL
    );
    """,
    """
    ALTER TABLE version ADD COLUMN source TEXT NOT NULL DEFAULT '';
    ALTER TABLE version ADD COLUMN language TEXT NOT NULL DEFAULT '';
    ALTER TABLE version ADD COLUMN source_time INTEGER;
    ALTER TABLE chunk ADD COLUMN page INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE document ADD COLUMN cluster INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX document_cluster ON document (cluster);

    CREATE TABLE minhash (
        document_id INTEGER PRIMARY KEY REFERENCES document (id) ON DELETE CASCADE,
        signature TEXT NOT NULL
    );
    CREATE TABLE band (
        collection_id INTEGER NOT NULL REFERENCES collection (id),
        number INTEGER NOT NULL,
        value BLOB NOT NULL,
        document_id INTEGER NOT NULL REFERENCES document (id) ON DELETE CASCADE,
        PRIMARY KEY (collection_id, number, value, document_id)
    ) WITHOUT ROWID;
    CREATE INDEX band_document ON band (document_id);

    CREATE TABLE source (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        collection_id INTEGER NOT NULL REFERENCES collection (id),
        name TEXT NOT NULL,
        definition TEXT NOT NULL,
        secret TEXT NOT NULL DEFAULT '',
        create_time INTEGER NOT NULL,
        refresh_time INTEGER,
        UNIQUE (collection_id, name)
    );
    CREATE TABLE fetched (
        source_id INTEGER NOT NULL REFERENCES source (id) ON DELETE CASCADE,
        uri TEXT NOT NULL,
        document TEXT NOT NULL,
        etag TEXT NOT NULL,
        last_modified TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        pipeline TEXT NOT NULL,
        links TEXT NOT NULL,
        PRIMARY KEY (source_id, uri)
    ) WITHOUT ROWID;
    CREATE TABLE used_nonce (
        source_id INTEGER NOT NULL REFERENCES source (id) ON DELETE CASCADE,
        nonce TEXT NOT NULL,
        time INTEGER NOT NULL,
        PRIMARY KEY (source_id, nonce)
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE follower (
        name TEXT PRIMARY KEY,
        position INTEGER NOT NULL,
        flushed_epoch INTEGER NOT NULL,
        seen INTEGER NOT NULL
    ) WITHOUT ROWID;
    INSERT INTO meta
        SELECT 'trimmed', coalesce(min(seq) - 1, (SELECT max(seq) FROM sqlite_sequence WHERE name = 'outbox'), 0) FROM outbox;
    INSERT INTO follower
        SELECT '', (SELECT value FROM meta WHERE key = 'trimmed'), value, unixepoch() FROM meta WHERE key = 'flushed_epoch';
    DELETE FROM meta WHERE key = 'flushed_epoch';
    """,
)

SCHEMA_VERSION = len(_STEPS)


class TruthUnusable(RuntimeError):
    """The file is no store of truth that this release can use; the message says why."""


def migrate(connection: sqlite3.Connection) -> None:
    """Brings the file to today's schema.

    Raises:
        TruthUnusable: for a file of a later release, or one that is damaged.
    """
    try:
        found = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if found > SCHEMA_VERSION:
            raise TruthUnusable(f"the store has schema {found}, this release knows {SCHEMA_VERSION}: run the release that wrote it")
        for step in range(found, SCHEMA_VERSION):
            connection.executescript(f"BEGIN IMMEDIATE; {_STEPS[step]} PRAGMA user_version = {step + 1}; COMMIT;")
    except sqlite3.DatabaseError as error:
        raise TruthUnusable(
            f"the store cannot be read ({error}): restore it from a backup, or move it away and import again"
        ) from error
