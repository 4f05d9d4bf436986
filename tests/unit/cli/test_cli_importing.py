"""Imports over a real stream: pipelined, resumed where it breaks, each file reported exactly once."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from ragmesh.retriever.v1 import document_service_pb2 as d
from ragmesh.retriever.v1 import document_service_pb2_grpc as d_grpc

from cli.documents import importing
from cli.documents.folder import read_folder
from cli.documents.importing import Fate, Imported, Importer
from services.mesh.errors import MeshError

COLLECTION = "collections/test"


class Store(d_grpc.DocumentServiceServicer):
    """Keeps what it is sent; `script` may answer a begin, or break the stream at it."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}
        self.begun: Counter[str] = Counter()
        self.received_bytes = 0
        self.script: Callable[[d.ImportBegin, Any], d.ImportDocumentsResponse | None] = lambda begin, context: None
        self.failure: MeshError | None = None
        self.forbidden = False

    async def ListDocuments(self, request: d.ListDocumentsRequest, context: Any) -> d.ListDocumentsResponse:
        if self.forbidden:
            await context.abort_with_status(MeshError("PERMISSION_DENIED", "needs the role editor").to_grpc())
        if not self.stored:
            await context.abort_with_status(MeshError("COLLECTION_NOT_FOUND", "none").to_grpc())
        names = sorted(self.stored)
        at = names.index(request.page_token) if request.page_token else 0
        page = names[at : at + 2]
        token = names[at + 2] if at + 2 < len(names) else ""
        documents = [d.Document(name=name, sha256=hashlib.sha256(self.stored[name]).hexdigest()) for name in page]
        return d.ListDocumentsResponse(documents=documents, next_page_token=token)

    async def ImportDocuments(self, requests: AsyncIterator[d.ImportDocumentsRequest], context: Any) -> AsyncIterator[Any]:
        begin, data, answered = d.ImportBegin(), b"", False
        async for request in requests:
            if request.HasField("begin"):
                begin, data, answered = request.begin, b"", False
                self.begun[begin.document] += 1
                if (answer := self.script(begin, context)) is not None:
                    answered = True
                    yield answer
                if self.failure is not None:
                    failure, self.failure = self.failure, None
                    await context.abort_with_status(failure.to_grpc())
            elif request.HasField("data"):
                data += request.data.data
                self.received_bytes += len(request.data.data)
            elif not answered:
                if hashlib.sha256(data).hexdigest() != begin.sha256:
                    rejected = d.ImportRejected(document=begin.document, reason="CHECKSUM_MISMATCH", message="other bytes")
                    yield d.ImportDocumentsResponse(rejected=rejected)
                    continue
                self.stored[begin.document] = data
                yield d.ImportDocumentsResponse(acked=d.ImportAcked(document=begin.document, chunk_count=1))


@asynccontextmanager
async def importer(store: Store, seen: list[Imported]) -> AsyncIterator[Importer]:
    server = grpc.aio.server()
    d_grpc.add_DocumentServiceServicer_to_server(store, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Importer(channel, COLLECTION, seen.append)
    finally:
        await server.stop(0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(12):
        (tmp_path / f"{number:02}.md").write_text(f"# Document {number}\n" * (number + 1))
    return tmp_path


def fates(seen: list[Imported]) -> Counter[Fate]:
    return Counter(imported.fate for imported in seen)


async def test_every_file_is_stored_and_the_second_time_passed_over(folder: Path) -> None:
    store, seen = Store(), []
    files = read_folder(folder, "p").files
    async with importer(store, seen) as run:
        await run.run(files)
        assert fates(seen) == {Fate.STORED: 12}
        assert store.stored == {
            f"{COLLECTION}/documents/p~-{number:02}.md": (folder / f"{number:02}.md").read_bytes() for number in range(12)
        }
        seen.clear()
        (folder / "03.md").write_text("changed")
        await run.run(files)
    assert fates(seen) == {Fate.UNCHANGED: 11, Fate.STORED: 1}
    assert sum(store.begun.values()) == 13


async def test_a_rejected_document_stops_no_other_and_is_not_sent_to_its_end(folder: Path) -> None:
    (folder / "huge.md").write_bytes(b"x" * 32 * 1024 * 1024)
    store, seen = Store(), []

    def refuse(begin: d.ImportBegin, _: Any) -> d.ImportDocumentsResponse | None:
        if begin.size_bytes < 1_000_000:
            return None
        rejected = d.ImportRejected(document=begin.document, reason="DOCUMENT_TOO_LARGE", message="split it")
        return d.ImportDocumentsResponse(rejected=rejected)

    store.script = refuse
    async with importer(store, seen) as run:
        await run.run(read_folder(folder, "p").files)
    assert fates(seen) == {Fate.STORED: 12, Fate.REJECTED: 1}
    (rejected,) = [imported for imported in seen if imported.fate is Fate.REJECTED]
    assert (rejected.source.relative, rejected.reason, rejected.message) == ("huge.md", "DOCUMENT_TOO_LARGE", "split it")
    assert store.received_bytes < 16 * 1024 * 1024


async def test_a_stream_that_breaks_is_resumed_and_nothing_is_reported_twice(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "_RETRY_SECONDS", 0.0)
    store, seen = Store(), []

    def break_once(begin: d.ImportBegin, _: Any) -> None:
        if begin.document.endswith("07.md") and store.begun[begin.document] == 1:
            store.failure = MeshError("DRAINING", "the retriever ends", retry_after=0.0)

    store.script = break_once
    async with importer(store, seen) as run:
        await run.run(read_folder(folder, "p").files)
    assert fates(seen) == {Fate.STORED: 12}
    assert len({imported.source.relative for imported in seen}) == 12
    assert store.begun[f"{COLLECTION}/documents/p~-07.md"] == 2


async def test_an_import_that_may_not_be_is_one_typed_error(folder: Path) -> None:
    store, seen = Store(), []
    store.forbidden = True
    async with importer(store, seen) as run:
        with pytest.raises(MeshError) as caught:
            await run.run(read_folder(folder, "p").files)
    assert caught.value.reason == "PERMISSION_DENIED"
    assert not seen


async def test_a_retriever_that_stays_down_ends_the_import_after_some_attempts(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "_RETRY_SECONDS", 0.0)
    store, seen = Store(), []

    def never(begin: d.ImportBegin, _: Any) -> None:
        store.failure = MeshError("DRAINING", "the retriever ends", retry_after=0.0)

    store.script = never
    async with importer(store, seen) as run:
        with pytest.raises(MeshError) as caught:
            await run.run(read_folder(folder, "p").files)
    # grpc.aio loses the server's own words where a write meets the end of the stream.
    assert caught.value.reason in ("DRAINING", "SERVICE_UNAVAILABLE")
    assert store.begun[f"{COLLECTION}/documents/p~-00.md"] == importing.MAX_ATTEMPTS


async def test_a_file_that_goes_away_on_the_way_is_reported(folder: Path) -> None:
    store, seen = Store(), []
    files = read_folder(folder, "p").files
    (folder / "00.md").unlink()
    async with importer(store, seen) as run:
        await run.run(files)
    assert fates(seen) == {Fate.STORED: 11, Fate.REJECTED: 1}
    (gone,) = [imported for imported in seen if imported.fate is Fate.REJECTED]
    assert (gone.source.relative, gone.reason) == ("00.md", "DOCUMENT_UNREADABLE")


async def test_nothing_to_import_is_nothing_to_do() -> None:
    store, seen = Store(), []
    async with importer(store, seen) as run:
        await run.run([])
    assert not seen
    assert not store.begun
