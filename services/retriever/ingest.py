"""One document from its bytes to its place in the stores: parse, measure, cut, screen, embed, publish. All of it or nothing.

Knows no stream and no gRPC server.
"""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from services.mesh import telemetry
from services.mesh.errors import MeshError
from services.retriever import chunking, truth_reads, truth_writes
from services.retriever.canonical import CanonicalText, DocumentRejected, one_line
from services.retriever.chunking import CHUNKER_VERSION, Chunk, ChunkSizes
from services.retriever.finishing import Finishing
from services.retriever.index_keeper import IndexKeeper
from services.retriever.indexing_text import embedded_text, index_terms
from services.retriever.models import Models, fingerprint
from services.retriever.parser_client import ParserClient
from services.retriever.parsing import PARSER_VERSION
from services.retriever.records import DocumentKey, DocumentRecord, IndexedChunk, NewVersion, Reader, Reserved
from services.retriever.screening import Screening
from services.retriever.terms import TERMS_VERSION
from services.retriever.truth import Truth

_MAX_SECONDS = 9_000_000_000


@dataclass(frozen=True, slots=True)
class Announced:
    """What `begin` says about a document."""

    key: DocumentKey
    media_type: str
    size_bytes: int
    sha256: str
    title: str
    source_uri: str
    labels: tuple[str, ...]
    source: str = ""
    """Name of the source inside the collection; empty without one."""
    language: str = ""
    source_time: int | None = None
    """When it was published, in nanoseconds since 1970."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A document that is visible now."""

    version_name: str
    chunk_count: int
    quarantined_count: int
    warnings: tuple[str, ...] = ()
    """What of it could not be read."""
    same_text: bool = False
    """Whether the version before says exactly the same, so that it stayed."""


class Ingest:
    """Stores documents, a few at a time.

    Args:
        keep: former versions of a document that stay readable.
        concurrent: documents that are worked on at a time.
    """

    def __init__(
        self,
        truth: Truth,
        index: IndexKeeper,
        models: Models,
        screening: Screening,
        parser: ParserClient,
        finishing: Finishing,
        *,
        sizes: ChunkSizes,
        keep: int,
        concurrent: int,
    ) -> None:
        self._truth = truth
        self._index = index
        self._models = models
        self._screening = screening
        self._parser = parser
        self._sizes = sizes
        self._keep = keep
        self._places = asyncio.Semaphore(concurrent)
        self._finishing = finishing
        self.pipeline = f"parser-{PARSER_VERSION}/chunker-{CHUNKER_VERSION}/terms-{TERMS_VERSION}/{sizes.target}-{sizes.maximum}"
        """Moves when the same bytes would be cut otherwise; a document of another pipeline is imported again."""

    async def store(self, announced: Announced, data: bytes) -> Stored:
        """Makes `data` the current version of its document.

        Raises:
            DocumentRejected: for what the document is.
            MeshError: for what the mesh cannot do now: MODEL_UNAVAILABLE, SERVICE_UNAVAILABLE, STORE_UNAVAILABLE, EMBEDDER_CHANGED.
        """
        async with self._places:
            with telemetry.span("retriever.ingest"):
                return await self._store(announced, data)

    async def store_parsed(self, announced: Announced, parsed: CanonicalText) -> Stored:
        """As `store`, for a document that was parsed already. One that says what its current version says stays as it is.

        Raises:
            DocumentRejected, MeshError: as `store`.
        """
        async with self._places:
            with telemetry.span("retriever.ingest"):
                same = await self._same_text(announced, parsed)
                return same if same is not None else await self._store_parsed(announced, parsed)

    async def parse(self, data: bytes, media_type: str, url: str = "") -> CanonicalText:
        """The canonical text of a document, for `store_parsed`.

        Raises:
            DocumentRejected: for what the document is.
        """
        return await self._parser.parse(data, media_type, url)

    async def _same_text(self, announced: Announced, parsed: CanonicalText) -> Stored | None:
        title = _title(announced, parsed)

        def same(connection: sqlite3.Connection) -> DocumentRecord | None:
            found = truth_reads.find_document(connection, Reader(announced.key.tenant, announced.labels), announced.key)
            if found is None or (found.title, found.pipeline, found.source, found.labels, found.source_uri) != (
                title,
                self.pipeline,
                announced.source,
                announced.labels,
                announced.source_uri,
            ):
                return None
            return found if truth_reads.canonical_text(connection, found.version_uid) == parsed.text else None

        found = await self._truth.read(same)
        if found is None:
            return None
        await self._truth.write(
            lambda connection: truth_writes.touch(connection, found.version_uid, announced.size_bytes, announced.sha256)
        )
        return Stored(found.version_name, found.chunk_count, found.quarantined_count, parsed.warnings, same_text=True)

    async def _store(self, announced: Announced, data: bytes) -> Stored:
        return await self._store_parsed(announced, await self._parser.parse(data, announced.media_type))

    async def _store_parsed(self, announced: Announced, parsed: CanonicalText) -> Stored:
        title = _title(announced, parsed)
        embedder = fingerprint(await self._models.identify())
        await self._check_embedder(embedder)
        chunks = await self._cut(parsed, title)
        held = await self._screening.held_back(announced.key.name, chunks)
        if len(held) == len(chunks):
            raise DocumentRejected(
                "DOCUMENT_QUARANTINED", "the guard holds every passage back: they carry instructions to the assistant"
            )
        kept = [chunk for chunk in chunks if chunk.ordinal not in held]
        vectors = await self._models.embed_passages([embedded_text(chunk.title_path, chunk.text) for chunk in kept])
        new = NewVersion(
            key=announced.key,
            uid=secrets.token_hex(16),
            title=title,
            topic=parsed.topic,
            announced_title=announced.title,
            media_type=announced.media_type,
            size_bytes=announced.size_bytes,
            sha256=announced.sha256,
            source_uri=announced.source_uri,
            pipeline=self.pipeline,
            labels=announced.labels,
            canonical=parsed.text,
            chunks=chunks,
            quarantined=held,
            vectors=vectors,
            embedder=embedder,
            source=announced.source,
            language=announced.language or parsed.language,
            source_time=announced.source_time if announced.source_time is not None else _nanoseconds(parsed.published),
            minhash=parsed.minhash,
        )
        # A caller that goes away must not tear this apart: what has begun is finished, acked or not.
        stored = await self._finishing.run(self._publish(new))
        return replace(stored, warnings=parsed.warnings)

    async def _check_embedder(self, served: str) -> None:
        known = await self._truth.read(lambda connection: truth_reads.meta(connection, "embedder"))
        if known and known != served:
            raise truth_writes.embedder_changed(known, served)
        if not self._models.tokenizers_agree:
            raise MeshError(
                "MODEL_UNAVAILABLE",
                "tokenizer and embedder come from different builds: export both again",
                metadata={"model": "tokenizer"},
            )

    async def _cut(self, parsed: CanonicalText, title: str) -> list[Chunk]:
        planned, texts = await asyncio.to_thread(_plan, parsed, title)
        offsets = await self._models.tokenize(texts)
        return await asyncio.to_thread(chunking.pack, parsed, planned, offsets, self._sizes)

    async def _publish(self, new: NewVersion) -> Stored:
        reserved = await self._truth.write(lambda connection: truth_writes.reserve(connection, new.key, len(new.chunks)))
        indexed = await asyncio.to_thread(_indexed, new, reserved)
        await self._index.publish(
            reserved.version,
            indexed,
            lambda: self._truth.write(lambda connection: truth_writes.commit(connection, new, reserved, self._keep)),
        )
        return Stored(f"{new.key.name}/versions/{new.uid}", len(new.chunks), len(new.quarantined))


def _title(announced: Announced, parsed: CanonicalText) -> str:
    """As its owner says, as it says itself, or the name of its file."""
    return one_line(announced.title) or parsed.title or one_line(PurePosixPath(announced.source_uri).stem) or announced.key.document


def _nanoseconds(published: str) -> int | None:
    """A time of ISO 8601; one without a zone is taken for UTC."""
    if not published:
        return None
    found = datetime.fromisoformat(published)
    found = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    # Timestamps of protobuf go from year 1 to 9999; what is outside of SQLite's integers is nobody's date of publication.
    seconds = int(found.timestamp())
    return seconds * 1_000_000_000 if abs(seconds) < _MAX_SECONDS else None


def _plan(parsed: CanonicalText, title: str) -> tuple[list[chunking.Section], list[str]]:
    planned = chunking.sections(parsed, title)
    return planned, [parsed.slice(start, end) for start, end in chunking.spans(planned)]


def _indexed(new: NewVersion, reserved: Reserved) -> list[IndexedChunk]:
    ids = range(reserved.first_chunk, reserved.first_chunk + len(new.chunks))
    kept = [(chunk_id, chunk) for chunk_id, chunk in zip(ids, new.chunks, strict=True) if chunk.ordinal not in new.quarantined]
    return [
        IndexedChunk(chunk_id, reserved.version, reserved.collection, index_terms(new.topic, chunk.title_path, chunk.text), vector)
        for (chunk_id, chunk), vector in zip(kept, _rows(new.vectors), strict=True)
    ]


def _rows(vectors: NDArray[np.float32]) -> Sequence[NDArray[np.float32]]:
    return list(vectors)
