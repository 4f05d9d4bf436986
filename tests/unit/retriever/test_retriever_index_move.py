"""An index moves to another kind: compared before it is taken, taken without being built again, and never half."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from services.retriever import index_move
from services.retriever.exact_store import ExactStore
from services.retriever.index import IndexMeta, IndexUnusable, moved_folder
from services.retriever.index_building import IndexBuilder
from services.retriever.index_keeper import IndexKeeper
from services.retriever.index_move import MoveRefused, compare, move
from services.retriever.settings import RetrieverSettings
from services.retriever.truth_kinds import truth_of
from tests.unit.retriever.test_retriever_store import random_chunks
from tests.unit.retriever.truth_fixture import KINDS, key, publish, version

WORDS = ("liver", "enzyme", "oil", "plant", "dose", "sleep", "pain", "label", "law", "food")


@pytest.fixture
def settings(tmp_path: Path) -> RetrieverSettings:
    return RetrieverSettings(run_dir=tmp_path / "run", data_dir=tmp_path / "data")


def text(number: int) -> str:
    rng = np.random.default_rng(number)
    return f"text{number} " + " ".join(rng.choice(WORDS, size=6))


async def stored(settings: RetrieverSettings, kind: str = "edge", documents: int = 30) -> None:
    """Documents in two collections, and an index of them."""
    truth = truth_of(settings)
    await truth.open()
    index = IndexKeeper(truth, settings.folder / "index", kind, KINDS[kind], 1000)
    await index.open()
    for number in range(documents):
        collection = "one" if number % 3 else "two"
        await publish(truth, index, version(key(f"d{number}", collection=collection), text(number), text(number + 1000)))
    await index.close()
    await truth.close()


async def found(settings: RetrieverSettings, kind: str, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """Chunks, and hits for a word of the first document, at a start that asks for `kind` and may build nothing."""
    truth = truth_of(settings)
    await truth.open()
    index = IndexKeeper(truth, settings.folder / "index", kind, KINDS[kind], 1000)
    with monkeypatch.context() as patch:
        patch.setattr(IndexBuilder, "rebuild", lambda self: pytest.fail("rebuilt"))
        await index.open()
    assert index._store is not None
    count, hits = index._store.count(), (await index.sparse([("text1", 1.0)], 2, 10)).hits
    await index.close()
    await truth.close()
    return count, len(hits)


@pytest.mark.parametrize(("before", "after"), [("edge", "exact"), ("exact", "edge")])
async def test_a_moved_index_is_taken_at_the_next_start_that_asks_for_it(
    settings: RetrieverSettings, monkeypatch: pytest.MonkeyPatch, before: str, after: index_move.Kind
) -> None:
    await stored(settings, before)
    compared = await move(settings, after, samples=20, least=0.8)
    assert compared is not None
    assert compared.chunks == {1: (20, 20, 20), 2: (40, 40, 40)}
    assert compared.samples == 20
    assert compared.dense == 1.0
    assert compared.sparse >= 0.8
    assert await found(settings, after, monkeypatch) == (60, 1)
    assert not moved_folder(settings.folder / "index").exists()


async def test_until_its_kind_is_asked_for_the_old_index_is_used(
    settings: RetrieverSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stored(settings)
    await move(settings, "exact", least=0.5)
    assert await found(settings, "edge", monkeypatch) == (60, 1)
    assert not moved_folder(settings.folder / "index").exists()


async def test_killed_while_it_took_its_place_it_is_there_for_the_next_start(
    settings: RetrieverSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stored(settings)
    await move(settings, "exact", least=0.5)
    folder = settings.folder / "index"
    folder.rename(folder.with_name("gone"))
    assert await found(settings, "exact", monkeypatch) == (60, 1)


async def test_killed_while_it_is_built_the_old_index_is_used(settings: RetrieverSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    await stored(settings)
    # As a kill leaves it: some chunks, never flushed.
    half = ExactStore.create(moved_folder(settings.folder / "index"), IndexMeta("exact", "instance", "embedder", 1))
    half.upsert(random_chunks(np.random.default_rng(1), 10))
    half.close()
    assert await found(settings, "edge", monkeypatch) == (60, 1)
    await move(settings, "exact", least=0.5)
    assert await found(settings, "exact", monkeypatch) == (60, 1)


async def test_an_index_that_finds_something_else_is_refused(settings: RetrieverSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    await stored(settings)
    right = ExactStore.upsert

    def upsert(store: ExactStore, chunks: object) -> None:
        turned = [type(one)(one.id, one.version, one.collection, one.terms, np.roll(one.vector, one.id)) for one in chunks]  # type: ignore[attr-defined]
        right(store, turned)

    monkeypatch.setattr(ExactStore, "upsert", upsert)
    with pytest.raises(MoveRefused, match="the ten nearest overlap by 0"):
        await move(settings, "exact")
    assert not moved_folder(settings.folder / "index").exists()
    assert await found(settings, "edge", monkeypatch) == (60, 1)


async def test_an_index_that_lacks_chunks_is_refused(settings: RetrieverSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    await stored(settings)
    right = ExactStore.upsert
    monkeypatch.setattr(ExactStore, "upsert", lambda store, chunks: right(store, chunks[:-1]))
    with pytest.raises(MoveRefused, match="have 40 chunks, the index 40, the new one 39"):
        await move(settings, "exact", least=0.0)
    assert await found(settings, "edge", monkeypatch) == (60, 1)


async def test_what_cannot_be_moved_says_why(settings: RetrieverSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MoveRefused, match="there is no index yet"):
        await move(settings, "exact")
    await stored(settings)
    assert await move(settings, "edge") is None

    def create(folder: Path, meta: IndexMeta) -> ExactStore:
        raise IndexUnusable("it cannot be made")

    monkeypatch.setattr(ExactStore, "create", create)
    with pytest.raises(MoveRefused, match="it cannot be made"):
        await move(settings, "exact")


def test_hits_that_tie_with_the_tenth_stand_for_it(tmp_path: Path) -> None:
    """Fifty chunks say the same: which ten of them come first is no difference between two indexes."""
    meta = IndexMeta("exact", "instance", "embedder", 1)
    (first,) = random_chunks(np.random.default_rng(1), 1)
    same = [type(first)(number, 1, 1, first.terms, first.vector) for number in range(1, 51)]
    old, new = ExactStore.create(tmp_path / "old", meta), ExactStore.create(tmp_path / "new", meta)
    old.upsert(same)
    new.upsert([type(first)(51 - one.id, 1, 1, one.terms, one.vector) for one in same][10:])
    compared = compare(old, new, Counter({1: 50}), same[:5])
    assert (compared.dense, compared.sparse) == (1.0, 1.0)
    assert compared.chunks == {1: (50, 50, 40)}
    for store in (old, new):
        store.close()
