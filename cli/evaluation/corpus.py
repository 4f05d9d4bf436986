"""Puts corpus rows into a mesh's store over DocumentService.ImportDocuments, several streams at a time. Knows no figure."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc
from ragmesh.identity.v1.principal_pb2 import Principal
from ragmesh.retriever.v1 import document_service_pb2 as pb
from ragmesh.retriever.v1.document_service_pb2_grpc import DocumentServiceStub

from cli.connection import in_words
from cli.console import document_progress
from cli.documents.importing import PIECE_BYTES
from cli.errors import CliError
from cli.evaluation.rows import CorpusRow
from cli.parts.supervisor import Mesh
from services.mesh import context
from services.mesh.channel import open_channel
from services.mesh.errors import from_rpc_error
from services.mesh.settings import MeshSettings
from services.retriever.sources.naming import document_id

if TYPE_CHECKING:
    from ragmesh.retriever.v1.document_service_pb2_grpc import DocumentServiceAsyncStub

COLLECTION = "collections/default"
OWNER = Principal(tenant="default", subject="users/local", roles=["visitor", "editor"])
_STREAMS = 4
_WINDOW = 8
"""Documents of one stream that were sent and not answered yet."""
_MOST_REFUSED = 0.02
"""Share of the rows that the store may refuse before the figures would say nothing about the corpus."""


@dataclass
class Loaded:
    """What became of a corpus."""

    ids: dict[str, str]
    """Name of a document -> id of its row."""
    refused: Counter[str] = field(default_factory=Counter)
    """Reason -> rows that the store did not take."""
    chunks: int = 0
    seconds: float = 0.0


@asynccontextmanager
async def retriever_channel(mesh: Mesh) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to the retriever of a mesh, on behalf of its owner."""
    settings = MeshSettings(_env_file=None, run_dir=mesh.run_dir)  # type: ignore[call-arg]  # pydantic-settings' own
    with context.as_principal(OWNER):
        async with open_channel(settings, "retriever") as channel:
            yield channel


def name_of(row: CorpusRow) -> str:
    """The document that a row becomes."""
    return f"{COLLECTION}/documents/{document_id(row.id.encode())}"


async def load(channel: grpc.aio.Channel, rows: Sequence[CorpusRow], media_type: str = "text/plain") -> Loaded:
    """Imports all rows, with a progress bar.

    Raises:
        CliError: the import broke off, or too many rows were refused.
    """
    begun = time.monotonic()
    loaded = Loaded({name_of(row): row.id for row in rows})
    left = deque(rows)
    with document_progress() as progress:
        task = progress.add_task("Importing", total=len(rows), rate="")

        def report(response: pb.ImportDocumentsResponse) -> None:
            if response.WhichOneof("result") == "acked":
                loaded.chunks += response.acked.chunk_count
            else:
                loaded.refused[response.rejected.reason] += 1
            rate = (len(rows) - len(left)) / max(time.monotonic() - begun, 1e-3)
            progress.update(task, advance=1, rate=f"{rate:.0f}/s")

        try:
            await asyncio.gather(*(_stream(DocumentServiceStub(channel), left, media_type, report) for _ in range(_STREAMS)))
        except grpc.aio.AioRpcError as error:
            raise in_words(from_rpc_error(error, service="retriever"), "the evaluation's mesh") from error
    loaded.seconds = time.monotonic() - begun
    if loaded.refused.total() > _MOST_REFUSED * len(rows):
        reasons = ", ".join(f"{count} {reason}" for reason, count in loaded.refused.most_common(3))
        raise CliError(f"{loaded.refused.total()} of {len(rows)} rows were refused: {reasons}.", "Take them out of the corpus.")
    return loaded


async def _stream(
    stub: DocumentServiceAsyncStub,
    left: deque[CorpusRow],
    media_type: str,
    report: Callable[[pb.ImportDocumentsResponse], None],
) -> None:
    """Takes rows from `left` until none is there. One stream is answered in order, so that counting answers is enough."""
    call = stub.ImportDocuments()
    room = asyncio.Semaphore(_WINDOW)

    async def send() -> None:
        while left:
            await room.acquire()
            if not left:
                break
            row = left.popleft()
            data = row.text.encode()
            begin = pb.ImportBegin(
                document=name_of(row),
                media_type=media_type,
                size_bytes=len(data),
                sha256=hashlib.sha256(data).hexdigest(),
                title=row.title,
                source_uri=row.id[:512],
            )
            await call.write(pb.ImportDocumentsRequest(begin=begin))
            for at in range(0, len(data), PIECE_BYTES):
                await call.write(pb.ImportDocumentsRequest(data=pb.ImportData(data=data[at : at + PIECE_BYTES])))
            await call.write(pb.ImportDocumentsRequest(commit=pb.ImportCommit()))
        await call.done_writing()

    sender = asyncio.create_task(send())
    try:
        async for response in call:
            room.release()
            report(response)
        await sender
    finally:
        sender.cancel()
        await asyncio.gather(sender, return_exceptions=True)
        call.cancel()
