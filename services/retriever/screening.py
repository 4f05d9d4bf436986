"""Asks the guard which passages of a document carry instructions to the assistant: the one call that belongs to no turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import grpc
from ragmesh.guard.v1.guard_service_pb2 import Action, CheckDocumentRequest
from ragmesh.guard.v1.guard_service_pb2_grpc import GuardServiceStub

from services.mesh.errors import MeshError, from_rpc_error
from services.retriever.chunking import Chunk

_MAX_PASSAGES = 256
_MAX_BATCH_BYTES = 1024 * 1024
# What may be stored and found. Sanitised text is no passage of the document any more, so that it is held back as well.
_PASSES = frozenset({Action.ACTION_ALLOW, Action.ACTION_FLAG})


class Screening:
    """The guard, as an import sees it.

    Args:
        seconds: how long one batch may take.
    """

    def __init__(self, channel: grpc.aio.Channel, *, seconds: float) -> None:
        self._guard = GuardServiceStub(channel)
        self._seconds = seconds

    async def held_back(self, document: str, chunks: Sequence[Chunk]) -> frozenset[int]:
        """Ordinals of the chunks that must not be indexed.

        Args:
            document: `collections/{c}/documents/{d}`.

        Raises:
            MeshError: SERVICE_UNAVAILABLE, DEADLINE_EXCEEDED and what else the guard answers with.
        """
        held: set[int] = set()
        for batch in _batches(chunks):
            request = CheckDocumentRequest(document=document, passages=[_passage(chunk) for chunk in batch])
            try:
                response = await self._guard.CheckDocument(request, timeout=self._seconds)
            except grpc.aio.AioRpcError as error:
                raise from_rpc_error(error, service="guard") from None
            if len(response.verdicts) != len(batch):
                raise MeshError("SERVICE_UNAVAILABLE", "the guard did not judge every passage", metadata={"service": "guard"})
            held.update(
                chunk.ordinal for chunk, verdict in zip(batch, response.verdicts, strict=True) if verdict.action not in _PASSES
            )
        return frozenset(held)


def _passage(chunk: Chunk) -> str:
    # Headings reach the generator too.
    return "\n".join((*chunk.title_path, "", chunk.text))


def _batches(chunks: Sequence[Chunk]) -> Iterator[list[Chunk]]:
    batch: list[Chunk] = []
    size = 0
    for chunk in chunks:
        length = len(_passage(chunk).encode())
        if batch and (len(batch) >= _MAX_PASSAGES or size + length > _MAX_BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(chunk)
        size += length
    if batch:
        yield batch
