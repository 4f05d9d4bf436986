"""The import stream as an automaton: begin, data, commit, begin, ... One document in memory at a time, beyond a limit in a file.

Decides order, sizes and checksums. Knows neither gRPC nor what becomes of a document that came whole.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Awaitable, Callable
from enum import Enum
from pathlib import Path

from ragmesh.retriever.v1.document_service_pb2 import ImportBegin, ImportDocumentsRequest

from services.mesh.errors import MeshError
from services.retriever.canonical import DocumentRejected
from services.retriever.ingest import Announced
from services.retriever.parsing import media_type_of
from services.retriever.records import DocumentKey


class _State(Enum):
    IDLE = "begin"
    RECEIVING = "data or commit"
    PASSING = "data, commit or begin"
    """The document is answered already; what still comes for it is passed over."""


class Answer(Enum):
    """What `Intake.take` found out."""

    MORE = "more"
    UNCHANGED = "unchanged"
    COMPLETE = "complete"


class Received:
    """The bytes of a document, in memory or in a file."""

    def __init__(self, spool: tempfile.SpooledTemporaryFile[bytes] | None) -> None:
        self._spool = spool

    def data(self) -> bytes:
        """All of them, once. Reads a file: for a thread."""
        if self._spool is None:
            return b""
        self._spool.seek(0)
        found = self._spool.read()
        self.release()
        return found

    def release(self) -> None:
        """Forgets them."""
        if self._spool is not None:
            self._spool.close()
            self._spool = None


class Intake:
    """Takes the messages of one stream, in order.

    Args:
        tenant: whose documents they are.
        folder: where a document that is too large for memory waits.
        spool_bytes: how much stays in memory.
        max_bytes: largest document.
        stored: says whether exactly this is the document's current version; raises DocumentRejected where it may not be replaced.
    """

    def __init__(
        self,
        tenant: str,
        folder: Path,
        *,
        spool_bytes: int,
        max_bytes: int,
        stored: Callable[[Announced], Awaitable[bool]],
    ) -> None:
        self._tenant = tenant
        self._folder = folder
        self._spool_bytes = spool_bytes
        self._max_bytes = max_bytes
        self._stored = stored
        self._state = _State.IDLE
        self._announced: Announced | None = None
        self._spool: tempfile.SpooledTemporaryFile[bytes] | None = None
        self._hash = hashlib.sha256()
        self._received = 0

    @property
    def announced(self) -> Announced:
        """The document of the last `begin`."""
        if self._announced is None:
            raise _out_of_order(_State.IDLE, "nothing")
        return self._announced

    async def take(self, request: ImportDocumentsRequest) -> Answer:
        """Takes a message.

        Raises:
            DocumentRejected: the document is refused, and what else comes for it is passed over.
            MeshError: IMPORT_OUT_OF_ORDER, which ends the stream.
        """
        step = request.WhichOneof("step") or "nothing"
        try:
            if step == "begin" and self._state is not _State.RECEIVING:
                return await self._begin(request.begin)
            if self._state is _State.PASSING and step in ("data", "commit"):
                if step == "commit":
                    self._state = _State.IDLE
                return Answer.MORE
            if self._state is _State.RECEIVING and step == "data":
                self._data(request.data.data)
                return Answer.MORE
            if self._state is _State.RECEIVING and step == "commit":
                self._check()
                self._state = _State.IDLE
                return Answer.COMPLETE
        except (DocumentRejected, MeshError):
            self._state = _State.IDLE if step == "commit" else _State.PASSING
            self.release()
            raise
        raise _out_of_order(self._state, step)

    def end(self) -> None:
        """The client has sent its last message.

        Raises:
            MeshError: IMPORT_OUT_OF_ORDER in the middle of a document.
        """
        if self._state is _State.RECEIVING:
            raise _out_of_order(self._state, "the end of the stream")

    async def _begin(self, begin: ImportBegin) -> Answer:
        self.release()
        key = DocumentKey.parse(self._tenant, begin.document)
        labels = tuple(sorted(set(begin.labels)))
        self._announced = Announced(
            key,
            begin.media_type.strip().lower(),
            begin.size_bytes,
            begin.sha256,
            begin.title,
            begin.source_uri,
            labels,
            source=begin.source.rpartition("/")[2],
            language=begin.language,
            source_time=begin.source_time.ToNanoseconds() if begin.HasField("source_time") else None,
        )
        media_type_of(begin.media_type)
        if begin.source and not begin.source.startswith(f"collections/{key.collection}/sources/"):
            raise DocumentRejected("INVALID_REQUEST", f"the source {begin.source} is of another collection than the document")
        if begin.size_bytes > self._max_bytes:
            raise DocumentRejected(
                "DOCUMENT_TOO_LARGE", f"the document has {begin.size_bytes} bytes, {self._max_bytes} may be imported: split it"
            )
        if begin.size_bytes == 0:
            raise DocumentRejected("DOCUMENT_EMPTY", "the document holds no bytes")
        if await self._stored(self._announced):
            self._state = _State.PASSING
            return Answer.UNCHANGED
        self._spool = tempfile.SpooledTemporaryFile(  # noqa: SIM115 - `release` closes it
            max_size=self._spool_bytes, dir=str(self._folder)
        )
        self._hash = hashlib.sha256()
        self._received = 0
        self._state = _State.RECEIVING
        return Answer.MORE

    def _data(self, data: bytes) -> None:
        self._received += len(data)
        if self._received > self.announced.size_bytes:
            raise DocumentRejected("CHECKSUM_MISMATCH", f"more than the announced {self.announced.size_bytes} bytes came")
        self._hash.update(data)
        if self._spool is not None:
            try:
                self._spool.write(data)
            except OSError as error:
                raise DocumentRejected("STORE_UNAVAILABLE", "the disk does not take the document now: try again later") from error

    def _check(self) -> None:
        if self._received != self.announced.size_bytes:
            raise DocumentRejected("CHECKSUM_MISMATCH", f"{self._received} of the announced {self.announced.size_bytes} bytes came")
        if self._hash.hexdigest() != self.announced.sha256:
            raise DocumentRejected(
                "CHECKSUM_MISMATCH", f"the bytes have the SHA-256 {self._hash.hexdigest()}, announced was {self.announced.sha256}"
            )

    def received(self) -> Received:
        """The bytes of a document that came whole, for whoever stores it: the next may come meanwhile."""
        spool, self._spool = self._spool, None
        return Received(spool)

    def release(self) -> None:
        """Forgets the bytes."""
        self.received().release()


def _out_of_order(state: _State, actual: str) -> MeshError:
    return MeshError(
        "IMPORT_OUT_OF_ORDER",
        f"{actual} came where {state.value} was expected",
        metadata={"expected": state.value, "actual": actual},
    )
