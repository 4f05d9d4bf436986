"""A retriever that is killed with SIGKILL at any moment: what it acked is there, and no document is there by half."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
from pathlib import Path
from typing import Literal

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from ragmesh.retriever.v1 import document_service_pb2 as documents_pb
from ragmesh.retriever.v1 import retriever_service_pb2 as pb
from ragmesh.retriever.v1.document_service_pb2_grpc import DocumentServiceStub
from ragmesh.retriever.v1.retriever_service_pb2_grpc import RetrieverServiceStub

from bench.killing import (
    PARTS,
    Figures,
    Ledger,
    count,
    import_documents,
    judge,
    kill_retriever,
    look,
)
from bench.victims import launch, retriever_process
from services.mesh import context
from services.retriever.settings import RetrieverSettings
from tests.service.retriever.retriever_fixture import EDITOR, RecordingGuard, folder, running_guard
from tests.service.triton_fixture import RunningTriton, triton_server
from tests.unit.retriever.local_site import local_site

__all__ = ["folder", "triton_server"]

SEED = 20260721
ROUNDS = 3
START_SECONDS = 60


@pytest.mark.parametrize(
    ("passages", "acked", "wrong"),
    [
        ([], None, set()),
        ([], 3, {"lost"}),
        ([f"Zebra1 of version3 in part {part}." for part in range(PARTS)], 3, set()),
        ([f"Zebra1 of version4 in part {part}." for part in range(PARTS)], 3, set()),
        ([f"Zebra1 of version2 in part {part}." for part in range(PARTS)], 3, {"lost"}),
        ([f"Zebra1 of version3 in part {part}." for part in range(PARTS - 1)], None, {"half"}),
        ([f"Zebra1 of version{3 + part % 2} in part {part}." for part in range(PARTS)], 3, {"half"}),
        ([f"Zebra1 of version3 in part {part % PARTS}." for part in range(PARTS + 1)], 3, {"duplicates"}),
    ],
)
def test_what_counts_as_lost_half_and_twice(passages: list[str], acked: int | None, wrong: set[str]) -> None:
    assert judge(passages, acked, tried=4) == wrong


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["edge", "exact"])
async def test_killed_at_any_moment(folder: Path, triton_server: RunningTriton, kind: Literal["edge", "exact"]) -> None:
    settings = RetrieverSettings(run_dir=folder / "run", data_dir=folder / "data", triton=triton_server.grpc, retriever_index=kind)
    async with running_guard(settings, RecordingGuard()):
        figures = await kill_retriever(settings, ROUNDS, SEED)
    assert figures.acks
    assert figures.looks
    assert figures.clean(), figures


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
                async with retriever_process(settings) as (process, channel):
                    refreshing = asyncio.create_task(refresh(channel))
                    await asyncio.sleep(rng.uniform(0.1, 1.5))
                    os.kill(process.pid, signal.SIGKILL)
                    await process.wait()
                    await asyncio.gather(refreshing, return_exceptions=True)
                before, stored = stored, _whole_documents(folder)
                assert stored >= before, "what was stored is there after the next kill"
            async with retriever_process(settings) as (_, channel):
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
    ledger, figures = Ledger(), Figures("edge", "retriever", SEED)
    async with running_guard(settings, RecordingGuard()):
        async with retriever_process(settings) as (process, channel):
            await import_documents(channel, [(1, 1)], ledger)
            assert ledger.acked == {1: 1}
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), START_SECONDS) == 0
        async with retriever_process(settings) as (_, channel):
            await count(channel, ledger, figures)
            await look(channel, ledger, [1], figures)
    assert (figures.documents, figures.looks) == (1, 1)
    assert figures.clean(), figures


async def test_a_second_process_on_the_same_folder_ends_with_a_reason(folder: Path, triton_server: RunningTriton) -> None:
    settings = RetrieverSettings(run_dir=folder / "run", data_dir=folder / "data", triton=triton_server.grpc)
    async with retriever_process(settings):
        for arguments in ((), ("rebuild",)):
            second = await launch(settings, *arguments)
            _, error = await asyncio.wait_for(second.communicate(), START_SECONDS)
            assert second.returncode == 1
            assert b"another process" in error
            assert b"Traceback" not in error


async def test_the_rebuild_command_brings_everything_to_the_served_embedder(folder: Path, triton_server: RunningTriton) -> None:
    settings = RetrieverSettings(run_dir=folder / "run", data_dir=folder / "data", triton=triton_server.grpc)
    async with running_guard(settings, RecordingGuard()):
        async with retriever_process(settings) as (_, channel):
            await import_documents(channel, [(1, 1)], Ledger())
        pretend_another_embedder(folder)
        refused = await launch(settings)
        _, error = await asyncio.wait_for(refused.communicate(), START_SECONDS)
        assert refused.returncode == 1
        assert b"EMBEDDER_CHANGED" in error
        assert b"python -m services.retriever rebuild" in error
        rebuilt = await launch(settings, "rebuild")
        _, error = await asyncio.wait_for(rebuilt.communicate(), START_SECONDS)
        assert rebuilt.returncode == 0, error
        async with retriever_process(settings) as (_, channel):
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
