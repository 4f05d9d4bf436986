"""Three nodes, each chunk on all of them: one is killed under load, and no query fails and no acknowledged chunk is lost."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import pytest

from services.retriever.index import IndexMeta, VectorStore
from services.retriever.weaviate_store import WeaviateKind
from tests.real.weaviate_fixture import settings_for, weaviate_cluster
from tests.unit.retriever.test_retriever_store import chunk, unit

TOLD_SECONDS = 120.0
META = IndexMeta("weaviate", "cluster", "embedder", 0)


@pytest.mark.timeout(300)
def test_a_node_is_killed_under_load_and_nothing_fails_or_is_lost(tmp_path: Path) -> None:
    with weaviate_cluster(tmp_path) as nodes:
        # The door is the node that dies: the others are asked after it.
        kind = WeaviateKind(settings_for(nodes, replication_factor=3, consistency="QUORUM", search_seconds=20, change_seconds=40))
        store = kind.create(tmp_path / "index", META)
        acked: list[int] = []
        failures: list[BaseException] = []
        searches = 0
        stop = threading.Event()

        def write(version: int) -> None:
            ids = [version * 100 + at for at in range(20)]
            store.upsert([chunk(number, f"word version{version}", unit(version, number % 7), version=version) for number in ids])
            acked.extend(ids)

        def search() -> None:
            nonlocal searches
            try:
                while not stop.is_set():
                    assert len(store.sparse([("word", 1.0)], 1, 10)) == 10
                    assert len(store.dense(unit(1, 1), 1, 10)) == 10
                    searches += 1
            except BaseException as failure:
                failures.append(failure)

        write(1)
        threads = [threading.Thread(target=search) for _ in range(2)]
        for thread in threads:
            thread.start()
        for version in range(2, 6):
            write(version)
        nodes[0].stop(signal.SIGKILL)
        killed_at = searches
        for version in range(6, 13):
            write(version)
        stop.set()
        for thread in threads:
            thread.join()
        assert failures == []
        assert searches > killed_at
        wait_until_found(store, acked)
        # It comes back and is told what it missed.
        nodes[0].start()
        nodes[0].wait_until_ready()
        write(13)
        wait_until_found(store, acked)
        store.close()


def wait_until_found(store: VectorStore, acked: list[int]) -> None:
    """A search is answered by one replica. What two of three acked, the dead one among them, the third is told by the second."""
    deadline = time.monotonic() + TOLD_SECONDS
    while (held := {hit.id for hit in store.sparse([("word", 1.0)], 1, 1000)}) != set(acked):
        assert held < set(acked)
        assert time.monotonic() < deadline, sorted(set(acked) - held)
        time.sleep(0.2)
