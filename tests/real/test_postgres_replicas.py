"""Several retrievers on one PostgreSQL: what one imports the others find, what one deletes no other shows, and a killed one loses
nothing that it acked."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import grpc
import pytest
from ragmesh.retriever.v1 import document_service_pb2 as documents_pb

from bench.killing import Figures, Ledger, import_documents, look
from bench.victims import retriever_process
from services.mesh.errors import from_rpc_error
from services.retriever.settings import RetrieverSettings
from tests.real.postgres_fixture import Server, postgres
from tests.service.retriever.retriever_fixture import (
    RecordingGuard,
    RetrieverClient,
    folder,
    running_guard,
    running_retriever,
)
from tests.service.triton_fixture import RunningTriton, triton_server

__all__ = ["folder", "postgres", "triton_server"]

SEED = 20261121
ROUNDS = 4
WITHIN_S = 60.0


@asynccontextmanager
async def replicas(folder: Path, triton: str, server: Server, names: str = "ab") -> AsyncIterator[list[RetrieverClient]]:
    """Retrievers with a folder each, over one new database."""
    settings = server.settings(server.new_database(), statement_seconds=20, connect_seconds=3)
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                running_retriever(folder / name, triton, retriever_truth="postgresql", retriever_postgres=settings)
            )
            for name in names
        ]


async def until(happened: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not await happened():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.05)


async def texts(client: RetrieverClient, query: str) -> list[str]:
    return [one.text for one in (await client.search(query, dense_weight=0.0)).evidence]


async def test_what_one_changes_the_others_see(folder: Path, triton_server: RunningTriton, postgres: Server) -> None:
    async with replicas(folder, triton_server.grpc, postgres) as (a, b):
        await a.put("quince", "# Quince\n\nQuinces ripen in October.\n")

        async def found_by_b() -> bool:
            return await texts(b, "quinces ripen") == ["Quinces ripen in October."]

        await until(found_by_b)
        assert b.retriever.index.epoch == a.retriever.index.epoch

        await b.put("quince", "# Quince\n\nQuinces ripen in November.\n")

        async def replaced_at_a() -> bool:
            return await texts(a, "quinces ripen") == ["Quinces ripen in November."]

        assert await texts(a, "quinces ripen") != ["Quinces ripen in October."], "a version that is not current is never shown"
        await until(replaced_at_a)

        await a.call(a.documents.DeleteDocument, documents_pb.DeleteDocumentRequest(name="collections/default/documents/quince"))
        assert await texts(b, "quinces ripen") == [], "at once: the truth decides what is shown"

        async def forgotten_by_b() -> bool:
            return b.retriever.index._store is not None and b.retriever.index._store.count() == 0

        await until(forgotten_by_b)


async def test_a_retriever_that_was_away_catches_up(folder: Path, triton_server: RunningTriton, postgres: Server) -> None:
    settings = postgres.settings(postgres.new_database())
    chosen = {"retriever_truth": "postgresql", "retriever_postgres": settings}
    async with running_retriever(folder / "a", triton_server.grpc, **chosen) as a:
        async with running_retriever(folder / "b", triton_server.grpc, **chosen) as b:
            await b.put("one", "# One\n\nBadgers dig.\n")
            await a.put("two", "# Two\n\nOtters swim.\n")
        await a.put("one", "# One\n\nBadgers sleep.\n")
        await a.put("three", "# Three\n\nHerons wait.\n")
        async with running_retriever(folder / "b", triton_server.grpc, **chosen) as b:
            assert await texts(b, "badgers") == ["Badgers sleep."]
            assert await texts(b, "otters") == ["Otters swim."]
            assert await texts(b, "herons") == ["Herons wait."]


@pytest.mark.timeout(300)
async def test_a_killed_retriever_loses_nothing_that_it_acked(
    folder: Path, triton_server: RunningTriton, postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A is killed again and again while it imports; B, which stays, finds every acked document whole."""
    rng = random.Random(SEED)
    database = postgres.new_database()
    monkeypatch.setenv("RAGMESH_RETRIEVER_TRUTH", "postgresql")
    monkeypatch.setenv("RAGMESH_RETRIEVER_POSTGRES__DSN", postgres.dsn(database))
    monkeypatch.setenv("RAGMESH_RETRIEVER_POSTGRES__PASSWORD_FILE", str(postgres.password_file()))
    a, b = folder / "a", folder / "b"
    of_a = RetrieverSettings(run_dir=a / "run", data_dir=a / "data", triton=triton_server.grpc)
    ledger, figures = Ledger(), Figures("edge", "retriever", SEED)
    async with running_retriever(b, triton_server.grpc) as staying, running_guard(of_a, RecordingGuard()):
        for round_number in range(1, ROUNDS + 1):
            async with retriever_process(of_a) as (process, channel):
                # Every other document is one of the rounds before.
                wanted = ((number if number % 2 else 1000 * round_number + number, round_number) for number in range(400))
                importing = asyncio.create_task(import_documents(channel, wanted, ledger))
                before = ledger.acks

                async def begun(before: int = before) -> bool:
                    return ledger.acks > before

                await until(begun)
                await asyncio.sleep(rng.uniform(0.0, 0.6))
                os.kill(process.pid, signal.SIGKILL)
                await process.wait()
                await asyncio.gather(importing, return_exceptions=True)
        end = await staying.retriever.truth.read(lambda connection: connection.execute("SELECT max(seq) FROM outbox").fetchone()[0])

        async def followed() -> bool:
            return staying.retriever.index._position >= int(end or 0)

        await until(followed)
        await look(staying.channel, ledger, list(ledger.tried), figures)
        with postgres.connect(database) as connection:
            halves = connection.execute(
                "SELECT count(*) FROM document JOIN version ON version.id = current_version WHERE chunk_count <>"
                " (SELECT count(*) FROM chunk JOIN embedding ON chunk_id = chunk.id WHERE version_id = version.id)"
            ).fetchone()
        assert halves == (0,)
    assert figures.looks
    assert figures.clean(), figures


async def test_a_server_that_crashes_and_comes_back(folder: Path, triton_server: RunningTriton, postgres: Server) -> None:
    async with replicas(folder, triton_server.grpc, postgres) as (a, b):
        await a.put("quince", "# Quince\n\nQuinces ripen in October.\n")
        postgres.stop(signal.SIGKILL)
        try:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await b.search("quinces")
            error = from_rpc_error(caught.value, service="retriever")
            assert error.reason == "STORE_UNAVAILABLE"
            assert "postgres" not in error.message.lower()
        finally:
            postgres.start()

        async def both_answer() -> bool:
            try:
                return all([await texts(client, "quinces") == ["Quinces ripen in October."] for client in (a, b)])
            except grpc.aio.AioRpcError:
                return False

        await until(both_answer)
        await b.put("medlar", "# Medlar\n\nMedlars need frost.\n")

        async def found_by_a() -> bool:
            return await texts(a, "medlars") == ["Medlars need frost."]

        await until(found_by_a)
