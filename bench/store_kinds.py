"""Our own stores, as `store_worker` fills and asks them: through `VectorStore`, as the retriever does, both legs at a time."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.store_worker import LEG, TOP, Asked, fused
from services.retriever.edge_store import EdgeStore
from services.retriever.exact_store import ExactStore
from services.retriever.index import IndexMeta, VectorStore
from services.retriever.records import IndexedChunk
from services.retriever.weaviate_settings import WeaviateSettings

_COLLECTION = 1
_OF_A_DOCUMENT = 10
"""Chunks of one version. With one version for all, an index that links the chunks of each is another one."""


class Ours:
    """Any `VectorStore`."""

    def __init__(self, store: VectorStore) -> None:
        self._store = store
        self._legs = ThreadPoolExecutor(2)

    def fill(self, first: int, vectors: NDArray[np.float32], terms: Sequence[Sequence[str]]) -> None:
        """See `Asked`."""
        rows = enumerate(zip(vectors, terms, strict=True), first)
        self._store.upsert([IndexedChunk(at, at // _OF_A_DOCUMENT, _COLLECTION, tuple(words), row) for at, (row, words) in rows])

    def finish(self) -> None:
        """See `Asked`."""
        self._store.flush(1, "bench")

    def dense(self, vector: NDArray[np.float32], limit: int) -> list[int]:
        """See `Asked`."""
        return [hit.id for hit in self._store.dense(vector, _COLLECTION, limit)]

    def sparse(self, terms: Sequence[str], limit: int) -> list[int] | None:
        """See `Asked`."""
        return [hit.id for hit in self._store.sparse([(term, 1.0) for term in terms], _COLLECTION, limit)]

    def hybrid(self, vector: NDArray[np.float32], terms: Sequence[str]) -> list[int] | None:
        """Both legs on threads, then the fusion: what a search does."""
        dense = self._legs.submit(self._store.dense, vector, _COLLECTION, LEG)
        sparse = self._store.sparse([(term, 1.0) for term in terms], _COLLECTION, LEG)
        return fused([(hit.id, hit.score) for hit in dense.result()], [(hit.id, hit.score) for hit in sparse])[:TOP]


class Edge(Ours):
    """The embedded index, which is optimised when it has grown (`services.retriever.index_optimiser`)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        super().__init__(EdgeStore.create(folder / "index", IndexMeta("edge", "bench", "", 0)))

    def finish(self) -> None:
        """See `Asked`."""
        super().finish()
        store = self._store
        assert isinstance(store, EdgeStore)
        draft = self._folder / "draft"
        program = store.draft(draft)
        store.close()
        subprocess.run(program, check=True)
        shutil.rmtree(self._folder / "index")
        self._store = EdgeStore.open(draft, trusted=True)


def _edge(folder: Path, _: str) -> Ours:
    return Edge(folder)


def _exact(folder: Path, _: str) -> Ours:
    return Ours(ExactStore.create(folder / "index", IndexMeta("exact", "bench", "", 0)))


def _weaviate(folder: Path, server: str) -> Ours:
    from services.retriever.weaviate_store import WeaviateKind

    settings = WeaviateSettings.model_validate_json(server)
    return Ours(WeaviateKind(settings).create(folder / "index", IndexMeta("weaviate", "bench", "", 0)))


KINDS: dict[str, Callable[[Path, str], Asked]] = {"edge": _edge, "exact": _exact, "weaviate": _weaviate}
