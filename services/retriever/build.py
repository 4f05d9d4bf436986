"""Puts the retriever together: settings in, a service that the chassis can run out."""

from __future__ import annotations

import asyncio
import shutil

import grpc
from ragmesh.retriever.v1.document_service_pb2_grpc import add_DocumentServiceServicer_to_server
from ragmesh.retriever.v1.quarantine_service_pb2_grpc import add_QuarantineServiceServicer_to_server
from ragmesh.retriever.v1.retriever_service_pb2_grpc import add_RetrieverServiceServicer_to_server

from services.mesh.channel import open_channel
from services.mesh.errors import MeshError
from services.mesh.health import CannotServe
from services.mesh.log import get_logger
from services.mesh.paging import Pager, load_key
from services.mesh.server import ServiceSpec
from services.mesh.triton import TritonClient
from services.retriever import truth_reads
from services.retriever.clean_passages import CleanPassages
from services.retriever.disk_room import DiskRoom
from services.retriever.documents import DocumentServicer
from services.retriever.finishing import Finishing
from services.retriever.giving_way import GivingWay
from services.retriever.index_keeper import IndexKeeper
from services.retriever.index_kinds import store_kind
from services.retriever.ingest import Ingest
from services.retriever.legs import Legs
from services.retriever.models import Models, fingerprint
from services.retriever.parser_client import ParserClient
from services.retriever.publishing import Publishing
from services.retriever.quarantine import Quarantine
from services.retriever.quarantine_book import QuarantineBook
from services.retriever.quarantine_service import QuarantineServicer
from services.retriever.reranking import Reranking
from services.retriever.rewriting.keeper import LexiconKeeper
from services.retriever.rewriting.rewriter import Rewriter
from services.retriever.screening import Screening
from services.retriever.search import Search
from services.retriever.service import Defaults, RetrieverServicer
from services.retriever.settings import RetrieverSettings, rewrite_kinds
from services.retriever.truth import Truth
from services.retriever.truth_kinds import truth_of
from services.retriever.truth_writes import embedder_changed

log = get_logger(__name__)

_RETRIEVER = "ragmesh.retriever.v1.RetrieverService"
_DOCUMENTS = "ragmesh.retriever.v1.DocumentService"
_QUARANTINE = "ragmesh.retriever.v1.QuarantineService"
_RERANKER = "reranker"


async def known_embedder(truth: Truth) -> str:
    """Fingerprint of the embedder behind the stored vectors; empty where there are none."""
    return await truth.read(lambda connection: truth_reads.meta(connection, "embedder"))


async def refuse_other_embedder(truth: Truth, models: Models) -> bool:
    """Looks whether the served embedder made the stored vectors; False where none is served yet, so that readiness has to tell.

    Raises:
        MeshError: EMBEDDER_CHANGED.
    """
    known = await known_embedder(truth)
    try:
        served = fingerprint(await models.identify())
    except MeshError as error:
        log.warning("models.unavailable", reason=error.reason)
        return False
    if known and known != served:
        raise embedder_changed(known, served)
    return True


class Retriever:
    """Everything that one process of the retriever holds. Made by `open`, ended by `close`."""

    def __init__(self, settings: RetrieverSettings) -> None:
        self.settings = settings
        self.truth = truth_of(settings)
        self.way = GivingWay(settings.retriever_give_way_seconds)
        self.index = IndexKeeper(
            self.truth,
            settings.folder / "index",
            settings.retriever_index,
            store_kind(settings),
            settings.retriever_fallback_chunks,
            settings.optimise_rules,
            self.way,
        )
        self.triton = TritonClient(settings.triton)
        self.models = Models(self.triton, batch=settings.retriever_embed_batch, seconds=settings.retriever_model_seconds)
        self.guard = open_channel(settings, "guard", caller="retriever")
        self.parser = ParserClient(seconds=settings.retriever_parse_seconds, memory_bytes=settings.retriever_parser_memory_bytes)
        self.finishing = Finishing()
        self.book = QuarantineBook(settings.folder, self.truth)
        self.passed = CleanPassages(settings.folder / "clean_passages")
        self.screening = Screening(
            self.guard,
            self.book,
            self.passed,
            self.way,
            seconds=settings.retriever_guard_seconds,
            use_seconds=settings.retriever_guard_use_seconds,
        )
        self.quarantine = Quarantine(self.truth, self.index, self.models, self.screening, self.book, self.finishing)
        self.ingest = Ingest(
            self.truth,
            Publishing(self.truth, self.index, self.finishing, self.way, keep=settings.retriever_former_versions),
            self.models,
            self.screening,
            self.parser,
            self.way,
            DiskRoom(settings.folder, settings.retriever_least_free_bytes),
            sizes=settings.chunk_sizes,
            embed_batch=settings.retriever_embed_batch,
            concurrent=settings.retriever_concurrent_imports,
            concurrent_bytes=settings.retriever_concurrent_bytes,
        )
        self.lexicons = LexiconKeeper(self.truth, self.way, wait_seconds=settings.retriever_lexicon_seconds)
        self.search = Search(
            self.truth,
            self.index,
            Legs(self.truth, self.index, self.models, dense_seconds=settings.retriever_dense_seconds),
            self.lexicons,
            Rewriter(rewrite_kinds(settings.retriever_rewrite_without)),
            Reranking(self.models, candidates=settings.retriever_rerank_candidates, seconds=settings.retriever_rerank_seconds),
            overfetch=settings.retriever_overfetch,
            per_document=settings.retriever_chunks_per_document,
        )
        self._pager = Pager(load_key(settings.folder / "page_token.key"))
        self._fitted = False
        """Whether the served embedder was seen to be that of the stored vectors. One that changes later is met by each search."""

    @classmethod
    async def open(cls, settings: RetrieverSettings) -> Retriever:
        """Opens stores and index.

        Raises:
            TruthUnusable: where the store of truth cannot be used.
            MeshError: EMBEDDER_CHANGED.
        """
        made = cls(settings)
        try:
            # What a killed process was receiving was never acked.
            spool = settings.folder / "spool"
            shutil.rmtree(spool, ignore_errors=True)
            spool.mkdir(mode=0o700)
            await made.truth.open()
            made._fitted = await refuse_other_embedder(made.truth, made.models)
            await made.index.open()
        except BaseException:
            await made.close()
            raise
        return made

    def register(self, server: grpc.aio.Server) -> None:
        """Adds both services to a server."""
        settings = self.settings
        defaults = Defaults(
            dense_weight=settings.retriever_dense_weight,
            rerank_depth=settings.retriever_rerank_depth,
            fusion=settings.retriever_fusion,
            per_document=settings.retriever_chunks_per_document,
            chunk_tokens=settings.retriever_chunk_max_tokens,
        )
        retriever = RetrieverServicer(self.search, self.quarantine, self.truth, self.index, self.models, self.way, defaults)
        documents = DocumentServicer(settings, self.truth, self.index, self.ingest, self.finishing, self._pager)
        add_RetrieverServiceServicer_to_server(retriever, server)
        add_DocumentServiceServicer_to_server(documents, server)
        add_QuarantineServiceServicer_to_server(QuarantineServicer(self.quarantine, self._pager), server)

    async def readiness(self) -> dict[str, bool]:
        """Which dependencies are up: both stores, the models by a real inference of each, and whether these fit together.

        Without its reranker it still searches: that one is named, and counts for nothing.

        Raises:
            CannotServe: the embedder, which was not served yet at the start, is another one than that of the stored vectors.
        """
        known, *models = await asyncio.gather(
            known_embedder(self.truth), self.models.identify(), self.models.identify_reranker(), return_exceptions=True
        )
        for outcome in (known, *models):
            if isinstance(outcome, BaseException) and not isinstance(outcome, MeshError):
                raise outcome
        served = self.models.embedder
        fits = served is not None and isinstance(known, str) and known in ("", fingerprint(served))
        if not (fits or self._fitted) and served is not None and isinstance(known, str):
            raise CannotServe(embedder_changed(known, fingerprint(served)))
        self._fitted = self._fitted or fits
        return {
            "truth": isinstance(known, str),
            "index": self.index.healthy,
            "triton": served is not None,
            "models": fits and self.models.tokenizers_agree,
            _RERANKER: self.models.reranker is not None,
        }

    async def close(self) -> None:
        """Finishes what was begun, then lets go of everything."""
        await self.finishing.close()
        await self.lexicons.close()
        await self.index.close()
        await self.parser.close()
        await self.guard.close()
        await self.triton.close()
        await self.book.close()
        self.passed.close()
        await self.truth.close()


async def build(settings: RetrieverSettings) -> ServiceSpec:
    """The retriever as the chassis runs it.

    Raises:
        TruthUnusable, MeshError: see `Retriever.open`.
    """
    return service_spec(await Retriever.open(settings))


def service_spec(retriever: Retriever) -> ServiceSpec:
    """What the chassis must know about the retriever."""
    return ServiceSpec(
        name="retriever",
        grpc_services=(_RETRIEVER, _DOCUMENTS, _QUARANTINE),
        register=retriever.register,
        readiness=retriever.readiness,
        optional=frozenset({_RERANKER}),
        close=retriever.close,
        peers={
            _RETRIEVER: frozenset({"gateway"}),
            _DOCUMENTS: frozenset({"gateway", "envoy"}),
            _QUARANTINE: frozenset({"gateway"}),
        },
        # Where the owner routes it in public, who signs with a source's secret needs no session.
        anonymous=frozenset({f"/{_DOCUMENTS}/Refresh"}),
        unbounded=frozenset({f"/{_DOCUMENTS}/ImportDocuments", f"/{_DOCUMENTS}/Refresh"}),
    )
