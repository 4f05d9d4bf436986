"""Versions for tests of the store of truth and the index beside it: real chunks, made-up vectors."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from services.retriever import truth_writes
from services.retriever.chunking import Chunk
from services.retriever.edge_store import EdgeStore
from services.retriever.exact_store import ExactStore
from services.retriever.index import DIMENSIONS, StoreKind
from services.retriever.index_keeper import IndexKeeper
from services.retriever.indexing_text import index_terms
from services.retriever.records import Committed, DocumentKey, IndexedChunk, NewVersion, Reader, Reserved
from services.retriever.truth import Truth

EMBEDDER = "e" * 64
READER = Reader("default")


def key(document: str, tenant: str = "default", collection: str = "default") -> DocumentKey:
    return DocumentKey(tenant, collection, document)


def vector_of(text: str) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """A direction that depends on the text alone."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
    row = np.random.default_rng(seed).normal(size=DIMENSIONS).astype(np.float32)
    return row / np.linalg.norm(row)


def version(
    document: DocumentKey,
    *texts: str,
    labels: Sequence[str] = (),
    quarantined: Sequence[int] = (),
    embedder: str = EMBEDDER,
) -> NewVersion:
    canonical = "\n\n".join(texts)
    chunks, at = [], 0
    for ordinal, text in enumerate(texts):
        size = len(text.encode())
        chunks.append(Chunk(f"uid{ordinal}", ordinal, at, at + size, ("Title", f"Heading {ordinal}"), text, len(text.split())))
        at += size + 2
    kept = [text for ordinal, text in enumerate(texts) if ordinal not in quarantined]
    return NewVersion(
        key=document,
        uid=hashlib.sha256(repr((document, texts, labels)).encode()).hexdigest()[:32],
        title="Title",
        topic="topic",
        announced_title="",
        media_type="text/plain",
        size_bytes=len(canonical.encode()),
        sha256=hashlib.sha256(canonical.encode()).hexdigest(),
        source_uri="file.txt",
        pipeline="test",
        labels=tuple(labels),
        canonical=canonical.encode(),
        chunks=chunks,
        quarantined=frozenset(quarantined),
        vectors=np.array([vector_of(text) for text in kept], dtype=np.float32).reshape(-1, DIMENSIONS),
        embedder=embedder,
    )


def indexed(new: NewVersion, reserved: Reserved) -> list[IndexedChunk]:
    return [
        IndexedChunk(
            reserved.first_chunk + chunk.ordinal,
            reserved.version,
            reserved.collection,
            index_terms(new.topic, chunk.title_path, chunk.text),
            vector_of(chunk.text),
            new.labels,
        )
        for chunk in new.chunks
        if chunk.ordinal not in new.quarantined
    ]


async def reserve(truth: Truth, new: NewVersion) -> Reserved:
    return await truth.write(lambda connection: truth_writes.reserve(connection, new.key, len(new.chunks)))


async def commit(truth: Truth, new: NewVersion, reserved: Reserved, keep: int = 2) -> Committed:
    return await truth.write(lambda connection: truth_writes.commit_all(connection, [(new, reserved)], keep)[0])


async def store(truth: Truth, new: NewVersion, keep: int = 2) -> Committed:
    """Into the truth alone."""
    return await commit(truth, new, await reserve(truth, new), keep)


async def publish(truth: Truth, index: IndexKeeper, new: NewVersion) -> Committed:
    """Into the truth and the index."""
    reserved = await reserve(truth, new)
    return await index.publish(reserved.version, indexed(new, reserved), lambda: commit(truth, new, reserved))


KINDS: dict[str, StoreKind] = {"edge": EdgeStore, "exact": ExactStore}


def keeper(truth: Truth, folder: Path, kind: str = "edge", fallback_chunks: int = 1000) -> IndexKeeper:
    return IndexKeeper(truth, folder / "index", kind, KINDS[kind], fallback_chunks)
