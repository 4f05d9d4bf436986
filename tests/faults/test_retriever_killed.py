"""A retriever that is killed with SIGKILL at any moment: what it acked is there, and no document is there by half."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from ragmesh.retriever.v1 import document_service_pb2 as documents_pb
from ragmesh.retriever.v1 import retriever_service_pb2 as pb
from ragmesh.retriever.v1.document_service_pb2_grpc import DocumentServiceStub
from ragmesh.retriever.v1.retriever_service_pb2_grpc import RetrieverServiceStub

from services.mesh import context
from services.mesh.channel import open_channel
from services.retriever.settings import RetrieverSettings
from tests.service.retriever.retriever_fixture import EDITOR, RecordingGuard, import_of, running_guard, short_folder
from tests.service.triton_fixture import RunningTriton, triton_server
from tests.unit.retriever.local_site import local_site

__all__ = ["triton_server"]

SEED = 20260721
ROUNDS = 5
PARTS = 4
START_SECONDS = 60


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as made:
        yield made


def environment(folder: Path, triton: str) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "RAGMESH_RUN_DIR": str(folder / "run"),
        "RAGMESH_DATA_DIR": str(folder / "data"),
        "RAGMESH_TRITON": triton,
        "RAGMESH_LOG_LEVEL": "warning",
    }


async def launch(folder: Path, triton: str, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.retriever",
        *arguments,
        env=environment(folder, triton),
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
    )


@asynccontextmanager
async def process_of(
    folder: Path, triton: str, settings: RetrieverSettings
) -> AsyncIterator[tuple[asyncio.subprocess.Process, grpc.aio.Channel]]:
    """A retriever process that answers, and a channel to it; killed at the end where it still runs."""
    (folder / "run" / "retriever.sock").unlink(missing_ok=True)
    process = await launch(folder, triton)
    channel = open_channel(settings, "retriever")
    try:
        deadline = time.monotonic() + START_SECONDS
        while not (folder / "run" / "retriever.sock").exists():
            assert process.returncode is None, "it ended"
            assert time.monotonic() < deadline, "it did not start"
            await asyncio.sleep(0.02)
        await asyncio.wait_for(channel.channel_ready(), START_SECONDS)
        yield process, channel
    finally:
        await channel.close()
        if process.returncode is None:
            process.kill()
        await process.communicate()


def document(number: int, version: int) -> str:
    sections = (f"## Part {part}\n\nZebra{number} of version{version} in part {part}.\n" for part in range(PARTS))
    return f"# Document {number}\n\n" + "\n".join(sections)


async def acked_until_lost(channel: grpc.aio.Channel, round_number: int, acked: dict[int, int], tried: dict[int, int]) -> None:
    """Imports new and changed documents until the process is gone; notes what was acked."""
    requests = []
    for number in range(60):
        # Some are new in each round, the others are replaced.
        name, version = (number if number % 2 else 100 * round_number + number), round_number
        tried[name] = version
        requests.append((name, version))
    for name, version in requests:
        with context.as_principal(EDITOR):
            call = DocumentServiceStub(channel).ImportDocuments(_stream(name, version))
            async for response in call:
                assert response.HasField("acked"), response
                acked[name] = version


async def _stream(name: int, version: int) -> AsyncIterator[documents_pb.ImportDocumentsRequest]:
    for request in import_of(f"d{name}", document(name, version)):
        yield request


async def verify(channel: grpc.aio.Channel, acked: dict[int, int], tried: dict[int, int]) -> None:
    """Every acked document is found whole; what was not acked is there whole or not at all."""
    stub = RetrieverServiceStub(channel)
    with context.as_principal(EDITOR):
        for name, last in tried.items():
            request = pb.SearchRequest(collection="collections/default", query=f"zebra{name}", limit=16, dense_weight=0.0)
            found = await stub.Search(request, timeout=20)
            mine = [one.text for one in found.evidence if one.document.endswith(f"/d{name}")]
            versions = {text.split(" in part")[0].rpartition("version")[2] for text in mine}
            assert len(mine) in (0, PARTS), (name, mine)
            assert len(versions) <= 1, (name, mine)
            if name in acked:
                assert mine, f"d{name} was acked and is lost"
                assert acked[name] <= int(versions.pop()) <= last


@pytest.mark.timeout(300)
async def test_killed_at_any_moment(folder: Path, triton_server: RunningTriton) -> None:
    rng = random.Random(SEED)
    settings = RetrieverSettings(run_dir=folder / "run", data_dir=folder / "data", triton=triton_server.grpc)
    acked: dict[int, int] = {}
    tried: dict[int, int] = {}
    async with running_guard(settings, RecordingGuard()):
        for round_number in range(1, ROUNDS + 1):
            async with process_of(folder, triton_server.grpc, settings) as (process, channel):
                if tried:
                    await verify(channel, acked, tried)
                importing = asyncio.create_task(acked_until_lost(channel, round_number, acked, tried))
                before = len(acked)
                deadline = time.monotonic() + START_SECONDS
                while len(acked) == before and round_number == 1:
                    assert time.monotonic() < deadline
                    await asyncio.sleep(0.005)
                await asyncio.sleep(rng.uniform(0.0, 0.6))
                os.kill(process.pid, signal.SIGKILL)
                await process.wait()
                with pytest.raises(grpc.aio.AioRpcError):
                    await importing
        async with process_of(folder, triton_server.grpc, settings) as (_, channel):
            await verify(channel, acked, tried)
    assert acked


@pytest.mark.timeout(300)
async def test_killed_at_any_moment_of_a_refresh(folder: Path, triton_server: RunningTriton) -> None:
    """Each page is there whole or not at all, and the refresh after it brings all of them, each once."""
    rng = random.Random(SEED)
    settings = RetrieverSettings(run_dir=folder / "run", data_dir=folder / "data", triton=triton_server.grpc)
    name = "collections/default/sources/site"
    with local_site() as site:
        site.page("/", "Home", links={f"/{number}": str(number) for number in range(40)})
        for number in range(40):
            site.page(
                f"/{number}", f"Zebra {number}", f"Zebra{number} lives in stable {number * 7} and eats {number} apples a day."
            )
        source = documents_pb.Source(
            name=name,
            kind=documents_pb.SOURCE_KIND_SITE,
            uri=site.url,
            allow_private=True,
            limits=documents_pb.SourceLimits(delay=Duration()),
        )

        async def refresh(channel: grpc.aio.Channel) -> list[documents_pb.RefreshResponse]:
            stub = DocumentServiceStub(channel)
            with context.as_principal(EDITOR):
                await stub.RegisterSource(documents_pb.RegisterSourceRequest(source=source), timeout=20)
                return [one async for one in stub.Refresh(documents_pb.RefreshRequest(name=name), timeout=120)]

        stored = 0
        async with running_guard(settings, RecordingGuard()):
            for _ in range(ROUNDS):
                async with process_of(folder, triton_server.grpc, settings) as (process, channel):
                    refreshing = asyncio.create_task(refresh(channel))
                    await asyncio.sleep(rng.uniform(0.1, 1.5))
                    os.kill(process.pid, signal.SIGKILL)
                    await process.wait()
                    await asyncio.gather(refreshing, return_exceptions=True)
                before, stored = stored, _whole_documents(folder)
                assert stored >= before, "what was stored is there after the next kill"
            async with process_of(folder, triton_server.grpc, settings) as (_, channel):
                finished = (await refresh(channel))[-1].finished
    assert finished.document_count == 41
    assert finished.progress.stored_count + finished.progress.unchanged_count == 41
    assert finished.progress.failed_count == 0
    assert _whole_documents(folder) == 41


def _whole_documents(folder: Path) -> int:
    """Documents that are current; each has all of its chunks and their vectors."""
    connection = sqlite3.connect(folder / "data" / "retriever" / "truth.db")
    rows = connection.execute(
        "SELECT chunk_count, count(chunk.id), count(embedding.chunk_id) FROM document JOIN version ON version.id = current_version"
        " LEFT JOIN chunk ON chunk.version_id = version.id LEFT JOIN embedding ON embedding.chunk_id = chunk.id"
        " GROUP BY document.id"
    ).fetchall()
    connection.close()
    assert all(announced == chunks == vectors for announced, chunks, vectors in rows)
    return len(rows)


async def test_a_clean_stop_is_clean_and_keeps_everything(folder: Path, triton_server: RunningTriton) -> None:
    settings = RetrieverSettings(run_dir=folder / "run", data_dir=folder / "data", triton=triton_server.grpc)
    async with running_guard(settings, RecordingGuard()):
        async with process_of(folder, triton_server.grpc, settings) as (process, channel):
            with context.as_principal(EDITOR):
                (response,) = [one async for one in DocumentServiceStub(channel).ImportDocuments(_stream(1, 1))]
            assert response.acked.chunk_count == PARTS
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), START_SECONDS) == 0
        async with process_of(folder, triton_server.grpc, settings) as (_, channel):
            await verify(channel, {1: 1}, {1: 1})


async def test_a_second_process_on_the_same_folder_ends_with_a_reason(folder: Path, triton_server: RunningTriton) -> None:
    settings = RetrieverSettings(run_dir=folder / "run", data_dir=folder / "data", triton=triton_server.grpc)
    async with process_of(folder, triton_server.grpc, settings):
        for arguments in ((), ("rebuild",)):
            second = await launch(folder, triton_server.grpc, *arguments)
            _, error = await asyncio.wait_for(second.communicate(), START_SECONDS)
            assert second.returncode == 1
            assert b"another process" in error
            assert b"Traceback" not in error


async def test_the_rebuild_command_brings_everything_to_the_served_embedder(folder: Path, triton_server: RunningTriton) -> None:
    settings = RetrieverSettings(run_dir=folder / "run", data_dir=folder / "data", triton=triton_server.grpc)
    async with running_guard(settings, RecordingGuard()):
        async with process_of(folder, triton_server.grpc, settings) as (_, channel):
            with context.as_principal(EDITOR):
                assert [one async for one in DocumentServiceStub(channel).ImportDocuments(_stream(1, 1))]
        pretend_another_embedder(folder)
        refused = await launch(folder, triton_server.grpc)
        _, error = await asyncio.wait_for(refused.communicate(), START_SECONDS)
        assert refused.returncode == 1
        assert b"EMBEDDER_CHANGED" in error
        assert b"python -m services.retriever rebuild" in error
        rebuilt = await launch(folder, triton_server.grpc, "rebuild")
        _, error = await asyncio.wait_for(rebuilt.communicate(), START_SECONDS)
        assert rebuilt.returncode == 0, error
        async with process_of(folder, triton_server.grpc, settings) as (_, channel):
            with context.as_principal(EDITOR):
                request = pb.SearchRequest(collection="collections/default", query="zebra1 part", dense_weight=1.0)
                found = await RetrieverServiceStub(channel).Search(request, timeout=20)
        assert len(found.evidence) == PARTS
        assert not found.degraded


def pretend_another_embedder(folder: Path) -> None:
    """The stored vectors as those of another model: all the same, and named otherwise."""
    connection = sqlite3.connect(folder / "data" / "retriever" / "truth.db")
    with connection:
        connection.execute("UPDATE meta SET value = ? WHERE key = 'embedder'", ("0" * 64,))
        connection.execute("UPDATE embedding SET embedder = ?, vector = zeroblob(1024)", ("0" * 64,))
    connection.close()
