"""What the retriever does when something it needs is gone, hangs, is full or damaged: a typed answer, nothing lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from ragmesh.retriever.v1 import document_service_pb2 as documents_pb
from ragmesh.retriever.v1 import retriever_service_pb2 as pb

from services.mesh.errors import MeshError, from_rpc_error
from services.mesh.health import CannotServe
from services.mesh.triton import TritonClient
from services.retriever import truth_writes
from services.retriever.build import Retriever
from services.retriever.index_building import IndexBuilder
from services.retriever.models import Models
from services.retriever.settings import RetrieverSettings
from tests.service.retriever.retriever_fixture import (
    RecordingGuard,
    folder,
    running_guard,
    running_retriever,
)
from tests.service.triton_fixture import RunningTriton, triton_server

__all__ = ["folder", "triton_server"]

NOWHERE = "127.0.0.1:1"
TEXT = "# Zebra\n\nThe zebra eats grass.\n\n## Sleep\n\nThe zebra sleeps standing.\n"


async def reason(coroutine: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await coroutine
    return from_rpc_error(caught.value, service="retriever").reason


async def until(ready: Any) -> None:
    deadline = time.monotonic() + 30
    while not await ready():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


@pytest.fixture
async def filled(folder: Path, triton_server: RunningTriton) -> Path:
    """A folder in which a retriever has stored a document, and ended."""
    async with running_retriever(folder, triton_server.grpc) as client:
        assert (await client.put("zebra", TEXT)).chunk_count == 2
    return folder


class WithoutReranker:
    """The real models, but for the reranker."""

    def __init__(self, client: TritonClient) -> None:
        self._client = client
        self.failure = ""

    async def infer(self, model: str, *arguments: Any, **fields: Any) -> Any:
        if model == "reranker":
            raise MeshError(self.failure, "gone", metadata={"model": model})
        return await self._client.infer(model, *arguments, **fields)

    async def model_ref(self, model: str, *arguments: Any, **fields: Any) -> Any:
        if model == "reranker":
            raise MeshError(self.failure, "gone", metadata={"model": model})
        return await self._client.model_ref(model, *arguments, **fields)


@asynccontextmanager
async def silent_server() -> AsyncIterator[str]:
    """A port that accepts and never answers."""
    connections: list[asyncio.StreamWriter] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        await reader.read()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        for writer in connections:
            writer.close()
        server.close()
        await server.wait_closed()


async def test_without_models_bm25_answers_and_says_so(filled: Path) -> None:
    async with running_retriever(filled, NOWHERE) as client:
        found = await client.search("What does the zebra eat?")
        assert found.evidence[0].text == "The zebra eats grass."
        assert {(one.leg, one.reason) for one in found.degraded} == {
            (pb.SearchLeg.SEARCH_LEG_DENSE, "MODEL_UNAVAILABLE"),
            (pb.SearchLeg.SEARCH_LEG_RERANK, "MODEL_UNAVAILABLE"),
        }
        assert not found.evidence[0].models
        # Asked for the dense leg alone, it still rather answers than fails.
        assert (await client.search("zebra grass", dense_weight=1.0)).evidence[0].text == "The zebra eats grass."
        down = {"triton": False, "models": False, "reranker": False}
        assert await client.retriever.readiness() == {"truth": True, "index": True, **down}
        assert not await client.server.ready()


async def test_without_models_an_import_is_refused_and_nothing_is_half_stored(filled: Path) -> None:
    async with running_retriever(filled, NOWHERE) as client:
        assert (await client.put("lion", "# Lion\n\nThe lion sleeps.\n")).reason == "MODEL_UNAVAILABLE"
        assert (await client.put("zebra", TEXT + "\nMore.\n")).reason == "MODEL_UNAVAILABLE"
        assert (await client.put("zebra", TEXT)).unchanged
        found = await client.search("lion zebra")
        assert found.documents_searched == 1
        assert {one.document.rpartition("/")[2] for one in found.evidence} == {"zebra"}


async def test_models_that_hang_cost_a_search_their_share_of_time_only(filled: Path) -> None:
    async with silent_server() as address, running_retriever(filled, address, retriever_dense_seconds=0.3) as client:
        begun = time.monotonic()
        found = await client.search("zebra grass", timeout=5)
        assert time.monotonic() - begun < 2
        assert found.evidence[0].text == "The zebra eats grass."
        assert {one.reason for one in found.degraded} == {"DEADLINE_EXCEEDED"}
        begun = time.monotonic()
        assert (await client.search("zebra grass", timeout=0.5)).evidence
        assert time.monotonic() - begun < 0.5


async def test_a_reranker_that_is_gone_leaves_the_fusions_order_and_a_service_that_serves(
    filled: Path, triton_server: RunningTriton
) -> None:
    async with running_retriever(filled, triton_server.grpc) as client:
        before = await client.search("zebra grass", rerank_depth=0)
        triton = WithoutReranker(client.retriever.triton)
        client.retriever.models._client = triton
        for failure in ("MODEL_UNAVAILABLE", "DEADLINE_EXCEEDED"):
            triton.failure = failure
            client.retriever.models.reranker = None
            found = await client.search("zebra grass")
            assert [(one.leg, one.reason) for one in found.degraded] == [(pb.SearchLeg.SEARCH_LEG_RERANK, failure)]
            assert [one.chunk for one in found.evidence] == [one.chunk for one in before.evidence]
            assert not any(one.scores.HasField("rerank") for one in found.evidence)
        assert (await client.retriever.readiness())["reranker"] is False
        assert await client.server.ready()


async def test_models_that_come_back_are_used_again(filled: Path, triton_server: RunningTriton) -> None:
    async with running_retriever(filled, NOWHERE) as client:
        assert (await client.search("zebra")).degraded
        # As if Triton came back under its address.
        triton = TritonClient(triton_server.grpc)
        client.retriever.models._client = triton
        found = await client.search("zebra")
        assert not found.degraded
        assert found.evidence[0].scores.HasField("dense")
        assert (await client.put("lion", "# Lion\n\nThe lion sleeps.\n")).chunk_count == 1
        await triton.close()


async def test_without_a_guard_nothing_is_imported(folder: Path, triton_server: RunningTriton) -> None:
    async with running_retriever(folder, triton_server.grpc, guard=False) as client:
        assert (await client.put("zebra", TEXT)).reason == "SERVICE_UNAVAILABLE"
        assert await reason(client.search("zebra")) == "COLLECTION_NOT_FOUND"
        async with running_guard(client.settings, RecordingGuard()):

            async def imported() -> bool:
                return hasattr(await client.put("zebra", TEXT), "version")

            await until(imported)
        assert (await client.search("zebra")).documents_searched == 1


async def test_a_guard_that_hangs_refuses_the_document_in_time(folder: Path, triton_server: RunningTriton) -> None:
    async def hang() -> None:
        await asyncio.sleep(30)

    async with running_retriever(folder, triton_server.grpc, retriever_guard_seconds=0.3, drain_seconds=0.1) as client:
        client.guard.before = hang
        assert (await client.put("zebra", TEXT)).reason == "DEADLINE_EXCEEDED"
        client.guard.before = None
        assert (await client.put("zebra", TEXT)).chunk_count == 2


async def test_a_full_disk_refuses_documents_and_still_answers(folder: Path, triton_server: RunningTriton) -> None:
    async with running_retriever(folder, triton_server.grpc) as client:
        await client.put("zebra", TEXT)
        writer = client.retriever.truth._writer
        pages = writer.setup(lambda connection: connection.execute("PRAGMA page_count").fetchone()[0])
        writer.setup(lambda connection: connection.execute(f"PRAGMA max_page_count = {pages + 2}"))
        large = "# Large\n" + "".join(f"\n## Part {number}\n\nThe lion of part {number}.\n" for number in range(200))
        assert (await client.put("large", large)).reason == "STORE_UNAVAILABLE"
        found = await client.search("zebra lion")
        assert found.documents_searched == 1
        assert {one.document.rpartition("/")[2] for one in found.evidence} == {"zebra"}
        writer.setup(lambda connection: connection.execute("PRAGMA max_page_count = 1000000"))
        assert (await client.put("large", large)).chunk_count == 200


@pytest.mark.parametrize("damage", ["truncated", "noise", "missing"])
async def test_a_damaged_index_is_rebuilt_at_start(filled: Path, triton_server: RunningTriton, damage: str) -> None:
    for path in [path for path in (filled / "data" / "retriever" / "index").rglob("*") if path.is_file()]:
        data = path.read_bytes()
        if damage == "missing":
            path.unlink()
        else:
            path.write_bytes(data[: len(data) // 2] if damage == "truncated" else bytes(reversed(data)))
    async with running_retriever(filled, triton_server.grpc) as client:
        found = await client.search("zebra grass")
        assert found.evidence[0].text == "The zebra eats grass."
        assert not found.degraded
        assert await client.server.ready()


async def test_an_index_that_breaks_while_it_runs_is_replaced(filled: Path, triton_server: RunningTriton) -> None:
    async with running_retriever(filled, triton_server.grpc) as client:
        store = client.retriever.index._store
        assert store is not None
        store.close()
        found = await client.search("zebra grass")
        assert found.evidence[0].text == "The zebra eats grass."
        assert (pb.SearchLeg.SEARCH_LEG_INDEX, "STORE_UNAVAILABLE") in [(one.leg, one.reason) for one in found.degraded]
        await until(client.server.ready)
        assert not (await client.search("zebra grass")).degraded


async def test_when_neither_index_nor_stand_in_answers_the_error_is_typed(
    filled: Path, triton_server: RunningTriton, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_retriever(filled, triton_server.grpc, retriever_fallback_chunks=0) as client:
        monkeypatch.setattr(IndexBuilder, "rebuild", lambda self: (_ for _ in ()).throw(OSError("no space")))
        store = client.retriever.index._store
        assert store is not None
        store.close()
        assert await reason(client.search("zebra grass")) == "STORE_UNAVAILABLE"
        assert (await client.retriever.readiness())["index"] is False


async def test_another_embedder_is_refused_with_the_command_that_helps(filled: Path, triton_server: RunningTriton) -> None:
    async with running_retriever(filled, NOWHERE) as client:
        await client.retriever.truth.write(
            lambda connection: connection.execute("UPDATE meta SET value = ? WHERE key = 'embedder'", ("0" * 64,))
        )
    with pytest.raises(MeshError, match="`ragmesh store reindex`") as caught:
        async with running_retriever(filled, triton_server.grpc):
            pass
    assert caught.value.reason == "EMBEDDER_CHANGED"
    assert caught.value.metadata["index_embedder"] == "0" * 64
    # Of a whole mesh the models are not there yet when the retriever opens its stores.
    settings = RetrieverSettings(run_dir=filled / "run", data_dir=filled / "data", triton=NOWHERE)
    retriever = await Retriever.open(settings)
    try:
        assert (await retriever.readiness())["models"] is False
        await retriever.triton.close()
        retriever.triton = TritonClient(triton_server.grpc)
        retriever.models = Models(retriever.triton, batch=16, seconds=20)
        with pytest.raises(CannotServe) as refused:
            await retriever.readiness()
        assert refused.value.error.reason == "EMBEDDER_CHANGED"
    finally:
        await retriever.close()


async def test_an_embedder_that_changes_while_it_runs(filled: Path, triton_server: RunningTriton) -> None:
    async with running_retriever(filled, triton_server.grpc) as client:
        await client.retriever.truth.write(
            lambda connection: connection.execute("UPDATE meta SET value = ? WHERE key = 'embedder'", ("0" * 64,))
        )
        found = await client.search("zebra grass")
        assert [one.reason for one in found.degraded] == ["EMBEDDER_CHANGED"]
        assert found.evidence[0].text == "The zebra eats grass."
        assert (await client.put("lion", "# Lion\n\nThe lion sleeps.\n")).reason == "EMBEDDER_CHANGED"
        readiness = await client.retriever.readiness()
        assert (readiness["triton"], readiness["models"]) == (True, False)


async def test_a_defect_in_one_document_is_told_apart_from_the_stream(
    folder: Path, triton_server: RunningTriton, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_retriever(folder, triton_server.grpc) as client:
        with monkeypatch.context() as patch:
            patch.setattr(truth_writes, "commit_all", lambda *arguments: 1 / 0)
            rejected = await client.put("zebra", TEXT)
        assert isinstance(rejected, documents_pb.ImportRejected)
        assert rejected.reason == "INTERNAL"
        assert "ZeroDivision" not in rejected.message
        assert (await client.put("zebra", TEXT)).chunk_count == 2
        assert len((await client.search("zebra")).evidence) == 2


async def test_a_disk_without_room_ends_imports_and_no_search(filled: Path, triton_server: RunningTriton) -> None:
    async with running_retriever(filled, triton_server.grpc, retriever_least_free_bytes=2**60) as client:
        refused = await client.put("lion", "# Lion\n\nThe lion sleeps.\n")
        assert refused.reason == "STORE_UNAVAILABLE"
        assert "make room" in refused.message
        assert (await client.search("zebra grass")).evidence[0].text == "The zebra eats grass."
