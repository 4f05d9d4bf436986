"""One stream of imports: takes what comes while what came is stored, and answers in the order in which documents came.

Several documents are on their way at a time, within limits; they become current in their order. Knows no gRPC server.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ragmesh.retriever.v1 import document_service_pb2 as pb

from services.mesh import context as call
from services.mesh.errors import MeshError
from services.mesh.log import get_logger
from services.retriever import truth_reads
from services.retriever.canonical import DocumentRejected
from services.retriever.finishing import Finishing
from services.retriever.index_keeper import IndexKeeper
from services.retriever.ingest import Announced, Ingest
from services.retriever.intake import Answer, Intake, Received
from services.retriever.places import Place
from services.retriever.records import DocumentRecord, Reader
from services.retriever.settings import RetrieverSettings
from services.retriever.truth import Truth

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Stores:
    truth: Truth
    index: IndexKeeper
    ingest: Ingest
    finishing: Finishing


class ImportStream:
    """Imports what one client sends.

    Args:
        reader: on whose behalf.
    """

    def __init__(
        self, reader: Reader, settings: RetrieverSettings, truth: Truth, index: IndexKeeper, ingest: Ingest, finishing: Finishing
    ) -> None:
        self._reader = reader
        self._settings = settings
        self._stores = _Stores(truth, index, ingest, finishing)
        # What is answered, in order; its end is None. So many documents are on their way, and one more that waits for a place here.
        self._answers: asyncio.Queue[asyncio.Future[pb.ImportDocumentsResponse] | None] = asyncio.Queue(
            settings.retriever_import_window
        )
        self._storing: dict[str, asyncio.Task[pb.ImportDocumentsResponse]] = {}
        self._unanswered = 0
        self._last: Place | None = None
        self._found: DocumentRecord | None = None
        """What the store has under the name of the document that was begun last."""
        self._intake = Intake(
            reader.tenant,
            settings.folder / "spool",
            spool_bytes=settings.retriever_spool_bytes,
            max_bytes=settings.retriever_max_document_bytes,
            stored=self._is_stored,
        )

    async def run(self, requests: AsyncIterator[pb.ImportDocumentsRequest]) -> AsyncGenerator[pb.ImportDocumentsResponse, None]:
        """One answer a document.

        Raises:
            MeshError: IMPORT_OUT_OF_ORDER, DEADLINE_EXCEEDED for a client that fell silent; after the answers to what came before.
        """
        taking = asyncio.create_task(self._take(requests))
        try:
            while (answer := await self._answers.get()) is not None:
                response = await answer
                self._unanswered -= 1
                yield response
            await taking
        finally:
            taking.cancel()
            for task in self._storing.values():
                task.cancel()
            await asyncio.gather(taking, *self._storing.values(), return_exceptions=True)
            self._intake.release()
            await self._stores.finishing.run(self._stores.index.settle())

    async def _take(self, requests: AsyncIterator[pb.ImportDocumentsRequest]) -> None:
        try:
            while (request := await self._next(requests)) is not None:
                await self._step(request)
            self._intake.end()
        except asyncio.CancelledError:  # nobody waits for answers any more
            raise
        except Exception:
            await self._answers.put(None)
            raise
        await self._answers.put(None)

    async def _next(self, requests: AsyncIterator[pb.ImportDocumentsRequest]) -> pb.ImportDocumentsRequest | None:
        coming = asyncio.ensure_future(anext(requests, None))
        try:
            while not coming.done():
                # While we owe answers, it may be for them that the client waits.
                owed = self._unanswered
                await asyncio.wait([coming], timeout=self._settings.retriever_import_idle_seconds)
                if not coming.done() and not owed and not self._unanswered:
                    raise MeshError("DEADLINE_EXCEEDED", "the import stream was silent for too long")
            return coming.result()
        finally:
            if not coming.done():
                coming.cancel()
                with suppress(asyncio.CancelledError):
                    await coming

    async def _step(self, request: pb.ImportDocumentsRequest) -> None:
        try:
            answer = await self._intake.take(request)
        except (DocumentRejected, MeshError) as error:
            if error.reason == "IMPORT_OUT_OF_ORDER":
                raise
            await self._answer(_rejected(self._intake.announced, error.reason, error.message))
            return
        except Exception:
            await self._answer(_failed(self._intake.announced))
            return
        announced = self._intake.announced
        if answer is Answer.UNCHANGED and self._found is not None:
            await self._answer(_unchanged(announced, self._found))
        elif answer is Answer.COMPLETE:
            received, turn = self._intake.received(), Place(self._last)
            self._last = turn
            await self._answer_later(announced, self._store(announced, received, turn))

    async def _answer(self, response: pb.ImportDocumentsResponse) -> None:
        done: asyncio.Future[pb.ImportDocumentsResponse] = asyncio.get_running_loop().create_future()
        done.set_result(response)
        self._unanswered += 1
        await self._answers.put(done)

    async def _answer_later(self, announced: Announced, answering: Coroutine[Any, Any, pb.ImportDocumentsResponse]) -> None:
        task = asyncio.create_task(answering)
        self._storing[announced.key.name] = task
        task.add_done_callback(lambda done: self._stored_away(announced.key.name, done))
        self._unanswered += 1
        await self._answers.put(task)

    def _stored_away(self, name: str, done: asyncio.Future[pb.ImportDocumentsResponse]) -> None:
        if self._storing.get(name) is done:
            del self._storing[name]

    async def _store(self, announced: Announced, received: Received, turn: Place) -> pb.ImportDocumentsResponse:
        async def store() -> pb.ImportDocumentsResponse:
            stored = await self._stores.ingest.store(announced, received.data, self._reader, turn)
            acked = pb.ImportAcked(
                document=announced.key.name,
                version=stored.version_name,
                chunk_count=stored.chunk_count,
                quarantined_chunk_count=stored.quarantined_count,
                warnings=stored.warnings,
                near_duplicate_of=announced.key.beside(stored.near_duplicate_of),
            )
            return pb.ImportDocumentsResponse(acked=acked)

        try:
            return await self._tried(announced, store)
        finally:
            turn.leave()
            received.release()

    async def _tried(
        self, announced: Announced, work: Callable[[], Awaitable[pb.ImportDocumentsResponse]]
    ) -> pb.ImportDocumentsResponse:
        """What `work` answers; whatever it fails with, the stream goes on."""
        try:
            return await work()
        except (DocumentRejected, MeshError) as error:
            return _rejected(announced, error.reason, error.message)
        except Exception:
            return _failed(announced)

    async def _is_stored(self, announced: Announced) -> bool:
        if (before := self._storing.get(announced.key.name)) is not None:
            # The same document once more on this stream: it is compared with what the one before leaves.
            await asyncio.wait([before])
        key, reader = announced.key, self._reader
        found, exists = await self._stores.truth.read(
            lambda connection: (
                found := truth_reads.find_document(connection, reader, key),
                found is not None or truth_reads.document_exists(connection, key),
            )
        )
        self._found = found
        if found is None and exists:
            raise DocumentRejected("PERMISSION_DENIED", "a document of this name exists that you may not replace")
        return found is not None and _same(found, announced, self._stores.ingest.pipeline)


def _same(found: DocumentRecord, announced: Announced, pipeline: str) -> bool:
    """The same bytes under other labels, or cut by an older release, are not the same document."""
    known = (found.sha256, found.media_type, found.announced_title, found.source_uri, found.labels, found.source, found.pipeline)
    return known == (
        announced.sha256,
        announced.media_type,
        announced.title,
        announced.source_uri,
        announced.labels,
        announced.source,
        pipeline,
    )


def _unchanged(announced: Announced, found: DocumentRecord) -> pb.ImportDocumentsResponse:
    acked = pb.ImportAcked(
        document=announced.key.name,
        version=found.version_name,
        unchanged=True,
        chunk_count=found.chunk_count,
        quarantined_chunk_count=found.quarantined_count,
        near_duplicate_of=announced.key.beside(found.near_duplicate_of),
    )
    return pb.ImportDocumentsResponse(acked=acked)


def _rejected(announced: Announced, reason: str, message: str) -> pb.ImportDocumentsResponse:
    log.info("import.rejected", document=announced.key.name, reason=reason)
    return pb.ImportDocumentsResponse(rejected=pb.ImportRejected(document=announced.key.name, reason=reason, message=message))


def _failed(announced: Announced) -> pb.ImportDocumentsResponse:
    log.exception("import.failed", document=announced.key.name)
    return _rejected(announced, "INTERNAL", f"the import failed; the log has the cause under {call.request_id()}")
