"""The outbox with several indexes that follow it: each from where it stands, none forever. And the sources of a store."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from services.mesh.errors import MeshError
from services.retriever import truth_reads, truth_schema, truth_sources, truth_writes
from services.retriever.near_duplicates import signature
from services.retriever.records import Followed, Reader
from services.retriever.truth import Connection, Truth
from services.retriever.truth_sources import Known, SourceKey
from services.retriever.truth_sqlite import SqliteTruth
from tests.unit.retriever.test_retriever_truth import opener, truth
from tests.unit.retriever.truth_fixture import READER, key, store, version

__all__ = ["opener", "truth"]

SITE = SourceKey("default", "default", "site")


async def rows(truth: Truth, after: int = 0) -> list[int]:
    return [seq for seq, _, _ in await truth.read(partial(truth_reads.outbox, after=after))]


async def settle(truth: Truth, upto: int, epoch: int, follower: str) -> None:
    await truth.write(lambda connection: truth_writes.settle(connection, upto, epoch, follower))


async def followed(truth: Truth, follower: str) -> Followed | None:
    return await truth.read(partial(truth_reads.followed, follower=follower))


async def test_a_change_stays_in_the_outbox_until_everybody_has_it(truth: Truth) -> None:
    await settle(truth, 0, 0, "a")
    await settle(truth, 0, 0, "b")
    committed = await store(truth, version(key("one"), "One."))
    end = await truth.read(truth_reads.outbox_end)
    assert committed.announced == (end,)
    await settle(truth, end, 1, "a")
    assert await rows(truth)
    assert await rows(truth, after=end) == []
    # A store for one index alone (SQLite) has a follower without a name from the beginning.
    for name in ("b", ""):
        await settle(truth, end, 1, name)
    assert await rows(truth) == []
    assert await truth.read(truth_reads.outbox_end) == end
    assert await followed(truth, "a") == await followed(truth, "b") == Followed(end, 1)


async def test_who_was_away_for_long_is_not_waited_for(truth: Truth) -> None:
    await settle(truth, 0, 0, "gone")
    await truth.write(lambda connection: connection.execute("UPDATE follower SET seen = 1"))
    await store(truth, version(key("one"), "One."))
    end = await truth.read(truth_reads.outbox_end)
    await settle(truth, end, 1, "here")
    assert await rows(truth) == []
    assert await followed(truth, "gone") is None
    assert await followed(truth, "never there") is None


async def test_the_outbox_does_not_grow_without_an_end(truth: Truth, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(truth_writes, "MAX_OUTBOX", 5)
    await settle(truth, 0, 0, "slow")
    for number in range(6):
        await store(truth, version(key(f"d{number}"), f"Text {number}."))
        end = await truth.read(truth_reads.outbox_end)
        await settle(truth, end, number + 1, "quick")
        assert len(await rows(truth)) <= 5
    assert await followed(truth, "slow") is None, "it would miss changes, and so its index is built anew"
    assert await followed(truth, "quick") == Followed(end, 6)


async def test_a_store_of_the_release_before_moves_on(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "truth.db", isolation_level=None)
    for step, statements in enumerate(truth_schema._STEPS[:2]):
        connection.executescript(f"BEGIN IMMEDIATE; {statements} PRAGMA user_version = {step + 1}; COMMIT;")
    connection.executescript(
        "INSERT INTO outbox (version_id) VALUES (1), (2), (3), (4); DELETE FROM outbox WHERE seq <= 2;"
        " UPDATE meta SET value = '7' WHERE key = 'flushed_epoch'"
    )
    connection.close()
    opened = SqliteTruth(tmp_path)
    assert await followed(opened, "") == Followed(2, 7)
    assert await rows(opened, after=2) == [3, 4]
    await opened.close()


def read_a_site(connection: Connection) -> truth_sources.SourceRecord:
    source = truth_sources.put_source(connection, SITE, b"\x00\xffdefinition", "secret")
    pages = [Known(f"https://x/{page}", f"d{page}", '"etag"', "", "0" * 64, "p", ("https://x/",)) for page in range(3)]
    truth_sources.remember(connection, source.id, pages)
    return source


async def test_what_is_known_of_a_source(truth: Truth) -> None:
    source = await truth.write(read_a_site)
    again = await truth.write(lambda connection: truth_sources.put_source(connection, SITE, b"other", None))
    assert (again.id, again.definition, again.secret) == (source.id, b"other", "secret")
    changed = Known("https://x/1", "d1", "", "yesterday", "1" * 64, "p", ())
    await truth.write(lambda connection: truth_sources.remember(connection, source.id, [changed]))
    known = await truth.read(lambda connection: truth_sources.known_pages(connection, source.id))
    assert (len(known), known["https://x/1"]) == (3, changed)
    await truth.write(lambda connection: truth_sources.finish_refresh(connection, source.id, {"https://x/1"}))
    known = await truth.read(lambda connection: truth_sources.known_pages(connection, source.id))
    assert list(known) == ["https://x/1"]
    (listed,) = await truth.read(lambda connection: truth_sources.list_sources(connection, "default", "default"))
    assert listed.refresh_time is not None
    assert await truth.read(lambda connection: truth_sources.count_of(connection, SITE)) == (0, 0)
    await truth.write(lambda connection: truth_sources.forget_source(connection, SITE))
    with pytest.raises(MeshError, match="SOURCE_NOT_FOUND"):
        await truth.read(lambda connection: truth_sources.find_source(connection, SITE))


async def test_a_nonce_is_good_once(truth: Truth) -> None:
    source = await truth.write(read_a_site)
    use = partial(truth_sources.use_nonce, source=source.id, nonce="n", until=4e9)
    assert await truth.write(use)
    assert not await truth.write(use)


async def test_near_duplicates_are_linked_and_labels_hide_them(truth: Truth) -> None:
    text = " ".join(f"word{number} is here" for number in range(80))
    for name, labels in (("a", ["board"]), ("b", []), ("c", [])):
        new = version(key(name), text, labels=labels)
        new = replace(new, minhash=signature(text))
        await store(truth, new)
    find = truth_reads.find_document
    seen = await truth.read(lambda connection: find(connection, READER, key("b")))
    assert seen is not None
    assert seen.near_duplicate_of == "c"
    seen = await truth.read(lambda connection: find(connection, Reader("default", ("board",)), key("b")))
    assert seen is not None
    assert seen.near_duplicate_of == "a"
