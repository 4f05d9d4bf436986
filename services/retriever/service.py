"""RetrieverService: turns a search into Evidence, a chunk into a Passage. Rights are the caller's, never the caller's service's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import grpc
from ragmesh.evidence.v1.text_pb2 import TextRange
from ragmesh.retriever.v1 import retriever_service_pb2 as pb
from ragmesh.retriever.v1.retriever_service_pb2_grpc import RetrieverServiceServicer

from services.mesh import context as call
from services.mesh import telemetry
from services.mesh.errors import MeshError
from services.retriever import truth_reads
from services.retriever.compression.compressing import Compressing
from services.retriever.documents import collection_not_found, reader_of
from services.retriever.explaining import explain
from services.retriever.fusion import Method
from services.retriever.giving_way import GivingWay
from services.retriever.index_keeper import IndexKeeper
from services.retriever.models import Models
from services.retriever.preparing import Preparing
from services.retriever.quarantine import Quarantine
from services.retriever.records import DocumentKey
from services.retriever.responses import METHODS, chunk_name, explain_response, search_response
from services.retriever.results import Found
from services.retriever.rewriting.plan import Asked
from services.retriever.search import Search, Wanted
from services.retriever.truth import Connection, Truth

_DEFAULT_LIMIT = 8
_DEFAULT_NEIGHBOURS = 1


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a search is made with where its request does not say."""

    dense_weight: float
    rerank_depth: int
    fusion: Method
    per_document: int
    chunk_tokens: int
    """Longest chunk that an import makes."""


class RetrieverServicer(RetrieverServiceServicer):
    """See `proto/ragmesh/retriever/v1/retriever_service.proto`."""

    def __init__(
        self,
        search: Search,
        quarantine: Quarantine,
        truth: Truth,
        index: IndexKeeper,
        models: Models,
        way: GivingWay,
        defaults: Defaults,
    ) -> None:
        self._search = search
        self._quarantine = quarantine
        self._index = index
        self._truth = truth
        self._models = models
        self._way = way
        self._preparing = Preparing(Compressing(models), defaults.chunk_tokens)
        self._defaults = defaults

    async def Search(self, request: pb.SearchRequest, context: grpc.aio.ServicerContext[Any, Any]) -> pb.SearchResponse:
        """Finds passages for a question."""
        with telemetry.span("retriever.search"), self._way.searching():
            return search_response(await self._found(request, self._wanted(request)), self._models)

    async def Explain(self, request: pb.ExplainRequest, context: grpc.aio.ServicerContext[Any, Any]) -> pb.ExplainResponse:
        """Finds passages, and says why these."""
        wanted = replace(self._wanted(request.search), by_leg=True)
        with telemetry.span("retriever.explain"):
            found = await self._found(request.search, wanted)
            return explain_response(
                search_response(found, self._models),
                found,
                explain(found, self._defaults.per_document),
                dense_weight=wanted.dense_weight,
                method=wanted.fusion,
                depth=wanted.rerank_depth,
            )

    def _wanted(self, request: pb.SearchRequest) -> Wanted:
        defaults = self._defaults
        return Wanted(
            limit=request.limit if request.HasField("limit") else _DEFAULT_LIMIT,
            dense_weight=request.dense_weight if request.HasField("dense_weight") else defaults.dense_weight,
            rerank_depth=request.rerank_depth if request.HasField("rerank_depth") else defaults.rerank_depth,
            fusion=METHODS.get(request.fusion, defaults.fusion),
            max_tokens=request.max_tokens if request.HasField("max_tokens") else None,
        )

    async def _found(self, request: pb.SearchRequest, wanted: Wanted) -> Found:
        asked = Asked(
            question=request.query,
            history=request.history,
            subject=request.subject,
            language=request.language,
            without=frozenset(request.without),
            reformulate=request.reformulate,
        )
        collection, reader = request.collection.removeprefix("collections/"), reader_of(call.principal())
        found = await self._search.run(reader, collection, asked, wanted, call.budget())
        if found is None:
            raise collection_not_found(request.collection)
        # What was stored before a rule existed is judged before anybody reads it.
        before = {result.chunk.id for result in found.results}
        found.results = await self._quarantine.admitted(reader, collection, found.results)
        found.held_back = before - {result.chunk.id for result in found.results}
        await self._preparing.prepare(found, wanted.max_tokens, call.budget())
        return found

    async def GetPassage(self, request: pb.GetPassageRequest, context: grpc.aio.ServicerContext[Any, Any]) -> pb.GetPassageResponse:
        """Reads a chunk with its neighbours."""
        reader = reader_of(call.principal())
        document, _, rest = request.chunk.partition("/versions/")
        version, _, chunk = rest.partition("/chunks/")
        key = DocumentKey.parse(reader.tenant, document)
        neighbours = request.neighbours if request.HasField("neighbours") else _DEFAULT_NEIGHBOURS
        found = await self._truth.read(
            lambda connection: truth_reads.find_passage(connection, reader, key, version, chunk, neighbours)
        )
        if found is None:
            # Changed, deleted, never there or not for this reader: the answer is the same, so that it tells nothing.
            name = f"{document}/versions/{version}"
            raise MeshError("PASSAGE_GONE", "this passage is no longer kept", metadata={"document_version": name})
        passage = pb.Passage(
            document_version=found.version_name,
            title_path=found.title_path,
            range=TextRange(start=found.start, end=found.end),
            text=found.text,
            chunk_range=TextRange(start=found.chunk_start, end=found.chunk_end),
            previous_chunk=chunk_name(found.version_name, found.previous_uid),
            next_chunk=chunk_name(found.version_name, found.next_uid),
            source_uri=found.source_uri,
        )
        return pb.GetPassageResponse(passage=passage)

    async def GetCollection(
        self, request: pb.GetCollectionRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.GetCollectionResponse:
        """Counts what the caller may read of a collection."""
        reader = reader_of(call.principal())

        def count(connection: Connection) -> tuple[int, int]:
            scope = truth_reads.find_collection(connection, reader.tenant, request.name.removeprefix("collections/"))
            if scope is None:
                raise collection_not_found(request.name)
            return truth_reads.count_readable(connection, reader, scope), truth_reads.count_chunks(connection, reader, scope)

        documents, chunks = await self._truth.read(count)
        collection = pb.Collection(name=request.name, document_count=documents, chunk_count=chunks, index_epoch=self._index.epoch)
        return pb.GetCollectionResponse(collection=collection)
