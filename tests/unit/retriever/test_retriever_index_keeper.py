"""The index follows the store of truth: after a crash, after damage, after a change of rules, and while it is broken."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from services.mesh.errors import MeshError
from services.retriever import truth_reads, truth_writes
from services.retriever.edge_store import EdgeStore
from services.retriever.index import IndexAway, IndexMeta, IndexUnusable, VectorStore
from services.retriever.index_building import IndexBuilder, Opened
from services.retriever.index_keeper import IndexKeeper
from services.retriever.truth import Truth
from tests.unit.retriever.truth_fixture import KINDS, indexed, keeper, key, publish, reserve, store, vector_of, version


@pytest.fixture(params=["edge", "exact"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def texts(truth: Truth, index: IndexKeeper, word: str = "text") -> list[str]:
    hits = (await index.sparse([(word, 1.0)], 1, 100)).hits
    with truth.beside() as connection:
        rows = {row["id"]: row["text"] for row in connection.execute("SELECT id, text FROM chunk")}
    return sorted(rows[hit.id] for hit in hits)


async def until_healthy(index: IndexKeeper) -> None:
    deadline = time.monotonic() + 20
    while not index.healthy:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def break_store(index: IndexKeeper) -> None:
    """As if its files were lost under it."""
    store = index._store
    assert store is not None
    store.close()


async def test_published_versions_are_found_and_replaced(truth: Truth, tmp_path: Path, kind: str) -> None:
    index = keeper(truth, tmp_path, kind)
    await index.open()
    await publish(truth, index, version(key("a"), "First text.", "Second text."))
    assert await texts(truth, index) == ["First text.", "Second text."]
    hits = (await index.dense(vector_of("Second text."), 1, 1)).hits
    assert hits[0].score == pytest.approx(1.0, abs=1e-5)
    await publish(truth, index, version(key("a"), "Third text."))
    assert await texts(truth, index) == ["Third text."]
    assert index.epoch == 2
    await index.close()


async def test_a_closed_index_is_opened_without_being_rebuilt(
    truth: Truth, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = keeper(truth, tmp_path, kind)
    await index.open()
    await publish(truth, index, version(key("a"), "One text."))
    await index.close()
    assert await truth.read(truth_reads.outbox) == []
    monkeypatch.setattr(IndexBuilder, "rebuild", lambda self: pytest.fail("rebuilt"))
    again = keeper(truth, tmp_path, kind)
    await again.open()
    assert await texts(truth, again) == ["One text."]
    assert again.epoch == 1
    await again.close()


async def test_what_a_killed_process_left_is_replayed(
    truth: Truth, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = keeper(truth, tmp_path, kind)
    await index.open()
    await publish(truth, index, version(key("old"), "Old text."))
    await index.settle()
    # In the index, never committed; committed, never in the index; replaced, never removed.
    orphan = version(key("orphan"), "Orphan text.")
    reserved = await reserve(truth, orphan)
    index._store.upsert(indexed(orphan, reserved))  # type: ignore[union-attr]
    await store(truth, version(key("new"), "New text."))
    await store(truth, version(key("old"), "Newer text."))
    index._unsettled = 0
    await index.close()
    monkeypatch.setattr(IndexBuilder, "rebuild", lambda self: pytest.fail("rebuilt"))
    again = keeper(truth, tmp_path, kind)
    await again.open()
    assert await texts(truth, again) == ["New text.", "Newer text."]
    await again.close()


@pytest.mark.parametrize("loss", ["missing", "garbage", "stale", "other store", "other terms", "chunk lost", "leftover"])
async def test_an_index_that_does_not_fit_is_rebuilt(truth: Truth, tmp_path: Path, kind: str, loss: str) -> None:
    folder = tmp_path / "index"
    index = keeper(truth, tmp_path, kind)
    await index.open()
    await publish(truth, index, version(key("a"), "One text.", "Two text."))
    await index.settle()
    if loss == "stale":
        await index.close()
        shutil.copytree(folder, tmp_path / "kept")
        index = keeper(truth, tmp_path, kind)
        await index.open()
        await publish(truth, index, version(key("b"), "Three text."))
    await index.close()
    meta = IndexMeta.read(folder)
    if loss == "missing":
        shutil.rmtree(folder)
    elif loss == "garbage":
        for path in folder.rglob("*"):
            if path.is_file():
                path.write_bytes(b"\xff" * 64)
    elif loss == "stale":
        shutil.rmtree(folder)
        (tmp_path / "kept").rename(folder)
    elif loss == "other store":
        IndexMeta(kind, "another", meta.embedder, meta.epoch).write(folder)
    elif loss == "other terms":
        IndexMeta(kind, meta.instance, meta.embedder, meta.epoch, terms_version=99).write(folder)
    elif loss == "chunk lost":
        opened = KINDS[kind].open(folder)
        opened.delete_version(1)
        opened.flush(meta.epoch, meta.embedder)
        opened.close()
    else:
        (tmp_path / "index.abcd").mkdir()
    again = keeper(truth, tmp_path, kind)
    await again.open()
    expected = ["One text.", "Two text."] + (["Three text."] if loss == "stale" else [])
    assert await texts(truth, again) == sorted(expected)
    assert not (tmp_path / "index.abcd").exists()
    await again.close()


async def test_a_broken_index_answers_from_memory_and_comes_back(truth: Truth, tmp_path: Path, kind: str) -> None:
    index = keeper(truth, tmp_path, kind)
    await index.open()
    await publish(truth, index, version(key("a"), "One text."))
    break_store(index)
    assert (await index.sparse([("text", 1.0)], 1, 10)).by_stand_in
    await until_healthy(index)
    assert not (await index.sparse([("text", 1.0)], 1, 10)).by_stand_in
    assert await texts(truth, index) == ["One text."]
    await publish(truth, index, version(key("b"), "Two text."))
    assert await texts(truth, index) == ["One text.", "Two text."]
    await index.close()


async def test_an_import_while_the_index_breaks_is_found(truth: Truth, tmp_path: Path) -> None:
    index = keeper(truth, tmp_path)
    await index.open()
    break_store(index)
    await publish(truth, index, version(key("a"), "One text."))
    assert await texts(truth, index) == ["One text."]
    await until_healthy(index)
    assert await texts(truth, index) == ["One text."]
    await index.close()


async def test_too_many_chunks_for_memory_is_a_typed_error(truth: Truth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = keeper(truth, tmp_path, fallback_chunks=1)
    await index.open()
    await publish(truth, index, version(key("a"), "One text.", "Two text."))

    def still_broken(self: IndexBuilder) -> None:
        raise IndexUnusable("the disk is full")

    monkeypatch.setattr(IndexBuilder, "rebuild", still_broken)
    break_store(index)
    with pytest.raises(MeshError) as caught:
        await texts(truth, index)
    assert caught.value.reason == "STORE_UNAVAILABLE"
    assert not index.healthy
    await index.close()


async def test_a_commit_that_fails_leaves_nothing_in_the_index(truth: Truth, tmp_path: Path) -> None:
    index = keeper(truth, tmp_path)
    await index.open()
    new = version(key("a"), "One text.")
    reserved = await reserve(truth, new)

    async def fail() -> None:
        raise MeshError("STORE_UNAVAILABLE", "the disk is full")

    with pytest.raises(MeshError):
        await index.publish(reserved.version, indexed(new, reserved), fail)  # type: ignore[arg-type]
    assert (await index.sparse([("text", 1.0)], 1, 10)).hits == []
    await index.close()


async def test_deleting_forgets_on_disk(truth: Truth, tmp_path: Path) -> None:
    index = keeper(truth, tmp_path)
    await index.open()
    await publish(truth, index, version(key("a"), "One text."))
    await index.withdraw(lambda: truth.write(lambda connection: truth_writes.delete(connection, key("a"))))
    assert (await index.sparse([("text", 1.0)], 1, 10)).hits == []
    assert await truth.read(truth_reads.outbox) == []
    assert index.epoch == 2
    await index.close()


async def test_rebuilding_beside_imports_loses_none(truth: Truth, tmp_path: Path) -> None:
    index = keeper(truth, tmp_path)
    await index.open()
    for number in range(30):
        if number % 7 == 3 and index.healthy:
            break_store(index)
        await publish(truth, index, version(key(f"d{number}"), f"Number {number} text."))
        assert len(await texts(truth, index)) == number + 1
    await until_healthy(index)
    assert len(await texts(truth, index)) == 30
    await index.close()


async def test_searches_do_not_wait_for_a_rebuild(truth: Truth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = keeper(truth, tmp_path)
    await index.open()
    await publish(truth, index, version(key("a"), "One text."))
    go_on = threading.Event()
    rebuild = IndexBuilder.rebuild

    def slow_rebuild(self: IndexBuilder) -> Opened:
        assert go_on.wait(20)
        return rebuild(self)

    monkeypatch.setattr(IndexBuilder, "rebuild", slow_rebuild)
    break_store(index)
    for _ in range(3):
        async with asyncio.timeout(10):
            assert await texts(truth, index) == ["One text."]
    assert not index.healthy
    go_on.set()
    await until_healthy(index)
    await index.close()


async def test_a_worn_index_is_built_anew(truth: Truth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.retriever.index.WORN_CHUNKS", 10)
    index = keeper(truth, tmp_path)
    await index.open()
    for number in range(20):
        await publish(truth, index, version(key("a"), f"Number {number} text."))
    await index.close()
    assert IndexMeta.read(tmp_path / "index").written == 20
    again = keeper(truth, tmp_path)
    await again.open()
    assert await texts(truth, again) == ["Number 19 text."]
    await again.close()
    assert IndexMeta.read(tmp_path / "index").written == 1


class FarKind:
    """An index whose server can be away: EdgeStore behind a switch."""

    def __init__(self) -> None:
        self.away = False

    def create(self, folder: Path, meta: IndexMeta) -> VectorStore:
        self.reach()
        return FarStore(EdgeStore.create(folder, meta), self)  # type: ignore[return-value]

    def open(self, folder: Path, *, trusted: bool = False) -> VectorStore:
        self.reach()
        return FarStore(EdgeStore.open(folder, trusted=trusted), self)  # type: ignore[return-value]

    def reach(self) -> None:
        if self.away:
            raise IndexAway("nobody answers")


class FarStore:
    """Hands everything on while the server is there."""

    def __init__(self, store: EdgeStore, kind: FarKind) -> None:
        self._store = store
        self._kind = kind

    def __getattr__(self, name: str) -> Any:
        if name != "close":
            self._kind.reach()
        return getattr(self._store, name)


async def test_an_index_that_is_away_is_opened_again_with_what_it_missed(
    truth: Truth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.retriever.index_answering._REPAIR_PAUSE_SECONDS", 0.01)
    kind = FarKind()
    index = IndexKeeper(truth, tmp_path / "index", "edge", kind, 1000)
    await index.open()
    await publish(truth, index, version(key("a"), "One text."))
    await publish(truth, index, version(key("b"), "Two text."))
    await index.settle()
    monkeypatch.setattr(IndexBuilder, "rebuild", lambda self: pytest.fail("rebuilt"))
    kind.away = True
    assert (await index.sparse([("text", 1.0)], 1, 10)).by_stand_in
    assert not index.healthy
    await publish(truth, index, version(key("a"), "Three text."))
    await publish(truth, index, version(key("c"), "Four text."))
    assert await texts(truth, index) == ["Four text.", "Three text.", "Two text."]
    kind.away = False
    await until_healthy(index)
    assert not (await index.sparse([("text", 1.0)], 1, 10)).by_stand_in
    assert await texts(truth, index) == ["Four text.", "Three text.", "Two text."]
    await index.close()


async def test_a_retriever_starts_while_the_server_of_its_index_is_away(
    truth: Truth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.retriever.index_answering._REPAIR_PAUSE_SECONDS", 0.01)
    kind = FarKind()
    kind.away = True
    index = IndexKeeper(truth, tmp_path / "index", "edge", kind, 1000)
    await index.open()
    assert not index.healthy
    await publish(truth, index, version(key("a"), "One text."))
    assert await texts(truth, index) == ["One text."]
    kind.away = False
    await until_healthy(index)
    assert await texts(truth, index) == ["One text."]
    await index.close()
