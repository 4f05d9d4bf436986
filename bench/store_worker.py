"""One store in a process of its own: fills it, asks it, says what that took. Started by `bench.stores`, by the Python that has it.

    python -m bench.store_worker KIND --data FOLDER --folder FOLDER --chunks N [--server JSON]

Knows the stores' names; what each does stands in `store_kinds` (ours) and `store_peers` (others).
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

OURS = ("edge", "edge-labels", "exact", "weaviate")
"""`edge-labels`: the reader may see what `seen` says alone."""
PEERS = ("lancedb", "faiss")
BATCH = 256
LEG = 40
"""Hits of each leg: ten wanted, four times as many fetched, as the retriever does."""
TOP = 10
DENSE_WEIGHT = 0.2
_OF_A_DOCUMENT = 10
"""Chunks of one version. With one version for all, an index that links the chunks of each is another one."""
_SEEN = (0, 4, 5, 8)
"""Of ten documents, those that a reader with other labels may see: of 50,000 chunks 20,000."""
_COMPARED = 200
_WARM_SECONDS = 1.0
_ASK_SECONDS = 6.0
"""Longest time that the questions of one leg may take; a store that is slower is asked fewer."""


def document_of(chunk: int) -> int:
    """The version that a chunk is of."""
    return chunk // _OF_A_DOCUMENT


def seen(chunk: int) -> bool:
    """Whether the reader of `edge-labels` may see a chunk."""
    return document_of(chunk) % 10 in _SEEN


class Asked(Protocol):
    """A store that is filled and asked. Ids are numbers from 1."""

    def fill(self, first: int, vectors: NDArray[np.float32], terms: Sequence[Sequence[str]]) -> None:
        """Adds chunks `first`, `first + 1`, ..."""
        ...

    def finish(self) -> None:
        """After the last one: makes everything durable, and builds what searches need."""
        ...

    def dense(self, vector: NDArray[np.float32], limit: int) -> list[int]:
        """Ids by dot product, best first."""
        ...

    def sparse(self, terms: Sequence[str], limit: int) -> list[int] | None:
        """Ids by BM25, best first; None where the store has no words."""
        ...

    def hybrid(self, vector: NDArray[np.float32], terms: Sequence[str]) -> list[int] | None:
        """The ten best of both legs; None where the store has one leg."""
        ...


def fused(dense: Sequence[tuple[int, float]], sparse: Sequence[tuple[int, float]]) -> list[int]:
    """Relative scores, weighted and added, as `services.retriever.fusion` does."""
    found: dict[int, float] = {}
    for weight, leg in ((DENSE_WEIGHT, dense), (1 - DENSE_WEIGHT, sparse)):
        if not leg:
            continue
        best, worst = leg[0][1], leg[-1][1]
        for one, score in leg:
            found[one] = found.get(one, 0.0) + weight * ((score - worst) / (best - worst) if best > worst else 1.0)
    return sorted(found, key=lambda one: -found[one])[:TOP]


def _milliseconds(ask: Callable[[int], object], count: int) -> dict[str, float] | None:
    if ask(0) is None:
        return None
    until = time.perf_counter() + _WARM_SECONDS
    for number in range(count):
        ask(number)
        if time.perf_counter() > until:
            break
    took = []
    cpu, until = time.process_time(), time.perf_counter() + _ASK_SECONDS
    for number in range(count):
        began = time.perf_counter()
        ask(number)
        took.append((time.perf_counter() - began) * 1_000)
        if time.perf_counter() > until:
            break
    took.sort()
    return {
        "p50_ms": took[int(0.5 * (len(took) - 1))],
        "p95_ms": took[int(0.95 * (len(took) - 1))],
        "cpu_ms": (time.process_time() - cpu) / len(took) * 1_000,
        "n": len(took),
    }


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _exact(vectors: NDArray[np.float32], questions: NDArray[np.float32], hidden: NDArray[np.bool_]) -> list[set[int]]:
    found = []
    for question in questions:
        scores = np.where(hidden, -np.inf, vectors @ question)
        found.append({int(at) + 1 for at in np.argpartition(-scores, TOP)[:TOP]})
    return found


def measure(kind: str, data: Path, folder: Path, chunks: int, server: str) -> dict[str, object]:
    """Fills a new store in `folder` and asks it."""
    vectors = np.load(data / "vectors.npy", mmap_mode="r")[:chunks]
    terms = (data / "terms.txt").read_text(encoding="utf-8").split("\n")[:chunks]
    questions = np.load(data / "question_vectors.npy")
    words = [line.split() for line in (data / "question_terms.txt").read_text(encoding="utf-8").split("\n")]
    make = import_module("bench.store_kinds" if kind in OURS else "bench.store_peers").KINDS[kind]
    before = _resident_mib()
    cpu, began = time.process_time(), time.perf_counter()
    store: Asked = make(folder, server)
    for at in range(0, len(vectors), BATCH):
        store.fill(at + 1, np.array(vectors[at : at + BATCH]), [line.split() for line in terms[at : at + BATCH]])
    filled = time.perf_counter() - began
    store.finish()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    del terms
    gc.collect()
    count = len(questions)
    figures: dict[str, object] = {
        "chunks": len(vectors),
        "fill_s": filled,
        "seconds": seconds,
        "chunks_per_second": len(vectors) / seconds,
        "cpu_ms_per_chunk": cpu / len(vectors) * 1_000,
        "hybrid": _milliseconds(lambda number: store.hybrid(questions[number], words[number]), count),
        "dense": _milliseconds(lambda number: store.dense(questions[number], LEG), count),
        "sparse": _milliseconds(lambda number: store.sparse(words[number], LEG), count),
    }
    figures["memory_mib"] = _resident_mib() - before
    figures["disk_mib"] = sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file()) / 2**20
    hidden = np.array([kind == "edge-labels" and not seen(at) for at in range(1, len(vectors) + 1)])
    right = _exact(np.array(vectors), questions[:_COMPARED], hidden)
    compared = zip(questions[:_COMPARED], right, strict=True)
    hits = [len(set(store.dense(question, LEG)[:TOP]) & wanted) for question, wanted in compared]
    figures["dense_recall_at_10"] = sum(hits) / (TOP * len(hits))
    return figures


def main() -> None:
    """Measure and print one line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=(*OURS, *PEERS))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--chunks", type=int, required=True)
    parser.add_argument("--server", default="")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    print(json.dumps(measure(options.kind, options.data, options.folder, options.chunks, options.server)), flush=True)
    # What libraries of others do at the end of a process is no matter of these figures.
    os._exit(0)


if __name__ == "__main__":
    main()
