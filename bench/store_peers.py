"""Stores of others, as `store_worker` fills and asks them. Runs in `.venv-bench`, which has none of our services."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import faiss
import lancedb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bench.store_worker import LEG, TOP, Asked, fused

_DIMENSIONS = 256
_ROWS = 8_192
"""Rows that LanceDB is given at a time: each call makes a version of the table."""
_LINKS, _WHEN_BUILT, _WHEN_ASKED = 16, 128, 128


class Lance:
    """LanceDB, embedded: IVF over HNSW with int8 vectors, and its own full-text index. Filled once, indexed at the end."""

    def __init__(self, folder: Path, _: str) -> None:
        kind = pa.list_(pa.float32(), _DIMENSIONS)
        schema = pa.schema([("id", pa.int64()), ("collection", pa.int64()), ("terms", pa.string()), ("vector", kind)])
        self._table = lancedb.connect(str(folder / "lance")).create_table("chunks", schema=schema)
        self._schema = schema
        self._rows: list[dict[str, Any]] = []

    def fill(self, first: int, vectors: NDArray[np.float32], terms: Sequence[Sequence[str]]) -> None:
        """See `Asked`."""
        for at, (vector, words) in enumerate(zip(vectors, terms, strict=True)):
            self._rows.append({"id": first + at, "collection": 1, "terms": " ".join(words), "vector": vector})
        if len(self._rows) >= _ROWS:
            self._write()

    def _write(self) -> None:
        if self._rows:
            self._table.add(pa.Table.from_pylist(self._rows, schema=self._schema))
            self._rows = []

    def finish(self) -> None:
        """See `Asked`."""
        self._write()
        self._table.create_index(
            metric="dot",
            vector_column_name="vector",
            index_type="IVF_HNSW_SQ",
            num_partitions=max(1, self._table.count_rows() // 50_000),
        )
        self._table.create_fts_index("terms", base_tokenizer="whitespace", stem=False, remove_stop_words=False, with_position=False)
        self._table.optimize()

    def _dense(self, vector: NDArray[np.float32], limit: int) -> list[tuple[int, float]]:
        asked = self._table.search(vector, vector_column_name="vector").metric("dot").ef(_WHEN_ASKED).limit(limit)
        found = asked.select(["id", "_distance"]).to_arrow()
        return [(one["id"], -one["_distance"]) for one in found.to_pylist()]

    def _sparse(self, terms: Sequence[str], limit: int) -> list[tuple[int, float]]:
        found = (
            self._table.search(" ".join(terms), query_type="fts", fts_columns="terms")
            .limit(limit)
            .select(["id", "_score"])
            .to_arrow()
        )
        return [(one["id"], one["_score"]) for one in found.to_pylist()]

    def dense(self, vector: NDArray[np.float32], limit: int) -> list[int]:
        """See `Asked`."""
        return [one for one, _ in self._dense(vector, limit)]

    def sparse(self, terms: Sequence[str], limit: int) -> list[int] | None:
        """See `Asked`."""
        return [one for one, _ in self._sparse(terms, limit)]

    def hybrid(self, vector: NDArray[np.float32], terms: Sequence[str]) -> list[int] | None:
        """Both legs, then the fusion that ours have; its own would call a reranker in Python."""
        return fused(self._dense(vector, LEG), self._sparse(terms, LEG))[:TOP]


class Faiss:
    """FAISS: HNSW over float32, in memory; it has no words and no file until it is told to write one."""

    def __init__(self, folder: Path, _: str) -> None:
        self._path = folder / "index.faiss"
        self._index = faiss.IndexHNSWFlat(_DIMENSIONS, _LINKS, faiss.METRIC_INNER_PRODUCT)
        self._index.hnsw.efConstruction = _WHEN_BUILT
        self._index.hnsw.efSearch = _WHEN_ASKED
        faiss.omp_set_num_threads(2)

    def fill(self, first: int, vectors: NDArray[np.float32], terms: Sequence[Sequence[str]]) -> None:
        """See `Asked`."""
        self._index.add(vectors)

    def finish(self) -> None:
        """See `Asked`."""
        faiss.write_index(self._index, str(self._path))
        faiss.omp_set_num_threads(1)

    def dense(self, vector: NDArray[np.float32], limit: int) -> list[int]:
        """See `Asked`."""
        return [int(one) + 1 for one in self._index.search(vector.reshape(1, -1), limit)[1][0]]

    def sparse(self, terms: Sequence[str], limit: int) -> list[int] | None:
        """It has none."""
        return None

    def hybrid(self, vector: NDArray[np.float32], terms: Sequence[str]) -> list[int] | None:
        """It has none."""
        return None


KINDS: dict[str, Callable[[Path, str], Asked]] = {"lancedb": Lance, "faiss": Faiss}
assert TOP <= LEG
