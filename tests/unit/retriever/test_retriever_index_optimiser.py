"""An index is optimised beside its use: what is written or deleted meanwhile counts, and whatever fails leaves a usable one."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from services.retriever import index_keeper, index_optimiser, truth_reads, truth_writes
from services.retriever.edge_store import EdgeStore
from services.retriever.index import DIMENSIONS, IndexMeta, IndexUnusable, moved_folder
from services.retriever.index_building import IndexBuilder
from services.retriever.index_keeper import IndexKeeper
from services.retriever.index_optimiser import Draft, IndexOptimiser, OptimiseRules
from services.retriever.records import Committed, IndexedChunk
from services.retriever.truth import Truth
from tests.unit.retriever.truth_fixture import KINDS, keeper, key, publish, store, vector_of, version

RULES = OptimiseRules(chunks=40, share=0.2, seconds=60, every=0.01)


async def until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not reached():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def fill(truth: Truth, index: IndexKeeper, documents: int = 6) -> None:
    for number in range(documents):
        await publish(truth, index, version(key(f"d{number}"), *(f"Text {number} part {part}." for part in range(10))))


async def found(truth: Truth, index: IndexKeeper) -> set[str]:
    hits = (await index.sparse([("text", 1.0)], 1, 1000)).hits
    assert {hit.id for hit in hits} == {hit.id for hit in (await index.dense(vector_of("x"), 1, 1000)).hits}
    with truth.beside() as connection:
        rows = {row["id"]: row["text"] for row in connection.execute("SELECT id, text FROM chunk")}
    return {rows[hit.id] for hit in hits}


def parts(*documents: int) -> set[str]:
    return {f"Text {number} part {part}." for number in documents for part in range(10)}


async def withdraw(truth: Truth, index: IndexKeeper, name: str) -> Committed:
    return await index.withdraw(lambda: truth.write(lambda connection: truth_writes.delete(connection, key(name))))


async def built(draft: Draft) -> None:
    """What the program does."""
    child = await asyncio.create_subprocess_exec(*draft.program)
    assert await child.wait() == 0


def drafts(folder: Path) -> list[Path]:
    return list(folder.glob("index.*"))


async def test_an_index_that_has_grown_is_optimised_and_finds_the_same(truth: Truth, tmp_path: Path) -> None:
    index = IndexKeeper(truth, tmp_path / "index", "edge", KINDS["edge"], 1000, RULES)
    await index.open()
    await fill(truth, index)
    before = index._store
    await until(lambda: index._store is not before and not drafts(tmp_path))
    after = index._store
    assert isinstance(after, EdgeStore)
    # Both the vectors and the words of a chunk are indexed; of one that is scanned only the words are.
    assert after._shard.info().indexed_vectors_count > 60
    assert await found(truth, index) == parts(*range(6))
    await index.close()
    again = keeper(truth, tmp_path)
    await again.open()
    assert (await again.unoptimised())[0] < 60
    assert await found(truth, again) == parts(*range(6))
    await again.close()


@pytest.mark.parametrize("shared", [False, True])
async def test_what_is_changed_meanwhile_is_in_the_optimised_index(truth: Truth, tmp_path: Path, shared: bool) -> None:
    truth.shared = shared
    index = keeper(truth, tmp_path)
    await index.open()
    await fill(truth, index)
    draft = await index.draft()
    await publish(truth, index, version(key("new"), "Text that is new."))
    await publish(truth, index, version(key("d0"), "Text in the place of ten."))
    await withdraw(truth, index, "d1")
    if shared:
        # By another process.
        await store(truth, version(key("d5"), "Text of another."))
    await built(draft)
    former = index._store
    await index.take(draft)
    await index.drop(draft)
    assert index._store is not former
    expected = {"Text of another."} if shared else parts(5)
    expected |= {"Text that is new.", "Text in the place of ten."} | parts(2, 3, 4)
    assert await found(truth, index) == expected
    assert drafts(tmp_path) == []
    # The outbox goes on from there.
    await publish(truth, index, version(key("later"), "Text of later."))
    await index.settle()
    assert await truth.read(truth_reads.outbox) == []
    assert await found(truth, index) == expected | {"Text of later."}
    await index.close()


async def test_searches_and_imports_go_on_while_indexes_change_places(truth: Truth, tmp_path: Path) -> None:
    index = keeper(truth, tmp_path, fallback_chunks=0)
    await index.open()
    await fill(truth, index)
    stop = asyncio.Event()

    async def search() -> int:
        asked = 0
        while not stop.is_set():
            answer = await index.dense(vector_of("Text 3 part 3."), 1, 1)
            assert not answer.by_stand_in
            assert answer.hits[0].score == pytest.approx(1.0, abs=1e-5)
            asked += 1
        return asked

    async def write() -> int:
        written = 0
        while not stop.is_set():
            await publish(truth, index, version(key(f"w{written}"), f"Text w{written}."))
            written += 1
        return written

    async with asyncio.TaskGroup() as tasks:
        searching, writing = [tasks.create_task(search()) for _ in range(4)], tasks.create_task(write())
        for _ in range(2):
            draft = await index.draft()
            await built(draft)
            await index.take(draft)
            await index.drop(draft)
        stop.set()
    assert min(task.result() for task in searching) > 0
    assert await found(truth, index) == parts(*range(6)) | {f"Text w{number}." for number in range(writing.result())}
    await index.close()


@pytest.mark.parametrize(
    ("code", "seconds"), [("import os; os.kill(os.getpid(), 9)", 60.0), ("import time; time.sleep(600)", 0.05)]
)
async def test_a_program_that_is_killed_or_late_leaves_the_index_and_is_tried_later(
    truth: Truth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, seconds: float
) -> None:
    monkeypatch.setattr(index_optimiser, "_FIRST_PAUSE_SECONDS", 0.01)
    index = keeper(truth, tmp_path)
    await index.open()
    await fill(truth, index)
    tries: list[Draft] = []
    real = index.draft

    async def drafted() -> Draft:
        tries.append(await real())
        return replace(tries[-1], program=[sys.executable, "-c", code])

    monkeypatch.setattr(index, "draft", drafted)
    task = asyncio.create_task(IndexOptimiser(index, replace(RULES, seconds=seconds)).run())
    await until(lambda: len(tries) >= 3)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert drafts(tmp_path) == []
    await publish(truth, index, version(key("new"), "Text that is new."))
    await index.settle()
    assert await truth.read(truth_reads.outbox) == []
    assert await found(truth, index) == parts(*range(6)) | {"Text that is new."}
    await index.close()


class Growing:
    """An index of a hundred chunks that has nothing to optimise."""

    def __init__(self, folder: Path) -> None:
        self.new, self.left, self.looks, self.taken = 60, 30, 0, 0
        self._folder = folder

    async def unoptimised(self) -> tuple[int, int]:
        self.looks += 1
        return self.new, 100

    async def draft(self) -> Draft:
        store = EdgeStore.create(self._folder / str(self.taken), IndexMeta("edge", "instance", "embedder", 0))
        return Draft(store, self._folder, [sys.executable, "-c", ""], 0)

    async def take(self, draft: Draft) -> None:
        draft.of.close()
        self.taken, self.new = self.taken + 1, self.left

    async def drop(self, draft: Draft) -> None:
        pass


async def test_between_two_times_there_is_a_rest_but_not_where_much_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_optimiser, "_REST_FACTOR", 1e9)
    growing = Growing(tmp_path)
    task = asyncio.create_task(IndexOptimiser(growing, replace(RULES, many=50)).run())
    await until(lambda: growing.taken == 1)
    looks = growing.looks
    await until(lambda: growing.looks >= looks + 5)
    assert growing.taken == 1
    growing.new = 50
    await until(lambda: growing.taken == 2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_of_a_large_index_the_share_that_has_to_be_new_has_an_end(tmp_path: Path) -> None:
    growing = Growing(tmp_path)
    growing.new = 10
    due = IndexOptimiser(growing, replace(RULES, many=10))
    assert await due._due(resting=False) and await due._due(resting=True)
    growing.new = 9
    assert not await due._due(resting=False)


@pytest.mark.parametrize("moment", ["drafted", "optimised", "half swapped"])
async def test_a_kill_leaves_an_index_that_has_everything(
    truth: Truth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    index = keeper(truth, tmp_path)
    await index.open()
    await fill(truth, index)
    draft = await index.draft()
    await publish(truth, index, version(key("new"), "Text that is new."))
    await withdraw(truth, index, "d1")
    if moment != "drafted":
        await built(draft)
    if moment == "half swapped":

        def killed(builder: IndexBuilder, place: Path) -> None:
            place.rename(moved_folder(builder._folder))
            raise OSError("killed")

        monkeypatch.setattr(IndexBuilder, "exchange", killed)
        with pytest.raises(OSError, match="killed"):
            await index.take(draft)
    # Nothing of an orderly end: the next one finds the files as they are.
    left = index._store
    assert left is not None
    left.close()
    monkeypatch.setattr(IndexBuilder, "rebuild", lambda self: pytest.fail("rebuilt"))
    again = keeper(truth, tmp_path)
    await again.open()
    assert await found(truth, again) == parts(0, 2, 3, 4, 5) | {"Text that is new."}
    assert ((await again.unoptimised())[0] < 60) == (moment == "half swapped")
    assert drafts(tmp_path) == []
    await again.close()


async def test_a_draft_that_misses_chunks_or_too_much_is_not_taken(
    truth: Truth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = keeper(truth, tmp_path)
    await index.open()
    await fill(truth, index)
    draft = await index.draft()
    copy = KINDS["edge"].open(draft.folder)
    copy.delete_version(1)
    copy.flush(index.epoch, IndexMeta.read(draft.folder).embedder)
    copy.close()
    with pytest.raises(IndexUnusable, match="holds 50 chunks"):
        await index.take(draft)
    await index.drop(draft)
    monkeypatch.setattr(index_keeper, "_DRAFT_ROWS", 1)
    draft = await index.draft()
    await publish(truth, index, version(key("new"), "Text that is new."))
    await index.settle()
    assert await truth.read(truth_reads.outbox) == []
    with pytest.raises(IndexUnusable, match="too much"):
        await index.take(draft)
    await index.drop(draft)
    assert await found(truth, index) == parts(*range(6)) | {"Text that is new."}
    assert drafts(tmp_path) == []
    await index.close()


async def test_a_full_disk_and_a_store_that_cannot_be_optimised_change_nothing(
    truth: Truth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.retriever.edge_store._ROOM_FACTOR", 2**50)
    index = keeper(truth, tmp_path)
    await index.open()
    await fill(truth, index)
    with pytest.raises(OSError, match="too little room"):
        await index.draft()
    assert drafts(tmp_path) == []
    assert await found(truth, index) == parts(*range(6))
    await index.close()
    exact = keeper(truth, tmp_path, "exact")
    await exact.open()
    assert await exact.unoptimised() == (0, 0)
    with pytest.raises(IndexUnusable, match="no index to optimise"):
        await exact.draft()
    await exact.close()


async def test_the_program_ends_with_its_parent(tmp_path: Path) -> None:
    """One whose parent is another process by now touches nothing."""
    store = EdgeStore.create(tmp_path / "index", IndexMeta("edge", "instance", "embedder", 0))
    store.flush(0, "embedder")
    program = store.draft(tmp_path / "draft")
    store.close()
    assert str(os.getpid()) in program
    orphan = ["1" if part == str(os.getpid()) else part for part in program]
    child = await asyncio.create_subprocess_exec(*orphan, stderr=asyncio.subprocess.PIPE)
    _, said = await child.communicate()
    assert child.returncode == 1
    assert b"the parent is gone" in said


async def test_the_graph_finds_what_a_scan_finds_and_keeps_collections_apart(tmp_path: Path) -> None:
    rng = np.random.default_rng(20260721)
    centres = rng.normal(size=(40, DIMENSIONS))
    rows = (centres[rng.integers(0, 40, 1500)] + 0.8 * rng.normal(size=(1500, DIMENSIONS))).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    store = EdgeStore.create(tmp_path / "index", IndexMeta("edge", "instance", "embedder", 0))
    store.upsert([IndexedChunk(at + 1, 1, 1 + at % 3, ("word",), row) for at, row in enumerate(rows)])
    store.flush(1, "embedder")
    program = store.draft(tmp_path / "draft")
    store.close()
    child = await asyncio.create_subprocess_exec(*program)
    assert await child.wait() == 0
    optimised = EdgeStore.open(tmp_path / "draft")
    assert optimised._shard.info().indexed_vectors_count == 3000
    hits = 0
    for question in rows[:100] + 0.02 * rng.normal(size=(100, DIMENSIONS)).astype(np.float32):
        right = {at + 1 for at in np.argsort(-(rows @ question)) if at % 3 == 0}
        best = [at + 1 for at in np.argsort(-(rows @ question)) if at % 3 == 0][:10]
        got = [hit.id for hit in optimised.dense(question, 1, 10)]
        assert set(got) <= right
        hits += len(set(got) & set(best))
    assert hits >= 0.97 * 1000
    optimised.close()


async def test_how_rare_a_word_is_does_not_depend_on_what_was_deleted(tmp_path: Path) -> None:
    def scores(index: EdgeStore, collection: int = 1) -> list[float]:
        return [hit.score for hit in index.sparse([("rare", 1.0)], collection, 3)]

    def chunks(first: int, count: int, number: int, collection: int = 1) -> list[IndexedChunk]:
        vector = vector_of("any")
        return [IndexedChunk(first + at, number, collection, ("word", *(["rare"] * (at % 5 == 0))), vector) for at in range(count)]

    def made(name: str, deleted: int) -> EdgeStore:
        store = EdgeStore.create(tmp_path / name, IndexMeta("edge", "instance", "embedder", 0))
        store.upsert(chunks(1, 100, 1))
        store.upsert([IndexedChunk(1000 + at, 2, 1, ("rare",), vector_of("any")) for at in range(deleted)])
        return store

    expected = scores(made("never", 0))
    assert len(expected) == 3
    store = made("index", 10)
    assert scores(store) < expected
    store.delete_version(2)
    store.delete_version(3)
    assert scores(store) == pytest.approx(expected)
    store.flush(1, "embedder")
    for place in ("first", "second"):
        program = store.draft(tmp_path / place)
        store.close()
        child = await asyncio.create_subprocess_exec(*program)
        assert await child.wait() == 0
        store = EdgeStore.open(tmp_path / place)
        assert scores(store) == pytest.approx(expected)
        store.upsert(chunks(5000, 3, 7, collection=2))
        assert scores(store) == pytest.approx(expected)
        store.delete_version(7)
        assert scores(store) == pytest.approx(expected)
        store.flush(1, "embedder")
    store.close()
