"""Imports over a real stream: pipelined, resumed where it breaks, each file reported exactly once."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import signal
import sys
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
from cli.documents.importing import Fate, Hashes, Imported, Importer
from cli.documents.session import import_folder, report_of
from cli.documents.watching import follow
from cli.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_UNAVAILABLE, CliError
from cli.settings import REPOSITORY
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
        self.sources: dict[str, str] = {}
        self.outdated: set[str] = set()

    async def DeleteDocument(self, request: d.DeleteDocumentRequest, context: Any) -> d.DeleteDocumentResponse:
        if request.name not in self.stored:
            await context.abort_with_status(MeshError("DOCUMENT_NOT_FOUND", "none").to_grpc())
        del self.stored[request.name]
        return d.DeleteDocumentResponse(chunk_count=1)

    async def ListDocuments(self, request: d.ListDocumentsRequest, context: Any) -> d.ListDocumentsResponse:
        if self.forbidden:
            await context.abort_with_status(MeshError("PERMISSION_DENIED", "needs the role editor").to_grpc())
        if not self.stored:
            await context.abort_with_status(MeshError("COLLECTION_NOT_FOUND", "none").to_grpc())
        names = sorted(name for name in self.stored if request.source in ("", self.sources[name]))
        at = names.index(request.page_token) if request.page_token else 0
        page = names[at : at + 2]
        token = names[at + 2] if at + 2 < len(names) else ""
        documents = [
            d.Document(
                name=name,
                sha256=hashlib.sha256(self.stored[name]).hexdigest(),
                source=self.sources[name],
                outdated=name in self.outdated,
            )
            for name in page
        ]
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
                self.sources[begin.document] = begin.source
                self.outdated.discard(begin.document)
                yield d.ImportDocumentsResponse(acked=d.ImportAcked(document=begin.document, chunk_count=1))


@asynccontextmanager
async def serving(store: Store) -> AsyncIterator[str]:
    server = grpc.aio.server()
    d_grpc.add_DocumentServiceServicer_to_server(store, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


@asynccontextmanager
async def importer(store: Store, seen: list[Imported]) -> AsyncIterator[Importer]:
    async with serving(store) as target, grpc.aio.insecure_channel(target) as channel:
        yield Importer(channel, COLLECTION, seen.append)


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


SOURCE = f"{COLLECTION}/sources/p"


def ids(store: Store) -> set[str]:
    return {name.rpartition("~-")[2] for name in store.stored}


async def bring(target: str, folder: Path, source: str = SOURCE, **options: Any) -> Any:
    content = read_folder(folder, source.rpartition("/")[2])
    options.setdefault("prune", True)
    return await import_folder(target, source, content, "Storing", **options)


async def test_vanished_files_are_removed_only_of_their_source_and_only_when_asked(folder: Path, tmp_path: Path) -> None:
    store = Store()
    other = tmp_path / "other"
    other.mkdir()
    (other / "kept.txt").write_text("Of another folder.")
    async with serving(store) as target:
        await bring(target, folder)
        await bring(target, other, f"{COLLECTION}/sources/q")
        (folder / "03.md").unlink()
        assert (await bring(target, folder, prune=False)).removed == 0
        assert "03.md" in ids(store)
        tally = await bring(target, folder)
    assert tally.removed == 1
    assert "03.md" not in ids(store)
    assert f"{COLLECTION}/documents/q~-kept.txt" in store.stored
    assert report_of(tally, read_folder(folder, "p"), [SOURCE])["removed"] == 1


async def test_a_file_that_was_moved_is_no_repetition_of_the_document_that_it_was(folder: Path) -> None:
    store = Store()
    async with serving(store) as target:
        await bring(target, folder)
        (folder / "03.md").rename(folder / "moved.md")
        resembles = f"{COLLECTION}/documents/p~-03.md"

        def near(begin: d.ImportBegin, context: Any) -> d.ImportDocumentsResponse:
            return d.ImportDocumentsResponse(acked=d.ImportAcked(document=begin.document, near_duplicate_of=resembles))

        store.script = near
        kept = await bring(target, folder, prune=False)
        moved = await bring(target, folder)
    assert kept.near_duplicates == [("moved.md", "p~-03.md")]
    assert (moved.removed, moved.near_duplicates) == (1, [])


async def test_an_unreadable_file_is_not_taken_for_vanished(folder: Path) -> None:
    store = Store()
    async with serving(store) as target:
        await bring(target, folder)
        (folder / "03.md").write_bytes(b"\x7fELF\0\0")
        tally = await bring(target, folder)
    assert tally.removed == 0
    assert "03.md" in ids(store)


async def test_nothing_is_removed_by_accident(folder: Path) -> None:
    store = Store()
    async with serving(store) as target:
        await bring(target, folder)
        for path in folder.glob("*.md"):
            path.unlink()
        with pytest.raises(CliError, match="All 12 documents"):
            await bring(target, folder)
        assert len(store.stored) == 12
        (folder / "away").symlink_to(folder / "disk that is not mounted")
        with pytest.raises(CliError, match="could not be read"):
            await bring(target, folder, force=True)
        (folder / "away").unlink()
        assert (await bring(target, folder, force=True)).removed == 12
    assert not store.stored


async def test_what_an_older_release_cut_or_another_source_sent_is_sent_again(folder: Path) -> None:
    store = Store()
    async with serving(store) as target:
        await bring(target, folder)
        store.outdated.add(f"{COLLECTION}/documents/p~-03.md")
        store.sources[f"{COLLECTION}/documents/p~-04.md"] = ""
        tally = await bring(target, folder)
    assert tally.counts == {Fate.UNCHANGED: 10, Fate.STORED: 2}


async def command(*arguments: str) -> asyncio.subprocess.Process:
    line = (sys.executable, "-c", "from cli.main import main; main()", *arguments)
    return await asyncio.create_subprocess_exec(*line, stderr=asyncio.subprocess.PIPE, cwd=REPOSITORY)


async def test_files_are_the_documents_that_their_folder_makes_of_them(folder: Path) -> None:
    (folder / "photo.jpg").write_bytes(b"\xff\xd8")
    store, collection = Store(), ("--collection", COLLECTION)
    async with serving(store) as target:
        alone = await command(
            "ingest", str(folder / "03.md"), str(folder / "photo.jpg"), str(folder / "04.md"), *collection, "--target", target
        )
        _, said = await alone.communicate()
        assert alone.returncode == EXIT_FAILED
        assert b"2 stored, 0 unchanged, 1 failed" in said, said
        assert b"photo.jpg: is of none of the kinds" in said
        assert ids(store) == {"03.md", "04.md"}
        together = await command("ingest", str(folder), *collection, "--target", target)
        _, said = await together.communicate()
        assert b"10 stored, 2 unchanged, 0 failed" in said, said
        assert together.returncode == 0
    assert len(store.stored) == 12
    assert set(store.begun.values()) == {1}


async def test_an_import_that_its_user_ends_says_how_far_it_came_and_what_to_do(folder: Path) -> None:
    begun, never = asyncio.Event(), asyncio.Event()

    class Hanging(Store):
        async def ImportDocuments(self, requests: AsyncIterator[d.ImportDocumentsRequest], context: Any) -> AsyncIterator[Any]:
            async for response in super().ImportDocuments(requests, context):
                if len(self.stored) == 4:
                    begun.set()
                    await never.wait()
                yield response

    store = Hanging()
    async with serving(store) as target:
        process = await command("ingest", str(folder), "--collection", COLLECTION, "--target", target)
        await begun.wait()
        process.send_signal(signal.SIGINT)
        _, said = await process.communicate()
        # Whether the last answer was read yet, nobody knows.
        assert re.search(
            rb"Stopped after [0-3] of 12 documents: [0-3] stored, 0 unchanged, 0 failed\.\n.*same command goes on", said
        ), said
        assert process.returncode == EXIT_INTERRUPTED
        never.set()


def test_a_file_that_did_not_change_is_not_read_again(tmp_path: Path) -> None:
    path, hashes = tmp_path / "a", Hashes()
    path.write_text("one")
    first, before = hashes.of(path), path.stat()
    path.write_text("two")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert hashes.of(path) == first, "same size, same time"
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert hashes.of(path) == (hashlib.sha256(b"two").hexdigest(), 3)


async def test_a_watched_folder_is_followed_and_survives_a_mesh_that_is_away(folder: Path) -> None:
    store, stop, hashes = Store(), asyncio.Event(), Hashes()
    brought = asyncio.Queue[int]()
    away = [True]
    failures: list[CliError] = []
    async with serving(store) as target:

        async def once() -> None:
            if away:
                away.pop()
                raise CliError("away", exit_code=EXIT_UNAVAILABLE)
            tally = await bring(target, folder, hashes=hashes)
            brought.put_nowait(tally.counts[Fate.STORED] + tally.removed)

        following = asyncio.create_task(follow(folder, once, failures.append, stop))
        async with asyncio.timeout(60):
            assert await brought.get() == 12
            (folder / "new.md").write_text("# New")
            while "new.md" not in ids(store):
                await brought.get()
            (folder / "new.md").unlink()
            while "new.md" in ids(store):
                await brought.get()
            stop.set()
            await following
    assert len(store.stored) == 12
    assert [failure.message for failure in failures] == ["away"]
