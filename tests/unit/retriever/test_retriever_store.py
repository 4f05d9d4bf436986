"""One suite that every index must pass, run over both local ones; and where the two must agree."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from services.retriever import edge_optimise
from services.retriever.edge_store import EdgeStore
from services.retriever.exact_store import ExactStore
from services.retriever.index import DIMENSIONS, FusingStore, IndexMeta, IndexUnusable, Labels, StoreKind, VectorStore
from services.retriever.records import IndexedChunk
from services.retriever.terms import terms

KINDS: dict[str, StoreKind] = {"edge": EdgeStore, "exact": ExactStore}
SEED = 20260721


def unit(*values: float) -> NDArray[np.float32]:
    row = np.zeros(DIMENSIONS, dtype=np.float32)
    row[: len(values)] = values
    return row / max(float(np.linalg.norm(row)), 1e-9)


def chunk(
    number: int, text: str, vector: NDArray[np.float32], collection: int = 1, version: int = 1, labels: Sequence[str] = ()
) -> IndexedChunk:
    return IndexedChunk(number, version, collection, tuple(terms(text)), vector, tuple(labels))


def ask(store: VectorStore, text: str, collection: int = 1, limit: int = 10, labels: Labels = None) -> list[int]:
    return [hit.id for hit in store.sparse([(term, 1.0) for term in terms(text)], collection, limit, labels=labels)]


def near(store: VectorStore, vector: NDArray[np.float32], limit: int, labels: Labels) -> list[int]:
    return [hit.id for hit in store.dense(vector, 1, limit, labels=labels)]


def fused(store: VectorStore, limit: int, labels: Labels) -> set[int]:
    """What the index itself fuses, if it does."""
    assert isinstance(store, FusingStore)
    return {hit.id for hit in store.hybrid(unit(1), [("word", 1.0)], 1, limit, dense_weight=0.4, labels=labels)}


@pytest.fixture(params=sorted(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def factory(kind: str) -> StoreKind:
    """What tests/real/test_weaviate_store.py puts another kind in place of."""
    return KINDS[kind]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "index"


@pytest.fixture
def store(kind: str, factory: StoreKind, folder: Path) -> Iterator[VectorStore]:
    made = factory.create(folder, IndexMeta(kind, "instance", "embedder", 0))
    yield made
    made.close()


@pytest.fixture
def filled(store: VectorStore) -> VectorStore:
    store.upsert(
        [
            chunk(1, "Cannabidiol inhibits liver enzymes", unit(1, 0, 0), version=1),
            chunk(2, "The liver is an organ of the body, and the liver is large", unit(0.8, 0.6, 0), version=1),
            chunk(3, "Hemp seeds hold no cannabinoids", unit(0, 1, 0), version=2),
            chunk(4, "Исследования каннабидиола", unit(0, 0, 1), version=3),
            chunk(5, "Liver enzymes of another tenant", unit(1, 0, 0), collection=2, version=4),
        ]
    )
    return store


def test_dense_order_scores_and_limit(filled: VectorStore) -> None:
    hits = filled.dense(unit(1, 0.1, 0), 1, 3)
    assert [hit.id for hit in hits] == [1, 2, 3]
    assert hits[0].score == pytest.approx(float(unit(1, 0.1, 0) @ unit(1, 0, 0)), abs=1e-5)
    assert len(filled.dense(unit(1), 1, 1)) == 1


def test_sparse_finds_words_in_any_form_and_script(filled: VectorStore) -> None:
    assert ask(filled, "enzyme liver") == [1, 2]
    assert ask(filled, "seed") == [3]
    assert ask(filled, "исследование") == [4]
    assert ask(filled, "nothing of this kind") == []
    assert all(hit.score > 0 for hit in filled.sparse([("liver", 1.0)], 1, 10))


def test_weights_of_terms_count(filled: VectorStore) -> None:
    def best(organ: float, hemp: float) -> int:
        return filled.sparse([("organ", organ), ("hemp", hemp)], 1, 1)[0].id

    assert best(0.05, 1.0) == 3
    assert best(1.0, 0.05) == 2


def test_collections_do_not_see_each_other(filled: VectorStore) -> None:
    assert ask(filled, "liver enzymes", collection=2) == [5]
    assert [hit.id for hit in filled.dense(unit(1), 2, 10)] == [5]
    assert filled.dense(unit(1), 3, 10) == []
    assert ask(filled, "liver", collection=3) == []


def test_labels_are_looked_at_in_the_search_itself(store: VectorStore) -> None:
    """Whoever may read few of many chunks gets as many hits of these as were asked for."""
    many = 10_000
    others = [chunk(at, "word", unit(1, at / many / 10), version=1 + at % 50, labels=["theirs"]) for at in range(1, many)]
    text = "word and more of other words"
    mine = [chunk(many + at, text, unit(1, 1, at), version=90, labels=["mine", "ours"]) for at in range(20)]
    everybodys = chunk(2 * many, "word among yet more of other words", unit(0.1, 1), version=91)
    for first in range(0, len(others), 1000):
        store.upsert(others[first : first + 1000])
    store.upsert([*mine, everybodys])
    ids = {one.id for one in mine} | {everybodys.id}
    for labels, seen in (["mine"], ids), (["ours", "x"], ids), (["nobody's"], {everybodys.id}), ([], {everybodys.id}):
        assert set(ask(store, "word", limit=10, labels=labels)) <= seen
        assert len(ask(store, "word", limit=10, labels=labels)) == min(10, len(seen))
        assert set(near(store, unit(1), 50, labels)) == seen
        if isinstance(store, FusingStore):
            assert fused(store, 50, labels) == seen
    assert near(store, unit(1), 1, ["theirs", "mine"])[0] < many
    assert near(store, unit(1), 1, None)[0] < many
    store.delete_version(90)
    assert near(store, unit(1), 50, ["mine"]) == [everybodys.id]


def test_a_label_that_looks_like_a_mark_opens_nothing(store: VectorStore) -> None:
    store.upsert([chunk(1, "word", unit(1), labels=["*"]), chunk(2, "word", unit(1)), chunk(3, "word", unit(1), labels=["=a b"])])
    assert near(store, unit(1), 9, []) == [2]
    assert near(store, unit(1), 9, ["a b", "=*", "a"]) == [2]
    assert sorted(near(store, unit(1), 9, ["*"])) == [1, 2]
    assert sorted(ask(store, "word", labels=["=a b"])) == [2, 3]


def test_labels_are_those_of_the_last_upsert(kind: str, factory: StoreKind, folder: Path) -> None:
    made = factory.create(folder, IndexMeta(kind, "instance", "", 0))
    made.upsert([chunk(1, "word", unit(1))])
    assert near(made, unit(1), 9, []) == [1]
    made.upsert([chunk(1, "word", unit(1), labels=["a"])])
    assert near(made, unit(1), 9, []) == ask(made, "word", labels=["b"]) == []
    made.flush(1, "embedder")
    made.close()
    again = factory.open(folder)
    assert near(again, unit(1), 9, []) == ask(again, "word", labels=[]) == []
    assert near(again, unit(1), 9, ["a"]) == ask(again, "word", labels=["a"]) == [1]
    again.close()


def test_deleting_a_version_takes_its_chunks_alone(filled: VectorStore) -> None:
    filled.delete_version(1)
    filled.delete_version(99)
    assert filled.count() == 3
    assert ask(filled, "liver") == []
    assert filled.dense(unit(1, 0.1), 1, 10)[0].id == 3


def test_upserting_again_replaces(filled: VectorStore) -> None:
    filled.upsert([chunk(1, "Entirely different words", unit(0, 0, 1), version=1)])
    assert filled.count() == 5
    assert ask(filled, "enzymes") == []
    assert ask(filled, "different") == [1]
    assert filled.dense(unit(0, 0, 1), 1, 1)[0].score == pytest.approx(1.0, abs=1e-5)


def test_a_chunk_without_words_or_direction_is_kept(store: VectorStore) -> None:
    store.upsert([chunk(1, "", unit(1)), chunk(2, "word", np.zeros(DIMENSIONS, dtype=np.float32))])
    assert store.count() == 2
    assert ask(store, "word") == [2]
    assert store.dense(unit(1), 1, 1)[0].id == 1


def test_terms_that_look_like_query_syntax(store: VectorStore) -> None:
    store.upsert([chunk(1, "near or and not column", unit(1)), chunk(2, "other", unit(1))])
    for text in ('column:"x" OR *', "NEAR(a b) column", "column -other^2"):
        assert 1 in ask(store, text)
    assert store.sparse([('"', 1.0), ("OR", 1.0), ("*", 1.0)], 1, 10) == []


def test_an_empty_index(store: VectorStore) -> None:
    assert store.count() == 0
    assert store.dense(unit(1), 1, 10) == []
    assert ask(store, "word") == []


def test_what_was_flushed_is_there_after_opening(kind: str, factory: StoreKind, folder: Path) -> None:
    meta = IndexMeta(kind, "instance", "embedder", 0)
    first = factory.create(folder, meta)
    first.upsert([chunk(number, f"word{number}", unit(number, 1)) for number in range(1, 40)])
    first.flush(7, "embedder")
    first.close()
    again = factory.open(folder)
    assert (again.epoch, again.count()) == (7, 39)
    assert ask(again, "word17") == [17]
    assert IndexMeta.read(folder).same_source(meta)
    again.close()


def test_a_missing_index_is_unusable(factory: StoreKind, folder: Path) -> None:
    with pytest.raises(IndexUnusable):
        factory.open(folder)


@pytest.mark.parametrize("damage", ["truncate", "noise", "meta"])
def test_a_damaged_index_is_unusable_and_does_not_crash(kind: str, factory: StoreKind, folder: Path, damage: str) -> None:
    made = factory.create(folder, IndexMeta(kind, "instance", "embedder", 0))
    made.upsert([chunk(number, f"word{number} text", unit(number, 1)) for number in range(1, 300)])
    made.flush(1, "embedder")
    made.close()
    for path in [folder / "meta.json"] if damage == "meta" else [path for path in folder.rglob("*") if path.is_file()]:
        if path.name != "meta.json" or damage == "meta":
            data = path.read_bytes()
            path.write_bytes(data[: len(data) // 3] if damage != "noise" else b"\xa5" * len(data))
    with pytest.raises(IndexUnusable):
        factory.open(folder)


def test_a_closed_index_says_so(kind: str, factory: StoreKind, folder: Path) -> None:
    made = factory.create(folder, IndexMeta(kind, "instance", "embedder", 0))
    made.close()
    for call in (made.count, lambda: made.upsert([chunk(1, "word", unit(1))]), lambda: made.sparse([("word", 1.0)], 1, 1)):
        with pytest.raises(IndexUnusable):
            call()


def test_searches_beside_changes_never_fail_or_mix(store: VectorStore) -> None:
    failures: list[BaseException] = []
    stop = threading.Event()

    def search() -> None:
        try:
            while not stop.is_set():
                assert all(hit.id >= 1000 for hit in store.dense(unit(1, 1), 1, 50))
                assert all(hit.id >= 1000 for hit in store.sparse([("word", 1.0)], 1, 50))
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for version in range(1, 31):
        store.upsert([chunk(1000 + version * 10 + at, "word text", unit(version, at), version=version) for at in range(10)])
        store.upsert([chunk(version * 10 + at, "word text", unit(version, at), collection=2, version=version) for at in range(5)])
        if version > 5:
            store.delete_version(version - 5)
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert store.count() == 5 * 15


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[VectorStore, VectorStore]]:
    made = [one.create(tmp_path / name, IndexMeta(name, "instance", "embedder", 0)) for name, one in sorted(KINDS.items())]
    yield made[0], made[1]
    for one in made:
        one.close()


def random_chunks(rng: np.random.Generator, count: int) -> list[IndexedChunk]:
    words = [f"w{number}" for number in range(400)]
    chunks = []
    for number in range(1, count + 1):
        vector = rng.normal(size=DIMENSIONS).astype(np.float32)
        # Few words are frequent and most are rare, as in any language.
        text = [words[at] for at in np.minimum(rng.zipf(1.4, size=int(rng.integers(20, 120))), len(words)) - 1]
        chunks.append(IndexedChunk(number, number // 7, 1, tuple(text), vector / np.linalg.norm(vector)))
    return chunks


def test_dense_agrees_with_the_oracle(both: tuple[VectorStore, VectorStore]) -> None:
    rng = np.random.default_rng(SEED)
    for store in both:
        store.upsert(random_chunks(np.random.default_rng(SEED), 500))
    for _ in range(20):
        vector = rng.normal(size=DIMENSIONS).astype(np.float32)
        edge, exact = (store.dense(vector, 1, 20) for store in both)
        assert [hit.id for hit in edge] == [hit.id for hit in exact]
        assert [hit.score for hit in edge] == pytest.approx([hit.score for hit in exact], abs=1e-4)


def test_an_index_that_was_optimised_as_it_grew_agrees_with_the_oracle(tmp_path: Path) -> None:
    exact = ExactStore.create(tmp_path / "exact", IndexMeta("exact", "instance", "embedder", 0))
    grown = EdgeStore.create(tmp_path / "0", IndexMeta("edge", "instance", "embedder", 0))
    chunks = random_chunks(np.random.default_rng(SEED), 600)
    for number in range(3):
        for store in (exact, grown):
            store.upsert(chunks[number * 200 : number * 200 + 200])
            store.delete_version(number)
        grown.flush(1, "embedder")
        program = grown.draft(tmp_path / str(number + 1))
        grown.close()
        subprocess.run(program, check=True, timeout=60)
        grown = EdgeStore.open(tmp_path / str(number + 1), trusted=True)
    assert grown._shard.info().segments_count == 3, "two parts with graphs, and the one for new chunks"
    assert grown.count() == exact.count() < 600
    rng = np.random.default_rng(SEED)
    for _ in range(10):
        vector = unit(*rng.normal(size=DIMENSIONS))
        edge, right = (store.dense(vector, 1, 20) for store in (grown, exact))
        assert [hit.id for hit in edge] == [hit.id for hit in right]
        assert [hit.score for hit in edge] == pytest.approx([hit.score for hit in right], abs=1e-4)
    assert {hit.id for hit in grown.sparse([("w3", 1.0)], 1, 600)} == {hit.id for hit in exact.sparse([("w3", 1.0)], 1, 600)}
    grown.close()
    exact.close()


@pytest.mark.parametrize(("held", "part"), [(10_000, 50_000), (150_000, 50_000), (600_000, 200_000)])
def test_parts_of_a_large_index_are_larger_instead_of_more(held: int, part: int) -> None:
    assert edge_optimise.part_chunks(held) == part


def bm25(chunks: list[IndexedChunk], query: list[str], mean: float = 60.0) -> dict[int, float]:
    """BM25 by its formula, k1 = 0.9, b = 0.4, over a mean length of `mean` terms."""
    scores: dict[int, float] = {}
    for term in query:
        holders = [one for one in chunks if term in one.terms]
        rarity = np.log(1 + (len(chunks) - len(holders) + 0.5) / (len(holders) + 0.5))
        for one in holders:
            count = one.terms.count(term)
            scores[one.id] = scores.get(one.id, 0.0) + rarity * count * 1.9 / (count + 0.9 * (0.6 + 0.4 * len(one.terms) / mean))
    return scores


def test_bm25_of_the_edge_follows_the_formula_and_the_oracle_finds_the_same(both: tuple[VectorStore, VectorStore]) -> None:
    chunks = random_chunks(np.random.default_rng(SEED), 300)
    for store in both:
        store.upsert(chunks)
    for query in (["w3", "w90"], ["w17"], ["w200", "w5", "w40"]):
        wanted = bm25(chunks, query)
        weighted = [(term, 1.0) for term in query]
        edge, exact = (store.sparse(weighted, 1, 300) for store in both)
        assert {hit.id: hit.score for hit in edge} == pytest.approx(wanted, rel=1e-3)
        assert {hit.id for hit in exact} == set(wanted)
        # FTS5 has other constants: the ranks may differ a little, the top must overlap.
        assert len({hit.id for hit in edge[:10]} & {hit.id for hit in exact[:10]}) >= min(6, len(wanted))


def test_how_rare_a_word_is_depends_on_the_collection_alone(store: VectorStore, kind: str) -> None:
    if kind == "exact":
        return  # FTS5 counts over all collections; it is an oracle for what is found
    store.upsert([chunk(number, "common word" if number < 9 else "word", unit(1)) for number in range(1, 11)])
    alone = store.sparse([("common", 1.0)], 1, 1)[0].score
    store.upsert([chunk(100 + number, "other", unit(1), collection=2, version=2) for number in range(50)])
    assert store.sparse([("common", 1.0)], 1, 1)[0].score == pytest.approx(alone)
