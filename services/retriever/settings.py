"""Settings of the retriever, beside those that every service has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator
from ragmesh.evidence.v1.search_pb2 import RewriteKind

from services.mesh.deadline import MAX_CALL_SECONDS
from services.mesh.settings import MeshSettings
from services.retriever.chunking import ChunkSizes
from services.retriever.index_optimiser import OptimiseRules
from services.retriever.postgres.settings import PostgresSettings
from services.retriever.weaviate_settings import WeaviateSettings

RewriteName = Literal["history", "subject", "spelling", "acronym", "synonym", "compound", "parts", "reformulation"]


def rewrite_kinds(names: Sequence[RewriteName]) -> list[RewriteKind.ValueType]:
    """The contract's names for ways of rewriting."""
    return [RewriteKind.Value(f"REWRITE_KIND_{name.upper()}") for name in names]


class RetrieverSettings(MeshSettings):
    """What the retriever is told at start; environment variables `RAGMESH_RETRIEVER_...`."""

    retriever_index: Literal["edge", "exact", "weaviate"] = "edge"
    """Index of the chunks: `edge` is qdrant-edge, `exact` SQLite FTS5 and a scan of all vectors (slow, always right), `weaviate`
    a Weaviate server, see `retriever_weaviate`."""

    retriever_weaviate: WeaviateSettings = WeaviateSettings()
    """Where the Weaviate is and what is asked of it; `RAGMESH_RETRIEVER_WEAVIATE__NODES='[{"host": ...}]'` and so on."""

    retriever_truth: Literal["sqlite", "postgresql"] = "sqlite"
    """Where the documents are: `sqlite` in a file of this retriever, `postgresql` in a database that several retrievers may share,
    see `retriever_postgres`."""

    retriever_postgres: PostgresSettings = PostgresSettings()
    """Where the PostgreSQL is and what is asked of it; `RAGMESH_RETRIEVER_POSTGRES__DSN` and so on."""

    retriever_chunk_tokens: Annotated[int, Field(ge=32, le=1024)] = 220
    """Length that chunks aim at, in tokens of the mesh's tokenizer."""

    retriever_chunk_max_tokens: Annotated[int, Field(ge=48, le=1024)] = 320
    """Longest chunk, in tokens. Only a sentence that is longer alone is cut."""

    retriever_max_document_bytes: Annotated[int, Field(ge=1024, le=256 * 1024 * 1024)] = 32 * 1024 * 1024
    """Largest document that may be imported."""

    retriever_spool_bytes: Annotated[int, Field(ge=4096, le=64 * 1024 * 1024)] = 1024 * 1024
    """Bytes of a coming document that stay in memory; what is beyond goes to a file."""

    retriever_former_versions: Annotated[int, Field(ge=0, le=100)] = 2
    """Former versions of a document that are kept, so that passages of older answers can still be shown."""

    retriever_import_idle_seconds: Annotated[float, Field(gt=0, le=3600)] = 60.0
    """How long an import stream may be silent."""

    retriever_concurrent_imports: Annotated[int, Field(ge=1, le=256)] = 16
    """Documents that are on their way at a time, over all streams: what they ask of models and stores goes together."""

    retriever_concurrent_bytes: Annotated[int, Field(ge=1024 * 1024, le=1024 * 1024 * 1024)] = 32 * 1024 * 1024
    """Bytes that these documents may have together; one that alone has more is on its way alone."""

    retriever_import_window: Annotated[int, Field(ge=1, le=256)] = 16
    """Documents of one stream that wait for their answers; no more of it is read meanwhile."""

    retriever_give_way_seconds: Annotated[float, Field(ge=0, le=60)] = 1.0
    """Longest time in a row that imports wait while somebody waits for a search; 0: they never wait. See `docs/operations.md`."""

    retriever_least_free_bytes: Annotated[int, Field(ge=0)] = 128 * 1024 * 1024
    """Room on the disk below which nothing is imported, while searches go on; 0: until it is full, which ends the process."""

    retriever_parse_seconds: Annotated[float, Field(gt=0, le=600)] = 60.0
    """How long parsing one document may take."""

    retriever_parser_memory_bytes: Annotated[int, Field(ge=256 * 1024 * 1024)] = 2 * 1024 * 1024 * 1024
    """Address space of the parser process."""

    retriever_embed_batch: Annotated[int, Field(ge=1, le=64)] = 16
    """Passages that are embedded in one inference: the question of a search may wait behind one, and larger ones are no faster."""

    retriever_model_seconds: Annotated[float, Field(gt=0, le=300)] = 30.0
    """How long one inference of an import may take."""

    retriever_guard_seconds: Annotated[float, Field(gt=0, le=MAX_CALL_SECONDS)] = 30.0
    """How long the guard may take for one batch of passages of an import; it ends a call after `MAX_CALL_SECONDS` in any case."""

    retriever_guard_use_seconds: Annotated[float, Field(gt=0, le=60)] = 2.0
    """How long the guard may take for the passages of a search that it has not judged yet; without its word none is handed out."""

    retriever_fusion: Literal["relative", "ranks"] = "relative"
    """How the legs become one order: by their relative scores, or by reciprocal ranks. `fusion` says what was measured."""

    retriever_dense_weight: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Weight of the dense leg in the fusion where a search names none; the BM25 leg has 1 minus it."""

    retriever_dense_seconds: Annotated[float, Field(gt=0, le=60)] = 1.0
    """Longest time that the dense leg of a search may take; BM25 alone answers after it."""

    retriever_overfetch: Annotated[int, Field(ge=1, le=16)] = 4
    """How many times more hits than wanted each leg brings, because some may not be current or readable."""

    retriever_rewrite_without: Annotated[tuple[RewriteName, ...], Field(max_length=8)] = ()
    """Ways of rewriting a question that are left out of every search. `docs/search.md` says what each does and is worth."""

    retriever_lexicon_seconds: Annotated[float, Field(ge=0, le=5)] = 0.1
    """How long a search may wait until the words of a collection are learned. What comes later helps the searches after it."""

    retriever_rerank_depth: Annotated[int, Field(ge=0, le=100)] = 10
    """How many candidates of a search the reranker's cross-encoder may read where the search does not say; 0 reranks nothing."""

    retriever_rerank_candidates: Annotated[int, Field(ge=1, le=100)] = 50
    """How many of the best candidates are ordered again by the reranker's features."""

    retriever_rerank_seconds: Annotated[float, Field(gt=0, le=60)] = 0.6
    """Longest time that reranking may take; the order of the fusion answers after it."""

    retriever_chunks_per_document: Annotated[int, Field(ge=1, le=64)] = 3
    """Chunks of one document that come before the best of the others. More follow behind, where there is room."""

    retriever_fallback_chunks: Annotated[int, Field(ge=0, le=1_000_000)] = 50_000
    """Up to this many chunks the exact store answers in memory while a broken index is rebuilt."""

    retriever_optimise_chunks: Annotated[int, Field(ge=0)] = 10_000
    """From this many chunks on the embedded index is optimised when it has grown; 0 never does. See `docs/operations.md`."""

    retriever_optimise_share: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Part of its chunks that has to be new for that."""

    retriever_optimise_seconds: Annotated[float, Field(gt=0, le=6 * 3600)] = 1800.0
    """How long the program that optimises may take; what comes later is thrown away."""

    @model_validator(mode="after")
    def _ordered(self) -> RetrieverSettings:
        if self.retriever_chunk_max_tokens < self.retriever_chunk_tokens:
            raise ValueError("retriever_chunk_max_tokens must not be less than retriever_chunk_tokens")
        return self

    @property
    def folder(self) -> Path:
        """Everything that the retriever keeps."""
        return self.data_dir / "retriever"

    @property
    def optimise_rules(self) -> OptimiseRules | None:
        """When the index is optimised; None: never."""
        if self.retriever_optimise_chunks == 0:
            return None
        return OptimiseRules(self.retriever_optimise_chunks, self.retriever_optimise_share, self.retriever_optimise_seconds)

    @property
    def chunk_sizes(self) -> ChunkSizes:
        """How long chunks are."""
        return ChunkSizes(self.retriever_chunk_tokens, self.retriever_chunk_max_tokens)
