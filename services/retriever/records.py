"""What the store of truth takes and gives: plain values without SQL. Knows neither gRPC nor any index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.retriever.chunking import Chunk

Vector = NDArray[np.float32]
"""(dimensions,), of length one, or all zero."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Whose rights count: documents of the tenant whose labels are none, or one of these."""

    tenant: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DocumentKey:
    """A document inside a tenant."""

    tenant: str
    collection: str
    document: str

    @classmethod
    def parse(cls, tenant: str, name: str) -> DocumentKey:
        """From `collections/{c}/documents/{d}`, whose form was validated."""
        _, collection, _, document = name.split("/")
        return cls(tenant, collection, document)

    @property
    def name(self) -> str:
        """`collections/{c}/documents/{d}`."""
        return f"collections/{self.collection}/documents/{self.document}"

    def beside(self, document: str) -> str:
        """The name of another document of the collection; empty for none."""
        return f"collections/{self.collection}/documents/{document}" if document else ""


@dataclass(frozen=True, slots=True)
class DocumentRecord:
    """A document with its current version."""

    key: DocumentKey
    version_uid: str
    title: str
    announced_title: str
    media_type: str
    size_bytes: int
    sha256: str
    source_uri: str
    pipeline: str
    labels: tuple[str, ...]
    chunk_count: int
    quarantined_count: int
    create_time: int
    """Nanoseconds since 1970."""
    update_time: int
    source: str = ""
    """Name of the source inside the collection; empty without one."""
    language: str = ""
    source_time: int | None = None
    near_duplicate_of: str = ""
    """Name, inside the collection, of another document that says nearly the same and that the reader may read."""

    @property
    def version_name(self) -> str:
        """`collections/{c}/documents/{d}/versions/{v}`."""
        return f"{self.key.name}/versions/{self.version_uid}"


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A version that is about to become current."""

    key: DocumentKey
    uid: str
    title: str
    topic: str
    announced_title: str
    media_type: str
    size_bytes: int
    sha256: str
    source_uri: str
    pipeline: str
    labels: tuple[str, ...]
    canonical: bytes
    chunks: Sequence[Chunk]
    quarantined: frozenset[int]
    """Ordinals of the chunks that the guard holds back."""
    vectors: NDArray[np.float32]
    """(chunks that are not quarantined, dimensions), in the order of the chunks."""
    embedder: str
    """Fingerprint of the embedder that made them."""
    source: str = ""
    language: str = ""
    source_time: int | None = None
    minhash: str = ""


@dataclass(frozen=True, slots=True)
class Reserved:
    """Ids that a version got before anything of it is stored."""

    version: int
    first_chunk: int
    collection: int


@dataclass(frozen=True, slots=True)
class Committed:
    """What a change of the store of truth did."""

    epoch: int
    stale: tuple[int, ...]
    """Versions that the index need not hold any more."""
    chunk_count: int
    announced: tuple[int, ...] = ()
    """Rows of the outbox that name it."""


@dataclass(frozen=True, slots=True)
class Followed:
    """How far an index has followed the store of truth, on disk."""

    position: int
    """Last row of the outbox."""
    epoch: int


@dataclass(frozen=True, slots=True)
class IndexedChunk:
    """What an index gets to know of a chunk."""

    id: int
    version: int
    collection: int
    terms: tuple[str, ...]
    vector: Vector
    labels: tuple[str, ...] = ()
    """Access labels of its document; none: everybody of the tenant may read it."""


@dataclass(frozen=True, slots=True)
class FoundChunk:
    """A chunk that is current and readable."""

    id: int
    uid: str
    document_id: int
    key: DocumentKey
    version_uid: str
    version_time: int
    title_path: tuple[str, ...]
    text: str
    start: int
    end: int
    source_uri: str
    cluster: int = 0
    """Number that the documents share that say nearly the same; 0 for one that stands alone."""


@dataclass(frozen=True, slots=True)
class PassageRecord:
    """A chunk and its neighbours as one stretch of the canonical text."""

    version_name: str
    title_path: tuple[str, ...]
    start: int
    end: int
    text: str
    chunk_start: int
    chunk_end: int
    previous_uid: str
    next_uid: str
    source_uri: str
