"""Sends documents over DocumentService.ImportDocuments: pipelined, in bounded memory, resumed where the stream breaks.

What is stored already with the same bytes is not sent again. One bad document never stops the others. Knows nothing of folders
or of how progress is shown.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections import deque
from collections.abc import AsyncGenerator, Callable, Container, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import grpc
from ragmesh.retriever.v1 import document_service_pb2 as pb
from ragmesh.retriever.v1.document_service_pb2_grpc import DocumentServiceStub

from cli.documents.folder import SourceFile
from services.mesh.errors import MeshError, from_rpc_error

DEFAULT_COLLECTION = "collections/default"
PIECE_BYTES = 256 * 1024
WINDOW = 16
"""Documents that were sent and not answered yet."""
MAX_ATTEMPTS = 6
"""Tries in a row that bring no document further; with the waits between them long enough for a retriever to start again."""
_UNARY_SECONDS = 10.0
_RETRY_SECONDS = 0.5


class Fate(Enum):
    """What became of a document."""

    STORED = "stored"
    UNCHANGED = "unchanged"
    REJECTED = "rejected"


@dataclass(frozen=True)
class Imported:
    """What became of one file."""

    source: SourceFile
    fate: Fate
    reason: str = ""
    """ErrorReason without its prefix, where it was rejected."""
    message: str = ""
    chunks: int = 0
    quarantined_chunks: int = 0
    warnings: tuple[str, ...] = ()
    """What of it could not be read."""
    near_duplicate_of: str = ""
    """Id of another document that says nearly the same."""


@dataclass(frozen=True)
class _Ready:
    """A file whose bytes were read once, to know their hash."""

    source: SourceFile
    name: str
    sha256: str
    size: int


class Hashes:
    """SHA-256 of files, so that one that did not change is not read again. Believes size and time of change, as `make` does."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[int, int, int, str]] = {}

    def of(self, path: Path) -> tuple[str, int]:
        """Hash and size of a file. Reads it where it changed: for a thread.

        Raises:
            OSError: it cannot be read.
        """
        found = path.stat()
        known = self._known.get(path)
        if known is not None and known[:3] == (found.st_ino, found.st_size, found.st_mtime_ns):
            return known[3], known[1]
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
        if size == found.st_size:
            self._known[path] = (found.st_ino, found.st_size, found.st_mtime_ns, digest)
        return digest, size


class Importer:
    """Imports files into one collection over one channel.

    Args:
        source: what the documents come from: `collections/{c}/sources/{s}`; empty: not said.
        hashes: of files that were read before.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        collection: str,
        report: Callable[[Imported], None],
        *,
        source: str = "",
        hashes: Hashes | None = None,
    ) -> None:
        self._channel = channel
        self._stub = DocumentServiceStub(channel)
        self._collection = collection
        self._report = report
        self._source = source
        self._hashes = hashes or Hashes()

    async def run(self, files: Sequence[SourceFile]) -> None:
        """Imports all files and reports each exactly once, in any order.

        Raises:
            MeshError: the import as a whole cannot go on, for example SERVICE_UNAVAILABLE or PERMISSION_DENIED.
        """
        stored = await self._stored()
        left = deque(files)
        attempts = 0
        while left:
            before = len(left)
            try:
                await self._stream(left, stored)
            except grpc.aio.AioRpcError as error:
                typed = _typed(error)
                attempts = attempts + 1 if len(left) == before else 1
                if not typed.retryable or attempts >= MAX_ATTEMPTS:
                    raise typed from error
                await asyncio.sleep(_RETRY_SECONDS * 2 ** (attempts - 1))

    async def _stored(self) -> dict[str, str]:
        """Name -> sha256 of what is stored already, from the same source and as today's release would cut it."""
        documents = stored_documents(self._channel, self._collection)
        return {one.name: one.sha256 async for one in documents if one.source == self._source and not one.outdated}

    async def _stream(self, left: deque[SourceFile], stored: dict[str, str]) -> None:
        """Sends what is left; takes out of `left` what was answered. Returns once all was."""
        waiting: dict[str, _Ready] = {}
        room = asyncio.Semaphore(WINDOW)
        call = self._stub.ImportDocuments()

        async def send() -> None:
            for source in tuple(left):
                ready = await asyncio.to_thread(_read, source, self._collection, self._hashes)
                if isinstance(ready, Imported) or stored.get(ready.name) == ready.sha256:
                    self._done(left, ready if isinstance(ready, Imported) else Imported(source, Fate.UNCHANGED))
                    continue
                await room.acquire()
                waiting[ready.name] = ready
                async with aclosing(_messages(ready, self._source, waiting)) as messages:
                    async for message in messages:
                        await call.write(message)
            await call.done_writing()

        sender = asyncio.create_task(send())
        sender.add_done_callback(lambda task: call.cancel() if not task.cancelled() and task.exception() else None)
        try:
            async for response in call:
                result = _result(response)
                ready = waiting.pop(result.document, None)
                if ready is not None:
                    room.release()
                    self._done(left, _imported(ready.source, response))
            await sender
        except asyncio.CancelledError:
            if sender.done() and not sender.cancelled():
                sender.result()  # what made it end, and us with it
            raise
        except asyncio.InvalidStateError:  # a write met the end of the call: its status says more
            await _raise_status(call)
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
            call.cancel()
        if left:
            raise MeshError("SERVICE_UNAVAILABLE", "the retriever ended the import early")

    def _done(self, left: deque[SourceFile], imported: Imported) -> None:
        left.remove(imported.source)
        self._report(imported)


async def stored_documents(channel: grpc.aio.Channel, collection: str, source: str = "") -> AsyncGenerator[pb.Document, None]:
    """What is stored in a collection, in the order of names; nothing where there is no such collection.

    Args:
        source: only what came from it; empty: all.

    Raises:
        MeshError: as the retriever answers.
    """
    stub = DocumentServiceStub(channel)
    token = ""
    while True:
        request = pb.ListDocumentsRequest(parent=collection, page_size=500, page_token=token, source=source)
        try:
            page = await stub.ListDocuments(request, timeout=_UNARY_SECONDS)
        except grpc.aio.AioRpcError as error:
            typed = from_rpc_error(error, service="retriever")
            if typed.reason == "COLLECTION_NOT_FOUND":
                return
            raise typed from error
        for document in page.documents:
            yield document
        token = page.next_page_token
        if not token:
            return


def _read(source: SourceFile, collection: str, hashes: Hashes) -> _Ready | Imported:
    """Size and hash of a file, or its rejection where it cannot be read any more."""
    try:
        digest, size = hashes.of(source.path)
    except OSError as error:
        return Imported(source, Fate.REJECTED, "DOCUMENT_UNREADABLE", f"cannot be read: {error.strerror}")
    return _Ready(source, f"{collection}/documents/{source.document_id}", digest, size)


async def _messages(ready: _Ready, source: str, waiting: Container[str]) -> AsyncGenerator[pb.ImportDocumentsRequest, None]:
    begin = pb.ImportBegin(
        document=ready.name,
        media_type=ready.source.media_type,
        size_bytes=ready.size,
        sha256=ready.sha256,
        source_uri=ready.source.relative[:512],
        source=source,
    )
    yield pb.ImportDocumentsRequest(begin=begin)
    # A file that changes or goes away meanwhile is the retriever's to notice, by its hash.
    with contextlib.suppress(OSError), ready.source.path.open("rb") as file:
        # Answered already, for example as too large: the rest need not travel.
        while ready.name in waiting and (data := await asyncio.to_thread(file.read, PIECE_BYTES)):
            yield pb.ImportDocumentsRequest(data=pb.ImportData(data=data))
    yield pb.ImportDocumentsRequest(commit=pb.ImportCommit())


def _result(response: pb.ImportDocumentsResponse) -> pb.ImportAcked | pb.ImportRejected:
    return response.acked if response.WhichOneof("result") == "acked" else response.rejected


def _imported(source: SourceFile, response: pb.ImportDocumentsResponse) -> Imported:
    if response.WhichOneof("result") != "acked":
        return Imported(source, Fate.REJECTED, response.rejected.reason, response.rejected.message)
    acked = response.acked
    fate = Fate.UNCHANGED if acked.unchanged else Fate.STORED
    return Imported(
        source,
        fate,
        chunks=acked.chunk_count,
        quarantined_chunks=acked.quarantined_chunk_count,
        warnings=tuple(acked.warnings),
        near_duplicate_of=acked.near_duplicate_of.rpartition("/")[2],
    )


def _typed(error: grpc.aio.AioRpcError) -> MeshError:
    # A write that meets the end of its stream makes grpc.aio report an INTERNAL of its own in place of the server's status. What
    # the server said is lost then; that the stream is, is all that is known.
    if error.code() is grpc.StatusCode.INTERNAL and "grpc-status-details-bin" not in dict(error.trailing_metadata() or ()):
        return MeshError("SERVICE_UNAVAILABLE", "the stream to the retriever broke", metadata={"service": "retriever"})
    return from_rpc_error(error, service="retriever")


async def _raise_status(call: grpc.aio.StreamStreamCall[pb.ImportDocumentsRequest, pb.ImportDocumentsResponse]) -> None:
    raise grpc.aio.AioRpcError(
        await call.code(), await call.initial_metadata(), await call.trailing_metadata(), await call.details()
    )
