"""RetrieverService: turns a search into Evidence, a chunk into a Passage. Rights are the caller's, never the caller's service's."""

from __future__ import annotations

import secrets
import sqlite3
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from ragmesh.evidence.v1.evidence_pb2 import Evidence, Scores
from ragmesh.evidence.v1.model_pb2 import ModelRef
from ragmesh.evidence.v1.text_pb2 import TextRange
from ragmesh.retriever.v1 import retriever_service_pb2 as pb
from ragmesh.retriever.v1.retriever_service_pb2_grpc import RetrieverServiceServicer

from services.mesh import context as call
from services.mesh import telemetry
from services.mesh.errors import MeshError
from services.retriever import truth_reads
from services.retriever.documents import collection_not_found, reader_of, timestamp
from services.retriever.index_keeper import IndexKeeper
from services.retriever.models import Models
from services.retriever.query import make_query
from services.retriever.records import DocumentKey
from services.retriever.results import Found, Leg, Result
from services.retriever.search import Search
from services.retriever.truth import Truth

_DEFAULT_LIMIT = 8
_DEFAULT_NEIGHBOURS = 1
_EVIDENCE_ID_BYTES = 16

_LEGS = {
    Leg.DENSE: pb.SearchLeg.SEARCH_LEG_DENSE,
    Leg.SPARSE: pb.SearchLeg.SEARCH_LEG_SPARSE,
    Leg.INDEX: pb.SearchLeg.SEARCH_LEG_INDEX,
    Leg.RERANK: pb.SearchLeg.SEARCH_LEG_RERANK,
}


class RetrieverServicer(RetrieverServiceServicer):
    """See `proto/ragmesh/retriever/v1/retriever_service.proto`."""

    def __init__(
        self, search: Search, truth: Truth, index: IndexKeeper, models: Models, *, dense_weight: float, rerank_depth: int
    ) -> None:
        self._search = search
        self._index = index
        self._truth = truth
        self._models = models
        self._dense_weight = dense_weight
        self._rerank_depth = rerank_depth

    async def Search(self, request: pb.SearchRequest, context: grpc.aio.ServicerContext[Any, Any]) -> pb.SearchResponse:
        """Finds passages for a question."""
        reader = reader_of(call.principal())
        with telemetry.span("retriever.search"):
            found = await self._search.run(
                reader,
                request.collection.removeprefix("collections/"),
                make_query(request.query, request.history),
                limit=request.limit if request.HasField("limit") else _DEFAULT_LIMIT,
                dense_weight=request.dense_weight if request.HasField("dense_weight") else self._dense_weight,
                rerank_depth=request.rerank_depth if request.HasField("rerank_depth") else self._rerank_depth,
                budget=call.budget(),
            )
            if found is None:
                raise collection_not_found(request.collection)
            return self._response(found)

    def _response(self, found: Found) -> pb.SearchResponse:
        return pb.SearchResponse(
            evidence=[_evidence(result, found.epoch, self._models) for result in found.results],
            documents_searched=found.documents,
            index_epoch=found.epoch,
            degraded=[pb.SearchDegradation(leg=_LEGS[leg], reason=reason) for leg, reason in found.degraded.items()],
            timings=[pb.LegTiming(leg=_LEGS[leg], elapsed=_duration(seconds)) for leg, seconds in found.seconds.items()],
        )

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
            previous_chunk=_chunk_name(found.version_name, found.previous_uid),
            next_chunk=_chunk_name(found.version_name, found.next_uid),
            source_uri=found.source_uri,
        )
        return pb.GetPassageResponse(passage=passage)

    async def GetCollection(
        self, request: pb.GetCollectionRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.GetCollectionResponse:
        """Counts what the caller may read of a collection."""
        reader = reader_of(call.principal())

        def count(connection: sqlite3.Connection) -> tuple[int, int]:
            scope = truth_reads.find_collection(connection, reader.tenant, request.name.removeprefix("collections/"))
            if scope is None:
                raise collection_not_found(request.name)
            return truth_reads.count_readable(connection, reader, scope), truth_reads.count_chunks(connection, reader, scope)

        documents, chunks = await self._truth.read(count)
        collection = pb.Collection(name=request.name, document_count=documents, chunk_count=chunks, index_epoch=self._index.epoch)
        return pb.GetCollectionResponse(collection=collection)


def _chunk_name(version_name: str, uid: str) -> str:
    return f"{version_name}/chunks/{uid}" if uid else ""


def _duration(seconds: float) -> Duration:
    made = Duration()
    made.FromNanoseconds(int(seconds * 1e9))
    return made


def _took_part(result: Result, models: Models) -> list[ModelRef]:
    """The models without which it would not have been found, or not there: the embedder for the dense leg, the reranker."""
    asked = ((models.embedder, result.dense), (models.reranker, result.rerank))
    return [model for model, score in asked if model is not None and score is not None]


def _evidence(result: Result, epoch: int, models: Models) -> Evidence:
    chunk = result.chunk
    version_name = f"{chunk.key.name}/versions/{chunk.version_uid}"
    scores = Scores(fused=result.fused)
    if result.dense is not None:
        scores.dense = result.dense
    if result.sparse is not None:
        scores.sparse = result.sparse
    if result.rerank is not None:
        scores.rerank = result.rerank
    return Evidence(
        name=f"ev_{secrets.token_hex(_EVIDENCE_ID_BYTES)}",
        chunk=_chunk_name(version_name, chunk.uid),
        document=chunk.key.name,
        document_version=version_name,
        title_path=chunk.title_path,
        text=chunk.text,
        spans=[TextRange(start=chunk.start, end=chunk.end)],
        scores=scores,
        index_epoch=epoch,
        models=_took_part(result, models),
        source_uri=chunk.source_uri,
        version_time=timestamp(chunk.version_time),
    )
