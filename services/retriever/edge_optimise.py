"""Builds the graph of an edge index, as a program of its own: `edge_optimise.py PARENT DIMENSIONS SHARD`.

qdrant-edge holds the GIL while it builds, a minute at 50,000 chunks: no process that answers searches may do that. Ends with its
parent, however that ends; runs isolated (`python -I`), so that it imports nothing of ours.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

import qdrant_edge as edge

DENSE = "dense"
SPARSE = "bm25"
_NICENESS = 15
_PR_SET_PDEATHSIG = 1
_GRAPH = edge.HnswIndexConfig(m=16, ef_construct=200, full_scan_threshold=10_000, max_indexing_threads=1)
"""Collections of less than 10,000 KB of vectors, as many chunks, are scanned also beside the graph. One thread: searches go on."""
_WHOLE = edge.EdgeOptimizersConfig(
    default_segment_number=1, indexing_threshold=1, deleted_threshold=1e-6, vacuum_min_vector_number=1
)
"""One graph for everything that is there, however little, and nothing of what was deleted: who starts this knows when it pays."""


def config(dimensions: int, *, graph: bool) -> edge.EdgeConfig:
    """How an index is laid out.

    Args:
        graph: whether `optimize` makes a graph of all vectors; without it none is configured.
    """
    return edge.EdgeConfig(
        vectors={DENSE: edge.EdgeVectorParams(size=dimensions, distance=edge.Distance.Dot)},
        sparse_vectors={SPARSE: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)},
        hnsw_config=_GRAPH if graph else None,
        optimizers=_WHOLE if graph else None,
    )


def main() -> None:
    """Optimises a shard that no other process has open."""
    parent, dimensions, shard_path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    # The GIL is held for minutes: only the kernel can end this in time.
    if ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0 or os.getppid() != parent:
        sys.exit("the parent is gone")
    os.nice(_NICENESS)
    shard = edge.EdgeShard.load(shard_path, config(dimensions, graph=True))
    shard.optimize()
    shard.flush()
    shard.close()


if __name__ == "__main__":
    main()
