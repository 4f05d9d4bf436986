"""The suite of every index, over a real Weaviate; and what only a server can do: be away, come back, and fuse both legs itself."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from weaviate import WeaviateAsyncClient
from weaviate.classes.query import HybridFusion

from cli.parts.weaviate import NodePorts
from services.retriever import fusion
from services.retriever.exact_store import ExactStore
from services.retriever.fusion import Method, fuse
from services.retriever.index import IndexAway, IndexLate, IndexMeta, IndexUnusable, StoreKind, VectorStore, WeightedTerms
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
    test_a_label_that_looks_like_a_mark_opens_nothing,
    test_a_missing_index_is_unusable,
    test_an_empty_index,
    test_collections_do_not_see_each_other,
    test_deleting_a_version_takes_its_chunks_alone,
    test_dense_order_scores_and_limit,
    test_how_rare_a_word_is_depends_on_the_collection_alone,
    test_labels_are_looked_at_in_the_search_itself,
    test_labels_are_those_of_the_last_upsert,
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
    "test_a_label_that_looks_like_a_mark_opens_nothing",
    "test_a_missing_index_is_unusable",
    "test_an_empty_index",
    "test_collections_do_not_see_each_other",
    "test_deleting_a_version_takes_its_chunks_alone",
    "test_dense_order_scores_and_limit",
    "test_how_rare_a_word_is_depends_on_the_collection_alone",
    "test_labels_are_looked_at_in_the_search_itself",
    "test_labels_are_those_of_the_last_upsert",
    "test_searches_beside_changes_never_fail_or_mix",
    "test_sparse_finds_words_in_any_form_and_script",
    "test_terms_that_look_like_query_syntax",
    "test_upserting_again_replaces",
    "test_weights_of_terms_count",
    "test_what_was_flushed_is_there_after_opening",
    "weaviate_node",
]

META = IndexMeta("weaviate", "instance", "embedder", 0)
DEPTH = 100
"""Hits that each leg of a hybrid search brings in Weaviate, at least."""


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


def fused_there(
    store: WeaviateStore, vector: NDArray[np.float32], terms: WeightedTerms, limit: int, weight: float, method: Method
) -> dict[int, float]:
    by = HybridFusion.RANKED if method == "ranks" else HybridFusion.RELATIVE_SCORE

    async def ask(client: WeaviateAsyncClient) -> dict[int, float]:
        found = await store.fused(vector, terms, 1, limit, dense_weight=weight, fusion=by, client=client)
        return {one.uuid.int: float(one.metadata.score) for one in found}

    return store._search(ask, 10.0)


def in_order(scores: Mapping[int, float]) -> list[tuple[float, set[int]]]:
    """Groups of ids that tie, best first."""
    groups: list[tuple[float, set[int]]] = []
    for found in sorted(scores, key=lambda one: -scores[one]):
        if groups and groups[-1][0] - scores[found] < 1e-6:
            groups[-1][1].add(found)
        else:
            groups.append((scores[found], {found}))
    return groups


@pytest.mark.parametrize("method", get_args(Method))
@pytest.mark.parametrize("weight", [0.2, 0.5, 0.8])
def test_weaviate_fuses_both_legs_as_we_do(
    store: WeaviateStore, method: Method, weight: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0.2 is the weight of our settings. Weaviate counts ranks from 0 and we from 1: its 60 is our 59."""
    monkeypatch.setattr(fusion, "RRF_K", 59.0)
    store.upsert(random_chunks(np.random.default_rng(SEED), 400))
    rng = np.random.default_rng(SEED + 2)
    for _ in range(12):
        vector = rng.normal(size=256).astype(np.float32)
        vector /= np.linalg.norm(vector)
        terms = [(f"w{int(number)}", 1.0) for number in rng.choice(200, size=4, replace=False)]
        dense = {hit.id: hit.score for hit in store.dense(vector, 1, DEPTH)}
        sparse = {hit.id: hit.score for hit in store.sparse(terms, 1, DEPTH)}
        ours = fuse(dense, sparse, weight, method)
        theirs = fused_there(store, vector, terms, DEPTH, weight, method)
        # Behind the best fifty the last hits of a leg come, of which those that tie may be others.
        best = sorted(theirs, key=lambda one: -theirs[one])[:50]
        at = 0
        for _, tied in in_order(ours):
            here = best[at : at + len(tied)]
            assert set(here) <= tied
            at += len(tied)
            if at >= len(best):
                break
        assert at >= len(best)
        assert [ours[one] for one in best] == pytest.approx([theirs[one] for one in best], abs=1e-4)


def test_a_fused_hit_has_the_score_of_each_leg(store: WeaviateStore) -> None:
    store.upsert(random_chunks(np.random.default_rng(SEED), 400))
    vector = np.random.default_rng(SEED + 3).normal(size=256).astype(np.float32)
    vector /= np.linalg.norm(vector)
    terms = [("w3", 1.0), ("w90", 1.0)]
    dense = {hit.id: hit.score for hit in store.dense(vector, 1, DEPTH)}
    sparse = {hit.id: hit.score for hit in store.sparse(terms, 1, DEPTH)}
    found = store.hybrid(vector, terms, 1, 30, dense_weight=0.4)
    assert len(found) == 30
    assert any(one.dense is not None for one in found)
    assert any(one.sparse is not None for one in found)
    for one in found:
        assert one.dense == pytest.approx(dense.get(one.id), abs=1e-4)
        assert one.sparse == pytest.approx(sparse.get(one.id), abs=1e-3)
    assert store.hybrid(vector, terms, 99, 30, dense_weight=0.4) == []


def test_one_collection_alone_is_fused(store: WeaviateStore) -> None:
    store.upsert([chunk(1, "liver enzyme", unit(1)), chunk(2, "liver enzyme", unit(1), collection=2)])
    assert [one.id for one in store.hybrid(unit(1), [("liver", 1.0)], 1, 10, dense_weight=0.5)] == [1]


def test_a_server_that_is_gone_is_not_waited_for(own_node: Node, tmp_path: Path) -> None:
    """The client would try again for a minute; a change has to fail long before its own limit, so that imports go on."""
    kind = WeaviateKind(own_node.settings(change_seconds=600))
    made = kind.create(tmp_path / "index", META)
    made.upsert([chunk(1, "liver", unit(1))])
    made.flush(1, "embedder")
    own_node.stop(signal.SIGKILL)
    changes: list[Callable[[], object]] = [
        lambda: made.upsert([chunk(2, "late", unit(2))]),
        lambda: made.delete_version(1),
        made.count,
        lambda: kind.open(tmp_path / "index"),
    ]
    for change in changes:
        with pytest.raises(IndexAway):
            change()
    made.close()


def test_a_server_that_hangs_is_away_in_time_and_answers_when_it_goes_on(own_node: Node, tmp_path: Path) -> None:
    made = WeaviateKind(own_node.settings(search_seconds=1.0, change_seconds=2.0)).create(tmp_path / "index", META)
    made.upsert([chunk(1, "liver", unit(1))])
    searches: list[Callable[[float], object]] = [
        lambda seconds: made.sparse([("liver", 1.0)], 1, 10, seconds),
        lambda seconds: made.dense(unit(1), 1, 10, seconds),
        lambda seconds: made.hybrid(unit(1), [("liver", 1.0)], 1, 10, dense_weight=0.5, seconds=seconds),
    ]
    own_node.server.send(signal.SIGSTOP)
    try:
        for search in searches:
            with pytest.raises(IndexAway):
                search(60.0)
            with pytest.raises(IndexLate):
                search(0.2)
        with pytest.raises(IndexAway):
            made.upsert([chunk(2, "late", unit(2))])
    finally:
        own_node.server.send(signal.SIGCONT)
    own_node.wait_until_ready()
    assert [hit.id for hit in made.sparse([("liver", 1.0)], 1, 10)] == [1]
    made.close()


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


def test_what_weaviate_refuses_is_said_in_its_words(weaviate_node: Node, tmp_path: Path) -> None:
    with pytest.raises(IndexAway, match=r"Weaviate refused \(4\d\d\): .*replica"):
        WeaviateKind(weaviate_node.settings(replication_factor=3)).create(tmp_path / "index", META)


@pytest.fixture
def own_node(tmp_path: Path) -> Iterator[Node]:
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
