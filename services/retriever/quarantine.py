"""Passages that are held back: by the rules of now, when a search finds them; what their owner sees of them; their release.

Held back means: stored, in no index, in no answer. Knows no gRPC server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import orjson

from services.mesh import context, telemetry
from services.mesh.errors import MeshError
from services.mesh.log import get_logger
from services.retriever import truth_reads, truth_writes
from services.retriever.finishing import Finishing
from services.retriever.index_keeper import IndexKeeper
from services.retriever.indexing_text import embedded_text
from services.retriever.models import Models, fingerprint
from services.retriever.quarantine_book import Held, QuarantineBook, digest_of
from services.retriever.records import Committed, DocumentKey, IndexedChunk, Reader
from services.retriever.results import Result
from services.retriever.screening import Passage, Ranges, Screening
from services.retriever.truth import Connection, Truth

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class HeldChunk:
    """A stored chunk that is held back."""

    id: int
    version: int
    title_path: tuple[str, ...]
    text: str

    @property
    def digest(self) -> bytes:
        """By what it is known."""
        return digest_of(self.title_path, self.text)


@dataclass(frozen=True, slots=True)
class QuarantinedPassage:
    """A passage as its owner sees it."""

    note: Held
    title_path: tuple[str, ...]
    text: str
    stored: bool
    """Whether its document is stored, so that a release lets it be found at once. Else it must be imported again."""


class Quarantine:
    """Holds passages back and lets them go."""

    def __init__(
        self, truth: Truth, index: IndexKeeper, models: Models, screening: Screening, book: QuarantineBook, finishing: Finishing
    ) -> None:
        self._truth = truth
        self._index = index
        self._models = models
        self._screening = screening
        self._book = book
        self._finishing = finishing

    async def admitted(self, reader: Reader, collection: str, results: Sequence[Result]) -> list[Result]:
        """Those of `results` that may be handed out. One that the guard refuses now is held back for good.

        Raises:
            MeshError: the guard does not answer.
        """
        if not results:
            return []
        with telemetry.span("retriever.screening") as span:
            passages = [_passage(result) for result in results]
            screened = await self._screening.at_use(reader.tenant, f"collections/{collection}", passages)
            held = screened.held
            span.set_attribute("ragmesh.guard.blocked", len(held))
        if held:
            chunks = [results[place].chunk.id for place in sorted(held)]
            log.warning("passages.quarantined", count=len(chunks), chunks=[passages[place].name for place in sorted(held)])
            await self._finishing.run(self._hold(chunks))
        return [_marked(result, screened.quoted.get(place, ())) for place, result in enumerate(results) if place not in held]

    async def _hold(self, chunks: Sequence[int]) -> None:
        versions = await self._truth.read(lambda connection: _versions(connection, chunks))
        for version in versions:
            await self._exchange(version, lambda connection: _set_held(connection, chunks, True))

    async def listing(self, reader: Reader, collection: str, after: tuple[str, bytes], limit: int) -> list[QuarantinedPassage]:
        """What is held back of `collections/{c}`, in the order of documents; only of documents that the reader may read.

        Notes about what is not held back any more are dropped on the way.
        """
        found: list[QuarantinedPassage] = []
        while len(found) < limit:
            notes = await self._book.notes(reader.tenant, collection, after, limit)
            if not notes:
                break
            after = (notes[-1].document, notes[-1].digest)
            shown, stale = await self._truth.read(partial(_shown, reader=reader, notes=notes))
            found += shown
            await self._book.forget(reader.tenant, stale)
        return found[:limit]

    async def release(self, reader: Reader, key: DocumentKey, digest: bytes) -> bool:
        """Lets a passage be found from now on, and whenever its document is imported again.

        Returns:
            Whether it can be found now; else its document must be imported again.

        Raises:
            MeshError: DOCUMENT_NOT_FOUND where no such passage is held back; MODEL_UNAVAILABLE, STORE_UNAVAILABLE.
        """

        def held(connection: Connection) -> list[HeldChunk]:
            if truth_reads.document_exists(connection, key) and truth_reads.find_document(connection, reader, key) is None:
                raise truth_writes.document_not_found(key)
            return [chunk for chunk in _held_chunks(connection, key) if chunk.digest == digest]

        chunks = await self._truth.read(held)
        who = context.principal().subject
        known = await self._book.release(reader.tenant, key.name, digest, who)
        if not known and not chunks:
            raise MeshError("DOCUMENT_NOT_FOUND", "no such passage is held back", metadata={"document": key.name})
        log.info("passage.released", document=key.name, passage=digest.hex(), by=who)
        if chunks:
            await self._finishing.run(self._let_go(chunks))
        return bool(chunks)

    async def _let_go(self, chunks: Sequence[HeldChunk]) -> None:
        embedder = fingerprint(await self._models.identify())
        vectors = await self._models.embed_passages([embedded_text(chunk.title_path, chunk.text) for chunk in chunks])
        ids = [chunk.id for chunk in chunks]

        def write(connection: Connection) -> None:
            known = truth_reads.meta(connection, "embedder")
            if known and known != embedder:
                raise truth_writes.embedder_changed(known, embedder)
            truth_writes.add_vectors(connection, embedder, ids, vectors)
            _set_held(connection, ids, False)

        await self._exchange(chunks[0].version, write)

    async def _exchange(self, version: int, write: Callable[[Connection], None]) -> None:
        def commit(connection: Connection) -> Committed:
            write(connection)
            return truth_writes.announce_change(connection, version)

        def indexed(connection: Connection) -> list[IndexedChunk]:
            return list(truth_reads.indexed_chunks(connection, truth_reads.meta(connection, "embedder"), version))

        await self._index.exchange(version, lambda: self._truth.write(commit), lambda: self._truth.read(indexed))


def _passage(result: Result) -> Passage:
    chunk = result.chunk
    name = f"{chunk.key.name}/versions/{chunk.version_uid}/chunks/{chunk.uid}"
    return Passage(name, chunk.key.name, chunk.title_path, chunk.text)


def _marked(result: Result, quoted: Ranges) -> Result:
    """`result` with what is only quoted of it; `quoted` counts from the beginning of its text."""
    begin = result.chunk.start
    return replace(result, quoted=tuple((begin + start, begin + end) for start, end in quoted)) if quoted else result


def _versions(connection: Connection, chunks: Sequence[int]) -> list[int]:
    rows = connection.execute(
        "SELECT DISTINCT version_id FROM chunk JOIN json_each(?) AS wanted ON chunk.id = wanted.value",
        (orjson.dumps(chunks).decode(),),
    )
    return [int(row[0]) for row in rows]


def _set_held(connection: Connection, chunks: Sequence[int], held: bool) -> None:
    wanted = orjson.dumps(list(chunks)).decode()
    connection.execute("UPDATE chunk SET quarantined = ? WHERE id IN (SELECT value FROM json_each(?))", (held, wanted))
    if held:
        connection.execute("DELETE FROM embedding WHERE chunk_id IN (SELECT value FROM json_each(?))", (wanted,))
    connection.execute(
        "UPDATE version SET quarantined_count = (SELECT count(*) FROM chunk WHERE version_id = version.id AND quarantined)"
        " WHERE id IN (SELECT version_id FROM chunk WHERE id IN (SELECT value FROM json_each(?)))",
        (wanted,),
    )


def _held_chunks(connection: Connection, key: DocumentKey) -> Iterable[HeldChunk]:
    rows = connection.execute(
        """
        SELECT chunk.id, chunk.version_id, chunk.title_path, chunk.text FROM collection
        JOIN document ON document.collection_id = collection.id
        JOIN chunk ON chunk.version_id = document.current_version
        WHERE collection.tenant = ? AND collection.name = ? AND document.name = ? AND chunk.quarantined
        ORDER BY chunk.ordinal
        """,
        (key.tenant, key.collection, key.document),
    ).fetchall()
    return [HeldChunk(row["id"], row["version_id"], tuple(orjson.loads(row["title_path"])), row["text"]) for row in rows]


def _shown(connection: Connection, reader: Reader, notes: Sequence[Held]) -> tuple[list[QuarantinedPassage], list[Held]]:
    """What of `notes` the reader sees, and what is no longer true."""
    shown: list[QuarantinedPassage] = []
    stale: list[Held] = []
    chunks: dict[str, dict[bytes, HeldChunk]] = {}
    for note in notes:
        key = DocumentKey.parse(reader.tenant, note.document)
        if not truth_reads.document_exists(connection, key):
            # Held back whole, and so never stored; or deleted, and then its text is kept nowhere.
            if note.text:
                shown.append(QuarantinedPassage(note, (), note.text, stored=False))
            else:
                stale.append(note)
            continue
        if truth_reads.find_document(connection, reader, key) is None:
            continue
        if note.document not in chunks:
            chunks[note.document] = {chunk.digest: chunk for chunk in _held_chunks(connection, key)}
        chunk = chunks[note.document].get(note.digest)
        if chunk is not None:
            shown.append(QuarantinedPassage(note, chunk.title_path, chunk.text, stored=True))
        elif note.text:
            # A later version was held back whole; the one before is still what is found.
            shown.append(QuarantinedPassage(note, (), note.text, stored=False))
        else:
            stale.append(note)
    return shown, stale
