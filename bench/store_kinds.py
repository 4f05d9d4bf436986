"""Our own stores, as `store_worker` fills and asks them: through `VectorStore`, as the retriever does, both legs at a time."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.store_worker import LEG, TOP, Asked, document_of, fused, seen
from services.retriever.edge_store import EdgeStore
from services.retriever.exact_store import ExactStore
from services.retriever.index import Hit, IndexMeta, VectorStore
from services.retriever.records import IndexedChunk
from services.retriever.weaviate_settings import WeaviateSettings

_COLLECTION = 1


_HIDDEN_LABEL = ("board",)
_SEEN_LABELS = ("staff",)


class Ours:
    """Any `VectorStore`.

    Args:
        labelled: whether the reader may see what `store_worker.seen` says, and the store keeps the rest from it.
    """

    def __init__(self, store: VectorStore, *, labelled: bool = False) -> None:
        self._store = store
        self._labelled = labelled
        self._labels = _SEEN_LABELS if labelled else ()
        self._legs = ThreadPoolExecutor(2)

    def fill(self, first: int, vectors: NDArray[np.float32], terms: Sequence[Sequence[str]]) -> None:
        """See `Asked`."""
        rows = enumerate(zip(vectors, terms, strict=True), first)
        self._store.upsert(
            [IndexedChunk(at, document_of(at), _COLLECTION, tuple(words), row, self._labels_of(at)) for at, (row, words) in rows]
        )

    def _labels_of(self, at: int) -> tuple[str, ...]:
        if not self._labelled:
            return ()
        return _SEEN_LABELS if seen(at) else _HIDDEN_LABEL

    def finish(self) -> None:
        """See `Asked`."""
        self._store.flush(1, "bench")

    def dense(self, vector: NDArray[np.float32], limit: int) -> list[int]:
        """See `Asked`."""
        return [hit.id for hit in self._store.dense(vector, _COLLECTION, limit, labels=self._labels)]

    def sparse(self, terms: Sequence[str], limit: int) -> list[int] | None:
        """See `Asked`."""
        return [hit.id for hit in self._sparse(terms, limit)]

    def hybrid(self, vector: NDArray[np.float32], terms: Sequence[str]) -> list[int] | None:
        """Both legs on threads, then the fusion: what a search does."""
        dense = self._legs.submit(self._store.dense, vector, _COLLECTION, LEG, labels=self._labels)
        sparse = self._sparse(terms, LEG)
        return fused([(hit.id, hit.score) for hit in dense.result()], [(hit.id, hit.score) for hit in sparse])[:TOP]

    def _sparse(self, terms: Sequence[str], limit: int) -> list[Hit]:
        return self._store.sparse([(term, 1.0) for term in terms], _COLLECTION, limit, labels=self._labels)


class Edge(Ours):
    """The embedded index, which is optimised when it has grown (`services.retriever.index_optimiser`)."""

    def __init__(self, folder: Path, *, labelled: bool = False) -> None:
        self._folder = folder
        super().__init__(EdgeStore.create(folder / "index", IndexMeta("edge", "bench", "", 0)), labelled=labelled)

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


def _edge_labels(folder: Path, _: str) -> Ours:
    return Edge(folder, labelled=True)


def _exact(folder: Path, _: str) -> Ours:
    return Ours(ExactStore.create(folder / "index", IndexMeta("exact", "bench", "", 0)))


def _weaviate(folder: Path, server: str) -> Ours:
    from services.retriever.weaviate_store import WeaviateKind

    settings = WeaviateSettings.model_validate_json(server)
    return Ours(WeaviateKind(settings).create(folder / "index", IndexMeta("weaviate", "bench", "", 0)))


KINDS: dict[str, Callable[[Path, str], Asked]] = {
    "edge": _edge,
    "edge-labels": _edge_labels,
    "exact": _exact,
    "weaviate": _weaviate,
}
