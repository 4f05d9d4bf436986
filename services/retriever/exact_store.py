"""The index that is always right: SQLite FTS5 for BM25 and a scan of all vectors. The oracle of the tests, and what answers while a
broken index is rebuilt. FTS5 has k1 = 1.2 and b = 0.75 built in, so that its ranks differ a little from the other index's.
"""

from __future__ import annotations

import json
import math
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.retriever.index import DIMENSIONS, Hit, IndexMeta, IndexUnusable, Labels, WeightedTerms, document_marks
from services.retriever.records import IndexedChunk

KIND = "exact"
# Terms come folded and stemmed, so that SQLite has only to cut them at spaces: `ascii` leaves everything beyond ASCII alone.
_TABLES = """
    CREATE TABLE IF NOT EXISTS readers (id INTEGER PRIMARY KEY, marks TEXT NOT NULL UNIQUE);
    CREATE TABLE IF NOT EXISTS chunk (
        id INTEGER PRIMARY KEY, version INTEGER NOT NULL, collection INTEGER NOT NULL, readers INTEGER NOT NULL,
        vector BLOB NOT NULL
    );
    CREATE INDEX IF NOT EXISTS chunk_version ON chunk (version);
    CREATE INDEX IF NOT EXISTS chunk_collection ON chunk (collection);
    CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5 (terms, tokenize = 'ascii');
"""
# Who may read is said once for all chunks of the same labels.
_READABLE = """
    SELECT readers.id FROM readers
    WHERE EXISTS (SELECT 1 FROM json_each(readers.marks) AS mark WHERE mark.value IN (SELECT value FROM json_each(:marks)))
"""


class ExactStore:
    """See `VectorStore`."""

    def __init__(self, connection: sqlite3.Connection, folder: Path | None, meta: IndexMeta) -> None:
        self._connection = connection
        self._folder = folder
        self._meta = meta
        self._turn = threading.Lock()
        # Vectors by collection: ids (n,), who may read (n,) and rows (n, DIMENSIONS); read again after a change.
        self._matrices: dict[int, tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]] = {}

    @classmethod
    def create(cls, folder: Path, meta: IndexMeta) -> ExactStore:
        """An empty index in `folder`, which is made."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls._connect(str(folder / "exact.db"), folder, meta)

    @classmethod
    def in_memory(cls, meta: IndexMeta) -> ExactStore:
        """An empty index that ends with the process."""
        return cls._connect(":memory:", None, meta)

    @classmethod
    def open(cls, folder: Path, *, trusted: bool = False) -> ExactStore:
        """The index in `folder`.

        Args:
            trusted: whether this process wrote it a moment ago, so that it need not be checked for damage.
        """
        meta = IndexMeta.read(folder)
        path = folder / "exact.db"
        if not path.exists():
            raise IndexUnusable("the index has no file")
        store = cls._connect(str(path), folder, meta)
        with store._using() as connection:
            if not trusted and connection.execute("PRAGMA quick_check").fetchone()[0] != "ok":
                raise IndexUnusable("the index is damaged")
        return store

    @classmethod
    def _connect(cls, path: str, folder: Path | None, meta: IndexMeta) -> ExactStore:
        try:
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.executescript(_TABLES)
        except sqlite3.Error as error:
            raise IndexUnusable(f"the index does not open: {error}") from error
        return cls(connection, folder, meta)

    @contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        with self._turn:
            try:
                yield self._connection
            except sqlite3.Error as error:
                raise IndexUnusable(f"the index failed: {error}") from error

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        with self._using() as connection:
            self._matrices.clear()
            connection.execute("BEGIN")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @property
    def epoch(self) -> int:
        """See `VectorStore`."""
        return self._meta.epoch

    def upsert(self, chunks: Sequence[IndexedChunk]) -> None:
        """See `VectorStore`."""
        self._meta = self._meta.seeing(chunks)
        with self._changing() as connection:
            connection.executemany("DELETE FROM words WHERE rowid = ?", [(chunk.id,) for chunk in chunks])
            marks = {chunk.id: json.dumps(document_marks(chunk.labels)) for chunk in chunks}
            connection.executemany("INSERT OR IGNORE INTO readers (marks) VALUES (?)", [(one,) for one in set(marks.values())])
            connection.executemany(
                "INSERT OR REPLACE INTO chunk (id, version, collection, readers, vector)"
                " VALUES (?, ?, ?, (SELECT id FROM readers WHERE marks = ?), ?)",
                [
                    (chunk.id, chunk.version, chunk.collection, marks[chunk.id], chunk.vector.astype(np.float32).tobytes())
                    for chunk in chunks
                ],
            )
            connection.executemany(
                "INSERT INTO words (rowid, terms) VALUES (?, ?)", [(chunk.id, " ".join(chunk.terms)) for chunk in chunks]
            )

    def delete_version(self, version: int) -> None:
        """See `VectorStore`."""
        with self._changing() as connection:
            connection.execute("DELETE FROM words WHERE rowid IN (SELECT id FROM chunk WHERE version = ?)", (version,))
            connection.execute("DELETE FROM chunk WHERE version = ?", (version,))

    def dense(
        self, vector: NDArray[np.float32], collection: int, limit: int, seconds: float = math.inf, *, labels: Labels = None
    ) -> list[Hit]:
        """See `VectorStore`."""
        ids, readers, rows = self._matrix(collection)
        if (marks := self._meta.marks(labels)) is not None:
            with self._using() as connection:
                readable = [row[0] for row in connection.execute(_READABLE, {"marks": json.dumps(marks)})]
            seen = np.isin(readers, readable)
            ids, rows = ids[seen], rows[seen]
        scores = rows @ vector
        best = np.argsort(-scores, kind="stable")[:limit]
        return [Hit(int(ids[at]), float(scores[at])) for at in best]

    def _matrix(self, collection: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        with self._using() as connection:
            if collection not in self._matrices:
                found = connection.execute(
                    "SELECT id, readers, vector FROM chunk WHERE collection = ? ORDER BY id", (collection,)
                ).fetchall()
                ids = np.array([row[0] for row in found], dtype=np.int64)
                readers = np.array([row[1] for row in found], dtype=np.int64)
                rows = np.frombuffer(b"".join(row[2] for row in found), dtype=np.float32).reshape(-1, DIMENSIONS)
                self._matrices[collection] = (ids, readers, rows)
            return self._matrices[collection]

    def sparse(
        self, terms: WeightedTerms, collection: int, limit: int, seconds: float = math.inf, *, labels: Labels = None
    ) -> list[Hit]:
        """See `VectorStore`."""
        # BM25 is a sum over terms: one search for each weight that occurs, added up.
        by_weight: defaultdict[float, list[str]] = defaultdict(list)
        for term, weight in terms:
            by_weight[weight].append(term)
        scores: defaultdict[int, float] = defaultdict(float)
        marks = self._meta.marks(labels)
        with self._using() as connection:
            for weight, group in by_weight.items():
                query = " OR ".join('"' + term.replace('"', '""') + '"' for term in group)
                rows = connection.execute(
                    # CROSS: the words come first. The other way round each chunk of the collection is looked for among them, which
                    # takes a hundred times as long.
                    "SELECT words.rowid, -bm25(words) FROM words CROSS JOIN chunk ON chunk.id = words.rowid"
                    " WHERE words MATCH :query AND chunk.collection = :collection"
                    + (f" AND chunk.readers IN ({_READABLE})" if marks is not None else ""),
                    {"query": query, "collection": collection, "marks": json.dumps(marks)},
                )
                for chunk, score in rows:
                    scores[chunk] += weight * score
        best = sorted(((score, chunk) for chunk, score in scores.items() if score > 0), key=lambda pair: (-pair[0], pair[1]))
        return [Hit(chunk, score) for score, chunk in best[:limit]]

    def count(self, collection: int | None = None) -> int:
        """See `VectorStore`."""
        with self._using() as connection:
            asked = "SELECT count(*) FROM chunk WHERE :collection IS NULL OR collection = :collection"
            return int(connection.execute(asked, {"collection": collection}).fetchone()[0])

    def flush(self, epoch: int, embedder: str) -> None:
        """See `VectorStore`."""
        self._meta = self._meta.at(epoch, embedder)
        if self._folder is not None:
            with self._using() as connection:
                connection.execute("PRAGMA wal_checkpoint(FULL)")
            self._meta.write(self._folder)

    def close(self) -> None:
        """See `VectorStore`."""
        with self._using() as connection:
            connection.close()
