"""Builds the graphs of an edge index, as a program of its own: `edge_optimise.py PARENT DIMENSIONS CHUNKS SHARD`.

qdrant-edge holds the GIL while it builds, a minute at 50,000 chunks: no process that answers searches may do that. Ends with its
parent, however that ends; runs isolated (`python -I`), so that it imports nothing of ours.

What is there stands in several parts (qdrant's segments) with a graph each: new chunks become a part of their own, small parts are
merged to larger ones. So what a build takes, in time and memory, does not grow with the index until that is large. Everything of a
part that was built is in files that are mapped. Graphs are built and walked with vectors of eight bits, in half of the time; what
was found is compared by the vectors themselves.
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
_FLOAT_BYTES = 4
_GRAPH = edge.HnswIndexConfig(m=16, ef_construct=200, full_scan_threshold=22_000, max_indexing_threads=1)
"""Where less than 22,000 KB of vectors, as many chunks, of a part may be found, they are scanned, not walked to: with vectors of
eight bits that takes less from there on than a walk among hidden ones, and finds all. One thread: searches go on."""
_PART_CHUNKS = 50_000
"""Chunks of the largest part: to build it takes 15 s of the processor and 110 MiB."""
_LARGE_PARTS = 3
"""In a large index parts are larger instead of more, so that a search does not have to walk through many graphs."""
_SMALL_PARTS = 2
"""Parts beside the large ones, of what came lately."""


def part_chunks(held: int) -> int:
    """Chunks of the largest part of an index that holds so many."""
    return max(_PART_CHUNKS, held // _LARGE_PARTS)


def config(dimensions: int, *, graphs_for: int = 0) -> edge.EdgeConfig:
    """How an index is laid out.

    Args:
        graphs_for: how many chunks it holds, where `optimize` is to make graphs of them; 0: none is configured.
    """
    mapped = edge.Memory.Cached
    return edge.EdgeConfig(
        vectors={
            DENSE: edge.EdgeVectorParams(
                size=dimensions,
                distance=edge.Distance.Dot,
                quantization_config=edge.ScalarQuantizationConfig(edge.ScalarType.Int8, memory=mapped) if graphs_for else None,
            )
        },
        sparse_vectors={SPARSE: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf, memory=mapped)},
        hnsw_config=_GRAPH if graphs_for else None,
        optimizers=_parts(dimensions, graphs_for) if graphs_for else None,
        id_tracker_memory=mapped,
        # Idle threads of more look for work in turn, which takes 0.6 ms of a core a search, and both legs are no sooner there.
        max_search_threads=1,
    )


def _parts(dimensions: int, held: int) -> edge.EdgeOptimizersConfig:
    """Graphs for everything that is there, however little, and nothing of what was deleted: who starts this knows when it pays."""
    most = part_chunks(held)
    return edge.EdgeOptimizersConfig(
        # The one for new chunks counts.
        default_segment_number=held // most + _SMALL_PARTS + 1,
        max_segment_size=most * dimensions * _FLOAT_BYTES // 1024,
        indexing_threshold=1,
        deleted_threshold=1e-6,
        vacuum_min_vector_number=1,
    )


def fields() -> list[edge.UpdateOperation]:
    """What makes the conditions of a search quick, in mapped files as well; where they are so already, nothing is done."""
    mapped, make = edge.Memory.Cached, edge.UpdateOperation.create_field_index
    return [
        make("collection", edge.IntegerIndexParams(lookup=True, range=False, memory=mapped)),
        # Nothing is searched by version: links between the chunks of each would double the time that a graph takes.
        make("version", edge.IntegerIndexParams(lookup=True, range=False, enable_hnsw=False, memory=mapped)),
        make("labels", edge.KeywordIndexParams(memory=mapped)),
    ]


def main() -> None:
    """Optimises a shard that no other process has open."""
    parent, dimensions, held, shard_path = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    # The GIL is held for minutes: only the kernel can end this in time.
    if ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0 or os.getppid() != parent:
        sys.exit("the parent is gone")
    os.nice(_NICENESS)
    shard = edge.EdgeShard.load(shard_path, config(dimensions, graphs_for=max(held, 1)))
    for field in fields():  # of an index that an earlier release made, in memory
        shard.update(field)
    shard.optimize()
    shard.flush()
    shard.close()


if __name__ == "__main__":
    main()
