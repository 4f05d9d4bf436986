"""A SQLite store that moves to PostgreSQL: all of it or nothing, the file untouched, what it answers the same."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from services.retriever import truth_reads, truth_sources, truth_writes
from services.retriever.postgres import moving
from services.retriever.postgres.truth import PostgresTruth
from services.retriever.quarantine_book import Held, QuarantineBook
from services.retriever.records import Reader
from services.retriever.truth import Truth
from services.retriever.truth_schema import TruthUnusable
from services.retriever.truth_sources import Known, SourceKey
from services.retriever.truth_sqlite import SqliteTruth
from tests.real.postgres_fixture import Server, postgres
from tests.unit.retriever.truth_fixture import EMBEDDER, keeper, key, store, version

__all__ = ["postgres"]

BOARD = Reader("default", ("board",))
SITE = SourceKey("default", "default", "site")


async def fill(folder: Path) -> None:
    """Something in every table: labels, former versions, a deleted document, passages held back, a source that was read."""
    truth = SqliteTruth(folder)
    for number in range(150):
        await store(truth, version(key(f"d{number:03}"), f"Größe {number}.", "Zweiter Satz\twith \\ and \\N.", "", quarantined=[1]))
    await store(truth, version(key("d000"), "Größe 0, new."))
    await store(truth, version(key("gone"), "Gone."))
    await truth.write(lambda connection: truth_writes.delete(connection, key("gone")))
    await store(truth, version(key("board"), "Secret.", labels=["board", "hr"]))
    await store(truth, version(key("theirs", tenant="other"), "Theirs."))

    def read_a_site(connection: sqlite3.Connection) -> None:
        source = truth_sources.put_source(connection, SITE, b"\x00\xff definition", "secret")
        truth_sources.remember(connection, source.id, [Known("https://x/", "d001", '"etag"', "", "0" * 64, "p", ("https://x/a",))])
        assert truth_sources.use_nonce(connection, source.id, "nonce", 4e9)

    await truth.write(read_a_site)  # type: ignore[arg-type]
    await truth.close()
    book = QuarantineBook(folder)
    await book.note("default", [Held(b"\x00" * 32, "collections/default/documents/d001", "INJECTION", ("r1",), "")])
    await book.release("default", "collections/default/documents/d002", b"\x01" * 32, "users/owner")
    await book.close()


async def answers(truth: Truth) -> dict[str, object]:
    """What a store says about everything in it."""
    listing = partial(truth_reads.list_documents, reader=BOARD, collection="default", after="", limit=500)
    records, total = await truth.read(listing)
    chunks = await truth.read(partial(truth_reads.visible_chunks, reader=BOARD, collection=1, ids=range(1, 1000)))
    indexed = await truth.read(lambda connection: list(truth_reads.indexed_chunks(connection, EMBEDDER)))
    source = await truth.read(lambda connection: truth_sources.find_source(connection, SITE))
    return {
        "records": records,
        "total": total,
        "chunks": chunks,
        "indexed": [(one.id, one.version, one.terms, one.vector.tobytes()) for one in indexed],
        "texts": [await truth.read(partial(truth_reads.canonical_text, version_uid=record.version_uid)) for record in records[:5]],
        "source": source,
        "known": await truth.read(lambda connection: truth_sources.known_pages(connection, source.id)),
        "epoch": await truth.read(lambda connection: truth_reads.meta(connection, "epoch")),
        "next": await truth.read(lambda connection: truth_reads.meta(connection, "next_chunk")),
    }


def digest_of(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.db")}


async def test_everything_is_the_same_afterwards(tmp_path: Path, postgres: Server) -> None:
    await fill(tmp_path)
    truth = SqliteTruth(tmp_path)
    before = await answers(truth)
    await truth.close()
    file = digest_of(tmp_path)
    settings = postgres.settings(postgres.new_database())

    moved = moving.move(tmp_path, settings)

    assert digest_of(tmp_path) == file
    rows = {one.table: one.rows for one in moved}
    assert (rows["document"], rows["version"], rows["held"], rows["released"]) == (152, 153, 1, 1)
    assert [table for table in rows if not rows[table]] == ["minhash", "band"]
    opened = PostgresTruth(tmp_path, settings)
    await opened.open()
    try:
        assert await answers(opened) == before
        index = keeper(opened, tmp_path)
        await index.open()
        assert index._store is not None
        assert index._store.count() == len(before["indexed"])  # type: ignore[arg-type]
        await index.close()
        # Ids go on where they were: none of a deleted row is given again.
        committed = await store(opened, version(key("later"), "Later."))
        assert committed.epoch == int(str(before["epoch"])) + 1
        book = QuarantineBook(tmp_path, opened)
        assert await book.released("default", [b"\x01" * 32, b"\x02" * 32]) == {b"\x01" * 32}
        assert [note.rules for note in await book.notes("default", "collections/default", ("", b""), 10)] == [("r1",)]
    finally:
        await opened.close()


async def test_a_database_that_holds_something_is_refused(tmp_path: Path, postgres: Server) -> None:
    await fill(tmp_path / "source")
    settings = postgres.settings(postgres.new_database())
    moving.move(tmp_path / "source", settings)
    with pytest.raises(TruthUnusable, match="holds documents already"):
        moving.move(tmp_path / "source", settings)


async def test_a_difference_undoes_everything(tmp_path: Path, postgres: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(tmp_path)
    database = postgres.new_database()
    settings = postgres.settings(database)
    copied = moving._copy

    def damaged(origin: sqlite3.Connection, table: str, *rest: object) -> moving.Moved:
        if table == "embedding":
            rest[-1].execute("UPDATE chunk SET text = text || '.' WHERE id = 1")  # type: ignore[attr-defined]
            rest[-1].execute("CREATE TRIGGER worse BEFORE INSERT ON embedding FOR EACH ROW EXECUTE FUNCTION worse()")  # type: ignore[attr-defined]
        return copied(origin, table, *rest)  # type: ignore[arg-type]

    with postgres.connect(database) as connection:
        connection.execute(
            "CREATE FUNCTION worse() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN NEW.vector := NEW.vector || '\\x00'; RETURN NEW; END $$"
        )
    monkeypatch.setattr(moving, "_copy", damaged)
    with pytest.raises(TruthUnusable, match="table embedding would not be the same"):
        moving.move(tmp_path, settings)
    with postgres.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM document").fetchone() == (0,)
        assert connection.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone() == ("0",)


async def test_a_retriever_that_runs_is_left_alone(tmp_path: Path, postgres: Server) -> None:
    settings = postgres.settings(postgres.new_database())
    truth = SqliteTruth(tmp_path / "here")
    with pytest.raises(TruthUnusable, match="another process"):
        moving.move(tmp_path / "here", settings)
    await truth.close()
    other = PostgresTruth(tmp_path / "there", settings)
    await other.open()
    try:
        with pytest.raises(TruthUnusable, match="1 other retrievers use"):
            moving.move(tmp_path / "here", settings)
    finally:
        await other.close()


@pytest.mark.timeout(300)
async def test_the_command_moves_and_says_what_to_set(tmp_path: Path, postgres: Server) -> None:
    await fill(tmp_path / "data" / "retriever")
    database = postgres.new_database()
    command = [str(Path(sys.executable).with_name("ragmesh")), "store", "migrate", "--to", "postgresql", "--var", str(tmp_path)]
    options = ["--dsn", postgres.dsn(database), "--password-file", str(postgres.password_file())]

    unset = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=140)
    assert (unset.returncode, "set RAGMESH_RETRIEVER_POSTGRES__DSN" in unset.stderr) == (1, True)

    moved = await asyncio.to_thread(subprocess.run, [*command, *options], capture_output=True, text=True, timeout=140)
    assert moved.returncode == 0, moved.stderr
    assert "document: 152 rows, SHA-256" in moved.stdout
    assert f"RAGMESH_RETRIEVER_POSTGRES__DSN={postgres.dsn(database)}" in moved.stdout
    assert "RAGMESH_RETRIEVER_TRUTH=postgresql" in moved.stdout
    assert postgres.password not in moved.stdout + moved.stderr
