"""The index on qdrant-edge: dense vectors by dot product, BM25 as sparse vectors whose document frequencies it counts itself.

New chunks are scanned, which is exact and takes 5 ms at 50,000 of them; those that were there when the index was last optimised
(`edge_optimise`, in a process of its own) stand in a graph. Knows no text.
"""

from __future__ import annotations

import errno
import math
import os
import shutil
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import qdrant_edge as edge
from numpy.typing import NDArray

from services.retriever import edge_optimise
from services.retriever.edge_optimise import DENSE, SPARSE
from services.retriever.index import (
    BM25_B,
    BM25_K1,
    DIMENSIONS,
    MEAN_TERMS,
    Hit,
    IndexMeta,
    IndexUnusable,
    Labels,
    WeightedTerms,
    document_marks,
)
from services.retriever.records import IndexedChunk

KIND = "edge"
_BATCH = 64
"""Chunks that are written at a time: nothing else of Python runs meanwhile."""
_GRAPH_BREADTH = 256
"""Candidates kept while the graph is walked (ef). Of the ten nearest it finds .99 at 50,000 chunks, 128 would find .97."""
_LARGE = 100_000
_BREADTH_IN_LARGE = 384
"""In a part of more than so many chunks: 256 find .967 of the ten nearest at 200,000."""
_SEVERAL = 3
_BREADTH_IN_SEVERAL = 160
"""In each of so many parts, of which none need find all ten: of 200,000 chunks in five parts 128 find .98, 192 find .99."""
_BREADTH_AMONG_OTHERS = 512
"""The same where chunks of other collections are in the way: with 128 two of 22,500 chunks find .94 where this finds .99."""
_BREADTH_AMONG_HIDDEN = 88
_HIDDEN_SHARE = 0.35
"""From this part of the chunks hidden by their labels on, the walk goes on to the neighbours of hidden ones (ACORN). Of the ten
nearest among 20,000 or 35,000 of 50,000 chunks it finds .98 then, in half the time of a scan; a walk that stops at hidden ones
finds .83 and .93, with 1024 candidates .92 and .98."""
_COMPARED = edge.QuantizationSearchParams(rescore=True, oversampling=2.0)
"""Twice as many as are wanted are compared by the vectors themselves. Without that .96 of the ten nearest are found, not .99."""
_FEW = 8
_ROOM_FACTOR = 4
"""How many times the size of an index has to be free on the disk before a copy of it is optimised."""
_PROBE_SECONDS = 120
_PROBE = """
import sys, qdrant_edge as edge
shard = edge.EdgeShard.load(sys.argv[1])
shard.count(edge.CountRequest())
shard.facet(edge.FacetRequest("collection"))
ask = lambda vector, name: shard.query(edge.QueryRequest(limit=8, query=edge.Query.Nearest(vector, using=name)))
ask([1.0] * int(sys.argv[2]), "dense")
ask(edge.SparseVector([1], [1.0]), "bm25")
place = None
while True:
    _, place = shard.scroll(edge.ScrollRequest(limit=1000, offset=place))
    if place is None:
        break
shard.close()
"""


@contextmanager
def _failing() -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # a panic of the Rust side is no Exception
        raise IndexUnusable(f"the index failed: {type(error).__name__}: {error}"[:500]) from error


class EdgeStore:
    """See `VectorStore`."""

    def __init__(self, folder: Path, shard: edge.EdgeShard, meta: IndexMeta) -> None:
        self._folder = folder
        self._shard = shard
        self._meta = meta
        # What was deleted is counted with the words of all collections until the index is optimised.
        self._whole = meta.written == shard.count(edge.CountRequest())
        found = shard.facet(edge.FacetRequest("collection", limit=_FEW)).hits
        self._collections = {int(hit.value) for hit in found}
        """Those that it holds chunks of, or some of them where they are many."""
        self._breadth = _breadth(meta.optimised, shard.info().segments_count - 1)

    @classmethod
    def create(cls, folder: Path, meta: IndexMeta) -> EdgeStore:
        """An empty index in `folder`, which is made."""
        with _failing():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            shard = edge.EdgeShard.create(str(folder / "shard"), edge_optimise.config(DIMENSIONS))
            for field in edge_optimise.fields():
                shard.update(field)
            return cls(folder, shard, meta)

    @classmethod
    def open(cls, folder: Path, *, trusted: bool = False) -> EdgeStore:
        """The index in `folder`.

        Args:
            trusted: whether this process wrote it a moment ago. A damaged index can crash the process that maps it: any other one
                has to be survived by a process of its own first.
        """
        meta = IndexMeta.read(folder)
        path = str(folder / "shard")
        if not trusted:
            _probe(path)
        with _failing():
            return cls(folder, edge.EdgeShard.load(path, edge_optimise.config(DIMENSIONS)), meta)

    @property
    def epoch(self) -> int:
        """See `VectorStore`."""
        return self._meta.epoch

    def upsert(self, chunks: Sequence[IndexedChunk]) -> None:
        """See `VectorStore`."""
        self._meta = self._meta.after(chunks)
        self._collections |= {chunk.collection for chunk in chunks}
        for first in range(0, len(chunks), _BATCH):
            points = [_point(chunk) for chunk in chunks[first : first + _BATCH]]
            with _failing():
                self._shard.update(edge.UpdateOperation.upsert_points(points))

    def delete_version(self, version: int) -> None:
        """See `VectorStore`."""
        with _failing():
            if self._shard.count(edge.CountRequest(filter=_filter("version", version))) > 0:
                self._whole = False
                self._shard.update(edge.UpdateOperation.delete_points_by_filter(_filter("version", version)))

    def dense(
        self, vector: NDArray[np.float32], collection: int, limit: int, seconds: float = math.inf, *, labels: Labels = None
    ) -> list[Hit]:
        """See `VectorStore`."""
        breadth = self._breadth if self._alone(collection) else _BREADTH_AMONG_OTHERS
        params = edge.SearchParams(hnsw_ef=max(breadth, limit), quantization=_COMPARED)
        if labels is not None and self._meta.labelled and self._hides(collection, labels):
            everywhere = edge.AcornSearchParams(enable=True, max_selectivity=1.0)
            breadth = max(_BREADTH_AMONG_HIDDEN, limit)
            params = edge.SearchParams(hnsw_ef=breadth, acorn=everywhere, quantization=_COMPARED)
        return self._query(edge.Query.Nearest(vector.tolist(), using=DENSE), collection, labels, limit, params)

    def _hides(self, collection: int, labels: Labels) -> bool:
        """Whether so much is kept away from a reader that the graph has holes; estimated, in 0.05 ms."""
        wanted = self._readable(collection, labels)
        with _failing():
            seen = self._shard.count(edge.CountRequest(filter=wanted, exact=False))
            return seen < (1 - _HIDDEN_SHARE) * self._shard.count(edge.CountRequest(exact=False))

    def sparse(
        self, terms: WeightedTerms, collection: int, limit: int, seconds: float = math.inf, *, labels: Labels = None
    ) -> list[Hit]:
        """See `VectorStore`."""
        weights: dict[int, float] = {}
        for term, weight in terms:
            weights[_dimension(term)] = weights.get(_dimension(term), 0.0) + weight
        query = edge.Query.Nearest(edge.SparseVector(list(weights), list(weights.values())), using=SPARSE)
        # How rare a word is, is asked of the collection, not of all tenants together; where that is the same, it is known already.
        # Among what the reader may see it would have to be counted for each search (`docs/search.md`).
        same = self._whole and self._alone(collection)
        corpus = None if same else edge.SearchParams(idf=edge.IdfParams(corpus=_filter("collection", collection)))
        found = self._query(query, collection, labels, limit, corpus)
        return [hit for hit in found if hit.score > 0]

    def _readable(self, collection: int, labels: Labels) -> edge.Filter | None:
        """What a reader may find; None: everything. Each condition is looked up for each chunk that a search comes by."""
        marks = self._meta.marks(labels)
        wanted = [] if self._alone(collection) else [_is("collection", collection)]
        if marks is not None:
            wanted.append(edge.FieldCondition(key="labels", match=edge.MatchAny(marks)))
        return edge.Filter(must=[*wanted]) if wanted else None

    def _alone(self, collection: int) -> bool:
        """Whether there are chunks of no other collection."""
        return self._collections == {collection}

    def _query(self, query: edge.Query, collection: int, labels: Labels, limit: int, params: edge.SearchParams | None) -> list[Hit]:
        while True:
            before = self._alone(collection), self._meta.labelled
            wanted = self._readable(collection, labels)
            request = edge.QueryRequest(limit=limit, query=query, filter=wanted, params=params, with_payload=False)
            with _failing():
                found = [Hit(int(point.id), float(point.score)) for point in self._shard.query(request)]
            # Another collection and the first labels are noted before their chunks are written: then once more, with a filter.
            if before == (self._alone(collection), self._meta.labelled):
                return found

    def count(self, collection: int | None = None) -> int:
        """See `VectorStore`."""
        request = edge.CountRequest() if collection is None else edge.CountRequest(filter=_filter("collection", collection))
        with _failing():
            return int(self._shard.count(request))

    def flush(self, epoch: int, embedder: str) -> None:
        """See `VectorStore`."""
        with _failing():
            self._shard.flush()
        self._meta = self._meta.at(epoch, embedder)
        self._meta.write(self._folder)

    def unoptimised(self) -> int:
        """See `OptimisableStore`."""
        return self._meta.written - self._meta.optimised

    def draft(self, folder: Path) -> list[str]:
        """See `OptimisableStore`."""
        shard = self._folder / "shard"
        size = sum(path.stat().st_blocks * 512 for path in shard.rglob("*") if path.is_file())
        if shutil.disk_usage(self._folder).free < _ROOM_FACTOR * size:
            raise OSError(errno.ENOSPC, "too little room to optimise a copy of the index")
        folder.mkdir(mode=0o700)
        shutil.copytree(shard, folder / "shard")
        held = self.count()
        replace(self._meta, written=held, optimised=held).write(folder)
        # Isolated: what the environment says about imports is no matter of it.
        return [sys.executable, "-I", edge_optimise.__file__, str(os.getpid()), str(DIMENSIONS), str(held), str(folder / "shard")]

    def close(self) -> None:
        """See `VectorStore`."""
        with _failing():
            self._shard.close()


def _probe(path: str) -> None:
    command = [sys.executable, "-c", _PROBE, path, str(DIMENSIONS)]
    try:
        probe = subprocess.run(command, capture_output=True, timeout=_PROBE_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise IndexUnusable("the index does not open in time") from error
    if probe.returncode != 0:
        raise IndexUnusable(f"the index does not open: {probe.stderr.decode(errors='replace')[-300:]}")


def _breadth(chunks: int, parts: int) -> int:
    """Candidates kept in each part while its graph is walked, with `chunks` in `parts` of them."""
    if parts >= _SEVERAL:
        return _BREADTH_IN_SEVERAL
    return _GRAPH_BREADTH if chunks <= _LARGE * max(parts, 1) else _BREADTH_IN_LARGE


def _filter(key: str, value: int) -> edge.Filter:
    return edge.Filter(must=[_is(key, value)])


def _is(key: str, value: int) -> edge.FieldCondition:
    return edge.FieldCondition(key=key, match=edge.MatchValue(value))


def _dimension(term: str) -> int:
    return zlib.crc32(term.encode())


def _point(chunk: IndexedChunk) -> edge.Point:
    counts = Counter(_dimension(term) for term in chunk.terms)
    norm = BM25_K1 * (1 - BM25_B + BM25_B * len(chunk.terms) / MEAN_TERMS)
    values = [count * (BM25_K1 + 1) / (count + norm) for count in counts.values()]
    vectors: dict[str, list[float] | edge.SparseVector | list[list[float]]] = {DENSE: chunk.vector.tolist()}
    if counts:
        vectors[SPARSE] = edge.SparseVector(list(counts), values)
    payload = {"collection": chunk.collection, "version": chunk.version, "labels": document_marks(chunk.labels)}
    return edge.Point(chunk.id, vectors, payload)
