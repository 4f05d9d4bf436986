"""Removes documents whose files are gone: only those of one source, and never all of them by accident. Knows no folder."""

from __future__ import annotations

import asyncio
from collections.abc import Container, Sequence

import grpc
from ragmesh.retriever.v1 import document_service_pb2 as pb
from ragmesh.retriever.v1.document_service_pb2_grpc import DocumentServiceStub

from cli.documents.importing import stored_documents
from services.mesh.errors import from_rpc_error

_AT_A_TIME = 4
_SECONDS = 30.0


async def vanished(channel: grpc.aio.Channel, source: str, there: Container[str]) -> tuple[list[str], int]:
    """Names of stored documents of `source` whose ids are not `there`, and how many documents of it are stored.

    Raises:
        MeshError: as the retriever answers.
    """
    collection = source.partition("/sources/")[0]
    names = [one.name async for one in stored_documents(channel, collection, source)]
    return [name for name in names if name.rpartition("/")[2] not in there], len(names)


async def remove(channel: grpc.aio.Channel, names: Sequence[str]) -> int:
    """Deletes documents; one that is gone already is not counted. Returns how many were.

    Raises:
        MeshError: as the retriever answers.
    """
    stub = DocumentServiceStub(channel)
    places = asyncio.Semaphore(_AT_A_TIME)

    async def delete(name: str) -> int:
        async with places:
            try:
                await stub.DeleteDocument(pb.DeleteDocumentRequest(name=name), timeout=_SECONDS)
            except grpc.aio.AioRpcError as error:
                typed = from_rpc_error(error, service="retriever")
                if typed.reason == "DOCUMENT_NOT_FOUND":
                    return 0
                raise typed from error
            return 1

    return sum(await asyncio.gather(*(delete(name) for name in names)))
