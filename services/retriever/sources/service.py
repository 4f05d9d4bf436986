"""What DocumentService does with sources: editors register, list and delete them; editors and signed calls refresh."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from ragmesh.identity.v1.principal_pb2 import Principal
from ragmesh.retriever.v1 import document_service_pb2 as pb

from services.mesh import context as call
from services.mesh.errors import MeshError
from services.mesh.identity import DEFAULT_TENANT
from services.retriever import truth_reads, truth_sources
from services.retriever.ingest import Ingest
from services.retriever.records import Reader
from services.retriever.sources import signing
from services.retriever.sources.addresses import Addresses
from services.retriever.sources.crawling import Crawl
from services.retriever.sources.fetching import Fetcher
from services.retriever.sources.news import Limits, News
from services.retriever.sources.refreshing import MAX_FAILURES, Counts, Refreshing, Verified
from services.retriever.sources.repository import read_repository
from services.retriever.truth import Connection, Truth
from services.retriever.truth_sources import SourceKey, SourceRecord

_EDITOR = "editor"
_PROGRESS_SECONDS = 0.5
_NOT_REGISTERED = (
    "there is no such source; a folder is none, because nobody who may call this shall have files of this machine read: "
    "`ragmesh ingest` or `ragmesh watch` reads it again, where it lies"
)


class SourceCalls:
    """The calls of DocumentService that are about sources."""

    def __init__(self, truth: Truth, ingest: Ingest, refreshing: Refreshing) -> None:
        self._truth = truth
        self._ingest = ingest
        self._refreshing = refreshing

    async def register(self, request: pb.RegisterSourceRequest) -> pb.RegisterSourceResponse:
        """Keeps a source."""
        principal = call.require_role(_EDITOR)
        source = pb.Source()
        source.CopyFrom(request.source)
        for field in ("create_time", "refresh_time", "document_count"):
            source.ClearField(field)
        secret = signing.make_secret() if request.make_secret else None
        key = SourceKey.parse(principal.tenant, source.name)
        definition = source.SerializeToString(deterministic=True)
        record = await self._truth.write(lambda connection: truth_sources.put_source(connection, key, definition, secret))
        return pb.RegisterSourceResponse(source=_source(record), secret=secret or "")

    async def list(self, request: pb.ListSourcesRequest) -> pb.ListSourcesResponse:
        """Names the sources of a collection."""
        tenant = call.require_role(_EDITOR).tenant
        collection = request.parent.removeprefix("collections/")

        def read(connection: Connection) -> list[SourceRecord]:
            if truth_reads.find_collection(connection, tenant, collection) is None:
                raise MeshError("COLLECTION_NOT_FOUND", "there is no such collection", metadata={"collection": request.parent})
            return truth_sources.list_sources(connection, tenant, collection)

        return pb.ListSourcesResponse(sources=[_source(record) for record in await self._truth.read(read)])

    async def delete(self, request: pb.DeleteSourceRequest) -> pb.DeleteSourceResponse:
        """Forgets a source with its documents. Documents that the caller may not read are not the caller's to delete."""
        principal = call.require_role(_EDITOR)
        key = SourceKey.parse(principal.tenant, request.name)
        await self._truth.read(lambda connection: truth_sources.find_source(connection, key))
        keys = await self._truth.read(lambda connection: truth_sources.document_keys(connection, key))
        reader = Reader(principal.tenant, tuple(principal.labels))
        for document in keys:
            if await self._truth.read(lambda c, document=document: truth_reads.find_document(c, reader, document)) is None:  # type: ignore[misc]
                raise MeshError("PERMISSION_DENIED", "the source has documents that you may not read", metadata={"role": _EDITOR})
        removed = await self._refreshing.remove(keys)
        await self._truth.write(lambda connection: truth_sources.forget_source(connection, key))
        return pb.DeleteSourceResponse(document_count=removed)

    async def refresh(self, request: pb.RefreshRequest) -> AsyncIterator[pb.RefreshResponse]:
        """Reads a source again."""
        record = await self._allowed(request)
        source = pb.Source.FromString(record.definition)
        limits = _limits(source.limits)
        counts, begun, told, failures = Counts(), time.monotonic(), 0.0, 0
        fetcher = Fetcher(Addresses(allow_private=source.allow_private), max_bytes=limits.page_bytes, delay=limits.delay)
        known = await self._truth.read(lambda connection: truth_sources.known_pages(connection, record.id))
        counts.waiting = 1
        crawl = Crawl(
            fetcher, self._ingest.parse, prefix=record.key.source, known=known, pipeline=self._ingest.pipeline, limits=limits
        )
        try:
            async with aclosing(self._news(source, crawl, record, limits)) as news:
                working = self._refreshing.run(
                    record, news, tuple(sorted(set(source.labels))), counts, seconds=limits.seconds, force=request.force
                )
                async with aclosing(working) as pieces:
                    async for failure in pieces:
                        counts.waiting = crawl.waiting
                        if failure is not None and failures < MAX_FAILURES:
                            failures += 1
                            yield pb.RefreshResponse(
                                failure=pb.RefreshFailure(uri=failure.uri, reason=failure.reason, message=failure.message)
                            )
                        if time.monotonic() - told >= _PROGRESS_SECONDS:
                            told = time.monotonic()
                            yield pb.RefreshResponse(progress=_progress(counts))
        finally:
            await fetcher.close()
        verified = await self._refreshing.verified(record)
        yield pb.RefreshResponse(finished=_finished(counts, verified, time.monotonic() - begun))

    async def _news(self, source: pb.Source, crawl: Crawl, record: SourceRecord, limits: Limits) -> AsyncGenerator[News, None]:
        if source.kind == pb.SOURCE_KIND_SITE:
            news = crawl.site(source.uri)
        elif source.kind == pb.SOURCE_KIND_FEED:
            news = crawl.feed(source.uri)
        else:
            known = await self._truth.read(lambda connection: truth_sources.known_pages(connection, record.id))
            news = read_repository(
                source.uri,
                self._ingest.parse,
                addresses=Addresses(allow_private=source.allow_private),
                prefix=record.key.source,
                known=known,
                pipeline=self._ingest.pipeline,
                limits=limits,
            )
        async with aclosing(news) as pieces:
            async for piece in pieces:
                yield piece

    async def _allowed(self, request: pb.RefreshRequest) -> SourceRecord:
        """The source, where the caller is an editor or knows its secret.

        Raises:
            MeshError: SOURCE_NOT_FOUND, SIGNATURE_INVALID, PERMISSION_DENIED.
        """
        principal = call.principal_or_none() or Principal(tenant=DEFAULT_TENANT)
        key = SourceKey.parse(principal.tenant, request.name)
        if _EDITOR in principal.roles and not request.HasField("signature"):
            try:
                return await self._truth.read(lambda connection: truth_sources.find_source(connection, key))
            except MeshError as error:
                if error.reason != "SOURCE_NOT_FOUND":
                    raise
                raise MeshError("SOURCE_NOT_FOUND", _NOT_REGISTERED, metadata=error.metadata) from error
        if not request.HasField("signature"):
            raise MeshError("PERMISSION_DENIED", "this needs the role editor, or a signature", metadata={"role": _EDITOR})
        if request.force:
            raise MeshError("PERMISSION_DENIED", "a signed call cannot force anything", metadata={"role": _EDITOR})
        signature, seconds = request.signature, request.signature.time.seconds
        try:
            record = await self._truth.read(lambda connection: truth_sources.find_source(connection, key))
        except MeshError as error:
            if error.reason != "SOURCE_NOT_FOUND":
                raise
            # Who knows no secret learns nothing about which sources there are.
            raise signing.invalid(request.name) from error
        signing.check(record.secret, request.name, seconds, signature.nonce, signature.hmac_sha256)
        until = seconds + 2 * signing.WINDOW_SECONDS
        unused = await self._truth.write(lambda connection: truth_sources.use_nonce(connection, record.id, signature.nonce, until))
        if not unused:
            raise signing.invalid(request.name)
        if not principal.subject:
            # What is asked of the guard on the way is asked on behalf of the source.
            call.set_principal(Principal(tenant=principal.tenant, subject=request.name))
        return record


def _limits(given: pb.SourceLimits) -> Limits:
    standard = Limits()
    return Limits(
        pages=given.max_pages if given.HasField("max_pages") else standard.pages,
        depth=given.max_depth if given.HasField("max_depth") else standard.depth,
        page_bytes=given.max_page_bytes if given.HasField("max_page_bytes") else standard.page_bytes,
        seconds=given.max_time.ToTimedelta().total_seconds() if given.HasField("max_time") else standard.seconds,
        delay=given.delay.ToTimedelta().total_seconds() if given.HasField("delay") else standard.delay,
    )


def _source(record: SourceRecord) -> pb.Source:
    source = pb.Source.FromString(record.definition)
    source.document_count = record.documents
    source.create_time.CopyFrom(_timestamp(record.create_time))
    if record.refresh_time is not None:
        source.refresh_time.CopyFrom(_timestamp(record.refresh_time))
    return source


def _timestamp(nanoseconds: int) -> Timestamp:
    made = Timestamp()
    made.FromNanoseconds(nanoseconds)
    return made


def _progress(counts: Counts) -> pb.RefreshProgress:
    return pb.RefreshProgress(
        read_count=counts.read,
        waiting_count=counts.waiting,
        stored_count=counts.stored,
        unchanged_count=counts.unchanged,
        failed_count=counts.failed,
        chunk_count=counts.chunks,
    )


def _finished(counts: Counts, verified: Verified, seconds: float) -> pb.RefreshFinished:
    elapsed = Duration()
    elapsed.FromNanoseconds(int(seconds * 1e9))
    return pb.RefreshFinished(
        progress=_progress(counts),
        removed_count=counts.removed,
        skipped_count=counts.skipped,
        document_count=verified.documents,
        chunk_count=verified.chunks,
        index_epoch=verified.epoch,
        complete=not counts.limit,
        limit=counts.limit,
        elapsed=elapsed,
    )
