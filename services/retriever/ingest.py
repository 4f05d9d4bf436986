"""One document from its bytes to its place in the stores: parse, measure, cut, screen, embed, publish. All of it or nothing.

Many documents are under way at a time, so that what each asks of the models and of the stores goes together. Knows no stream and no
gRPC server.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import PurePosixPath
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from services.mesh import telemetry
from services.mesh.errors import MeshError
from services.retriever import chunking, truth_reads, truth_writes
from services.retriever.canonical import CanonicalText, DocumentRejected, one_line
from services.retriever.chunking import CHUNKER_VERSION, Chunk, ChunkSizes, Offsets
from services.retriever.disk_room import DiskRoom
from services.retriever.giving_way import GivingWay
from services.retriever.index import DIMENSIONS
from services.retriever.indexing_text import embedded_text
from services.retriever.joining import Joined
from services.retriever.models import Models, SignedVector
from services.retriever.parser_client import ParserClient
from services.retriever.parsing import PARSER_VERSION
from services.retriever.places import Place, Places
from services.retriever.publishing import Publishing
from services.retriever.records import DocumentKey, DocumentRecord, NewVersion, Reader
from services.retriever.screening import Screening
from services.retriever.terms import TERMS_VERSION
from services.retriever.truth import Connection, Truth

T = TypeVar("T")

_TOKENIZE_TEXTS = 1024
_TOKENIZE_CHARS = 32 * 1024
_EMBED_CHARS = 512 * 1024
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
    near_duplicate_of: str = ""
    """Name, inside the collection, of another document that says nearly the same and that its reader may read."""


class Ingest:
    """Stores documents.

    Args:
        way: whom each step waits for.
        embed_batch: passages in one inference of the embedder.
        concurrent: documents that are worked on at a time.
        concurrent_bytes: bytes that they may have together; a document that alone has more is worked on alone.
    """

    def __init__(
        self,
        truth: Truth,
        publishing: Publishing,
        models: Models,
        screening: Screening,
        parser: ParserClient,
        way: GivingWay,
        room: DiskRoom,
        *,
        sizes: ChunkSizes,
        embed_batch: int,
        concurrent: int,
        concurrent_bytes: int,
    ) -> None:
        self._truth = truth
        self._publishing = publishing
        self._models = models
        self._screening = screening
        self._parser = parser
        self._way = way
        self._room = room
        self._parsing = asyncio.Lock()
        self._cutting = asyncio.Lock()
        self._sizes = sizes
        self._places = Places(concurrent, concurrent_bytes)
        self._tokenize: Joined[Offsets] = Joined(
            self._in_turn(models.tokenize), most=_TOKENIZE_TEXTS, most_chars=_TOKENIZE_CHARS, portion=way.portion
        )
        self._embed: Joined[SignedVector] = Joined(
            self._in_turn(models.embed_signed), most=embed_batch, most_chars=_EMBED_CHARS, portion=way.portion
        )
        self.pipeline = f"parser-{PARSER_VERSION}/chunker-{CHUNKER_VERSION}/terms-{TERMS_VERSION}/{sizes.target}-{sizes.maximum}"
        """Moves when the same bytes would be cut otherwise; a document of another pipeline is imported again."""

    async def store(self, announced: Announced, data: Callable[[], bytes], reader: Reader, turn: Place | None = None) -> Stored:
        """Makes a document current.

        Args:
            data: reads its bytes, once there is room for them; on a thread.
            reader: who is told of near duplicates.
            turn: documents of one row of turns become current in the order of the turns.

        Raises:
            DocumentRejected: for what the document is.
            MeshError: for what the mesh cannot do now: MODEL_UNAVAILABLE, SERVICE_UNAVAILABLE, STORE_UNAVAILABLE, EMBEDDER_CHANGED.
        """
        async with self._working(announced.size_bytes):
            parsed = await self.parse(await asyncio.to_thread(data), announced.media_type)
            return await self._store_parsed(announced, parsed, reader, turn)

    async def store_parsed(self, announced: Announced, parsed: CanonicalText) -> Stored:
        """As `store`, for a document that was parsed already. One that says what its current version says stays as it is.

        Raises:
            DocumentRejected, MeshError: as `store`.
        """
        async with self._working(announced.size_bytes):
            same = await self._same_text(announced, parsed)
            if same is not None:
                return same
            return await self._store_parsed(announced, parsed, Reader(announced.key.tenant, announced.labels), None)

    @asynccontextmanager
    async def _working(self, size_bytes: int) -> AsyncIterator[None]:
        async with self._places.taken(size_bytes):
            self._room.require()
            with telemetry.span("retriever.ingest"):
                yield

    async def parse(self, data: bytes, media_type: str, url: str = "") -> CanonicalText:
        """The canonical text of a document, for `store_parsed`.

        Raises:
            DocumentRejected: for what the document is.
        """
        async with self._parsing:
            await self._way.turn()
            return await self._parser.parse(data, media_type, url)

    async def _same_text(self, announced: Announced, parsed: CanonicalText) -> Stored | None:
        title = _title(announced, parsed)

        def same(connection: Connection) -> DocumentRecord | None:
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

    async def _store_parsed(self, announced: Announced, parsed: CanonicalText, reader: Reader, turn: Place | None) -> Stored:
        title = _title(announced, parsed)
        chunks = await self._cut(parsed, title)
        held = await self._screening.held_back(announced.key.name, chunks)
        if len(held) == len(chunks):
            raise DocumentRejected(
                "DOCUMENT_QUARANTINED", "the guard holds every passage back: they carry instructions to the assistant"
            )
        vectors, embedder = await self._embedded([chunk for chunk in chunks if chunk.ordinal not in held])
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
        if turn is not None:
            await turn.come()
        publishing = self._publishing.publish(new, reader)
        if turn is not None:
            turn.leave()
        # A caller that goes away must not tear this apart: what has begun is finished, acked or not.
        published = await asyncio.shield(publishing)
        return Stored(
            f"{new.key.name}/versions/{new.uid}",
            len(new.chunks),
            len(new.quarantined),
            parsed.warnings,
            near_duplicate_of=published.near_duplicate_of,
        )

    async def _embedded(self, chunks: list[Chunk]) -> tuple[NDArray[np.float32], str]:
        """Vectors of chunks, (len(chunks), DIMENSIONS), and the fingerprint of the one embedder that made them."""
        found = await self._embed([embedded_text(chunk.title_path, chunk.text) for chunk in chunks])
        if not self._models.tokenizers_agree:
            raise MeshError(
                "MODEL_UNAVAILABLE",
                "tokenizer and embedder come from different builds: export both again",
                metadata={"model": "tokenizer"},
            )
        embedders = {embedder for _, embedder in found}
        if len(embedders) > 1:
            raise MeshError("MODEL_UNAVAILABLE", "the embedder was replaced in the middle of the document: import it again")
        return np.concatenate([row for row, _ in found]).reshape(-1, DIMENSIONS), embedders.pop()

    async def _cut(self, parsed: CanonicalText, title: str) -> list[Chunk]:
        planned, texts = await self._cut_in_turn(partial(_plan, parsed, title))
        offsets = await self._tokenize(texts)
        return await self._cut_in_turn(partial(chunking.pack, parsed, planned, offsets, self._sizes))

    async def _cut_in_turn(self, work: Callable[[], T]) -> T:
        # One at a time: two at once would only take the interpreter from each other, and from searches.
        async with self._cutting:
            await self._way.turn()
            return await asyncio.to_thread(work)

    def _in_turn(self, ask: Callable[[list[str]], Awaitable[Sequence[T]]]) -> Callable[[list[str]], Awaitable[Sequence[T]]]:
        async def asked(texts: list[str]) -> Sequence[T]:
            await self._way.turn()
            return await ask(texts)

        return asked


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
