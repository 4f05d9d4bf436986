"""The suite of every index, over a real Weaviate; and what only a server can do: be away, come back, and fuse both legs itself."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from services.retriever.exact_store import ExactStore
from services.retriever.index import IndexAway, IndexMeta, IndexUnusable, StoreKind, VectorStore
from services.retriever.weaviate_store import WeaviateKind, WeaviateStore
from tests.real.weaviate_fixture import Node, weaviate_node
from tests.unit.retriever.test_retriever_store import (
    SEED,
    ask,
    bm25,
    chunk,
    filled,
    folder,
    random_chunks,
    store,
    test_a_chunk_without_words_or_direction_is_kept,
    test_a_closed_index_says_so,
    test_a_damaged_index_is_unusable_and_does_not_crash,
    test_a_missing_index_is_unusable,
    test_an_empty_index,
    test_collections_do_not_see_each_other,
    test_deleting_a_version_takes_its_chunks_alone,
    test_dense_order_scores_and_limit,
    test_how_rare_a_word_is_depends_on_the_collection_alone,
    test_searches_beside_changes_never_fail_or_mix,
    test_sparse_finds_words_in_any_form_and_script,
    test_terms_that_look_like_query_syntax,
    test_upserting_again_replaces,
    test_weights_of_terms_count,
    test_what_was_flushed_is_there_after_opening,
    unit,
)

__all__ = [
    "filled",
    "folder",
    "store",
    "test_a_chunk_without_words_or_direction_is_kept",
    "test_a_closed_index_says_so",
    "test_a_damaged_index_is_unusable_and_does_not_crash",
    "test_a_missing_index_is_unusable",
    "test_an_empty_index",
    "test_collections_do_not_see_each_other",
    "test_deleting_a_version_takes_its_chunks_alone",
    "test_dense_order_scores_and_limit",
    "test_how_rare_a_word_is_depends_on_the_collection_alone",
    "test_searches_beside_changes_never_fail_or_mix",
    "test_sparse_finds_words_in_any_form_and_script",
    "test_terms_that_look_like_query_syntax",
    "test_upserting_again_replaces",
    "test_weights_of_terms_count",
    "test_what_was_flushed_is_there_after_opening",
    "weaviate_node",
]

META = IndexMeta("weaviate", "instance", "embedder", 0)


@pytest.fixture
def kind() -> str:
    return "weaviate"


@pytest.fixture
def factory(weaviate_node: Node) -> StoreKind:
    return WeaviateKind(weaviate_node.settings())


def test_the_dense_leg_finds_what_the_oracle_finds(store: VectorStore, tmp_path: Path) -> None:
    chunks = random_chunks(np.random.default_rng(SEED), 500)
    exact = ExactStore.create(tmp_path / "exact", META)
    for one in (store, exact):
        one.upsert(chunks)
    rng = np.random.default_rng(SEED + 1)
    shared = 0
    for _ in range(20):
        vector = rng.normal(size=256).astype(np.float32)
        found, wanted = store.dense(vector, 1, 10), exact.dense(vector, 1, 10)
        shared += len({hit.id for hit in found} & {hit.id for hit in wanted})
        scores = {hit.id: hit.score for hit in exact.dense(vector, 1, 500)}
        assert [hit.score for hit in found] == pytest.approx([scores[hit.id] for hit in found], abs=1e-3)
    exact.close()
    assert shared / 200 >= 0.97  # recall@10 of the approximate leg


def test_the_sparse_leg_ranks_by_bm25(store: VectorStore) -> None:
    chunks = random_chunks(np.random.default_rng(SEED), 300)
    store.upsert(chunks)
    mean = float(np.mean([len(one.terms) for one in chunks]))
    for query in (["w3", "w90"], ["w17"], ["w200", "w5", "w40"]):
        wanted = bm25(chunks, query, mean)
        found = store.sparse([(term, 1.0) for term in query], 1, 300)
        assert {hit.id for hit in found} == set(wanted)
        best = sorted(wanted, key=lambda at: -wanted[at])[:10]
        assert len({hit.id for hit in found[:10]} & set(best)) >= min(9, len(best))


@pytest.mark.parametrize("by_rank", [False, True])
def test_both_legs_are_fused_on_the_server(filled: WeaviateStore, by_rank: bool) -> None:
    def fused(weight: float) -> list[int]:
        terms = [("liver", 1.0), ("enzym", 1.0)]
        return [hit.id for hit in filled.hybrid(unit(0, 0, 1), terms, 1, 4, dense_weight=weight, by_rank=by_rank)]

    assert fused(1.0)[0] == 4
    assert fused(0.0)[0] == 1
    assert {1, 4} <= set(fused(0.5)[:3])


@pytest.mark.parametrize("compression", ["int8", "rq", "pq"])
def test_compressed_vectors_find_their_own(weaviate_node: Node, tmp_path: Path, compression: str) -> None:
    made = WeaviateKind(weaviate_node.settings(compression=compression)).create(tmp_path / "index", META)
    chunks = random_chunks(np.random.default_rng(SEED), 300)
    made.upsert(chunks)
    found = [made.dense(one.vector, 1, 3)[0].id for one in chunks[:40]]
    assert sum(a == b.id for a, b in zip(found, chunks, strict=False)) >= 38
    made.close()


def test_indexes_that_other_builds_left_behind_are_deleted(factory: StoreKind, tmp_path: Path) -> None:
    for name in ("one", "two"):
        made = factory.create(tmp_path / name, META)
        made.upsert([chunk(1, f"word{name}", unit(1))])
        made.flush(1, "embedder")
        made.close()
    again = factory.open(tmp_path / "two")
    assert ask(again, "wordtwo") == [1]
    again.close()
    with pytest.raises(IndexUnusable):
        factory.open(tmp_path / "one")


@pytest.fixture
def own_node(tmp_path: Path) -> Iterator[Node]:
    from cli.parts.weaviate import NodePorts

    node = Node("n1", tmp_path, NodePorts.choose())
    node.start()
    node.wait_until_ready()
    yield node
    node.stop()


def test_a_server_that_is_killed_is_away_and_has_lost_nothing_once_it_is_back(own_node: Node, tmp_path: Path) -> None:
    made = WeaviateKind(own_node.settings(search_seconds=2, change_seconds=5)).create(tmp_path / "index", META)
    for version in range(1, 6):
        made.upsert(
            [chunk(version * 100 + at, f"word{version} number{at}", unit(version, at + 1), version=version) for at in range(50)]
        )
    own_node.stop(signal.SIGKILL)
    with pytest.raises(IndexAway):
        made.sparse([("word1", 1.0)], 1, 10)
    with pytest.raises(IndexAway):
        made.upsert([chunk(1, "late", unit(1))])
    own_node.start()
    own_node.wait_until_ready()
    assert made.count() == 250
    assert len(made.sparse([("word3", 1.0)], 1, 100)) == 50
    assert made.dense(unit(3, 8), 1, 1)[0].id == 307
    made.close()
