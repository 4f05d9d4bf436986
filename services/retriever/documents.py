"""DocumentService: imports, reads, lists and deletes documents. For editors; a document of others is one that is not there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc
import orjson
from google.protobuf.timestamp_pb2 import Timestamp
from ragmesh.identity.v1.principal_pb2 import Principal
from ragmesh.retriever.v1 import document_service_pb2 as pb
from ragmesh.retriever.v1.document_service_pb2_grpc import DocumentServiceServicer

from services.mesh import context as call
from services.mesh.errors import MeshError
from services.mesh.paging import Pager, page_size
from services.retriever import truth_reads, truth_writes
from services.retriever.finishing import Finishing
from services.retriever.import_stream import ImportStream
from services.retriever.index_keeper import IndexKeeper
from services.retriever.ingest import Ingest
from services.retriever.records import DocumentKey, DocumentRecord, Reader
from services.retriever.settings import RetrieverSettings
from services.retriever.sources.refreshing import Refreshing
from services.retriever.sources.service import SourceCalls
from services.retriever.truth import Truth

_EDITOR = "editor"
_DEFAULT_PAGE = 50
_MAX_PAGE = 500


def reader_of(principal: Principal) -> Reader:
    """Whose rights count in a call."""
    return Reader(principal.tenant, tuple(principal.labels))


def timestamp(nanoseconds: int) -> Timestamp:
    """A time of the store as it travels."""
    made = Timestamp()
    made.FromNanoseconds(nanoseconds)
    return made


class DocumentServicer(DocumentServiceServicer):
    """See `proto/ragmesh/retriever/v1/document_service.proto`."""

    def __init__(
        self, settings: RetrieverSettings, truth: Truth, index: IndexKeeper, ingest: Ingest, finishing: Finishing, pager: Pager
    ) -> None:
        self._sources = SourceCalls(truth, ingest, Refreshing(truth, index, ingest, finishing))
        self._settings = settings
        self._truth = truth
        self._index = index
        self._ingest = ingest
        self._finishing = finishing
        self._pager = pager

    async def ImportDocuments(
        self, request_iterator: AsyncIterator[pb.ImportDocumentsRequest], context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[pb.ImportDocumentsResponse]:
        """Stores documents in the order in which they come."""
        reader = reader_of(call.require_role(_EDITOR))
        stream = ImportStream(reader, self._settings, self._truth, self._index, self._ingest, self._finishing)
        async with aclosing(stream.run(aiter(request_iterator))) as responses:
            async for response in responses:
                yield response

    async def _find(self, reader: Reader, key: DocumentKey) -> DocumentRecord:
        found = await self._truth.read(lambda connection: truth_reads.find_document(connection, reader, key))
        if found is None:
            raise truth_writes.document_not_found(key)
        return found

    async def GetDocument(
        self, request: pb.GetDocumentRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.GetDocumentResponse:
        """Reads what is known about a document."""
        reader = reader_of(call.require_role(_EDITOR))
        found = await self._find(reader, DocumentKey.parse(reader.tenant, request.name))
        return pb.GetDocumentResponse(document=_document(found, self._ingest.pipeline))

    async def ListDocuments(
        self, request: pb.ListDocumentsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ListDocumentsResponse:
        """Pages through a collection in the order of names."""
        principal = call.require_role(_EDITOR)
        reader = reader_of(principal)
        # What the caller may read is part of the filter: other labels make another listing.
        listing = f"documents of {request.parent} from {request.source} for {orjson.dumps(sorted(reader.labels)).decode()}"
        position = self._pager.position(listing, principal, request.page_token)
        after = str(position[0]) if position else ""
        size = page_size(request.page_size, default=_DEFAULT_PAGE, most=_MAX_PAGE)
        collection = request.parent.removeprefix("collections/")
        source = request.source.removeprefix(f"{request.parent}/sources/")

        def page(connection: Any) -> tuple[list[DocumentRecord], int]:
            if truth_reads.find_collection(connection, reader.tenant, collection) is None:
                raise collection_not_found(request.parent)
            return truth_reads.list_documents(connection, reader, collection, after, size + 1, source)

        found, total = await self._truth.read(page)
        token = self._pager.token(listing, principal, [found[size - 1].key.document]) if len(found) > size else ""
        documents = [_document(record, self._ingest.pipeline) for record in found[:size]]
        return pb.ListDocumentsResponse(documents=documents, next_page_token=token, total_size=total)

    async def DeleteDocument(
        self, request: pb.DeleteDocumentRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.DeleteDocumentResponse:
        """Deletes a document with all its versions."""
        reader = reader_of(call.require_role(_EDITOR))
        key = DocumentKey.parse(reader.tenant, request.name)
        await self._find(reader, key)
        deleting = self._index.withdraw(lambda: self._truth.write(lambda connection: truth_writes.delete(connection, key)))
        committed = await self._finishing.run(deleting)
        return pb.DeleteDocumentResponse(chunk_count=committed.chunk_count)

    async def RegisterSource(
        self, request: pb.RegisterSourceRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.RegisterSourceResponse:
        """Keeps where documents come from."""
        return await self._sources.register(request)

    async def ListSources(
        self, request: pb.ListSourcesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ListSourcesResponse:
        """Names the sources of a collection."""
        return await self._sources.list(request)

    async def DeleteSource(
        self, request: pb.DeleteSourceRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.DeleteSourceResponse:
        """Forgets a source with its documents."""
        return await self._sources.delete(request)

    async def Refresh(
        self, request: pb.RefreshRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[pb.RefreshResponse]:
        """Reads a source again."""
        async for response in self._sources.refresh(request):
            yield response


def collection_not_found(name: str) -> MeshError:
    """The one answer for a collection that is not there and one of another tenant."""
    return MeshError("COLLECTION_NOT_FOUND", "there is no such collection", metadata={"collection": name})


def _document(record: DocumentRecord, pipeline: str) -> pb.Document:
    """A document as it travels; `pipeline` is how it would be cut today."""
    return pb.Document(
        name=record.key.name,
        version=record.version_name,
        title=record.title,
        media_type=record.media_type,
        size_bytes=record.size_bytes,
        sha256=record.sha256,
        chunk_count=record.chunk_count,
        source_uri=record.source_uri,
        labels=record.labels,
        create_time=timestamp(record.create_time),
        update_time=timestamp(record.update_time),
        quarantined_chunk_count=record.quarantined_count,
        source=f"collections/{record.key.collection}/sources/{record.source}" if record.source else "",
        language=record.language,
        source_time=timestamp(record.source_time) if record.source_time is not None else None,
        near_duplicate_of=record.key.beside(record.near_duplicate_of),
        outdated=record.pipeline != pipeline,
    )
