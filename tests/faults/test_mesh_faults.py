"""What a real mesh does when a part of it is killed or missing: typed ends, nothing lost, and it comes back."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import psutil
import pytest
from ragmesh.gateway.v1 import gateway_service_pb2 as g
from ragmesh.gateway.v1 import turn_pb2 as t
from ragmesh.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub

from cli.documents.sample import load_sample
from cli.parts import run_state
from cli.parts.supervisor import Mesh
from tests.faults.asking import ask, documents, until_answered


@pytest.fixture
async def own_mesh(tmp_path: Path) -> AsyncIterator[Mesh]:
    """A mesh of this test's own, with the sample documents."""
    async with Mesh.start(tmp_path, public_port=0, local_port=0) as mesh:
        await load_sample(mesh.grpc_target)
        yield mesh


@pytest.mark.parametrize("part", ["guard", "retriever", "generator"])
async def test_a_turn_without_a_service_ends_with_a_reason_and_the_next_one_works_once_it_is_back(
    own_mesh: Mesh, part: str
) -> None:
    stored = await documents(own_mesh)
    await own_mesh.hold(part)
    turn = await ask(own_mesh)
    assert turn.finished.outcome == t.OUTCOME_FAILED
    assert turn.finished.failure.reason == "SERVICE_UNAVAILABLE"
    assert turn.finished.failure.retryable
    await own_mesh.release(part)
    assert (await until_answered(own_mesh)).claims
    assert await documents(own_mesh) == stored


@pytest.mark.parametrize("part", ["triton", "gateway", "retriever", "generator", "guard", "envoy"])
async def test_a_killed_part_is_started_again_and_nothing_stored_is_lost(own_mesh: Mesh, part: str) -> None:
    stored = await documents(own_mesh)
    before = await ask(own_mesh)
    killed = own_mesh.pids[part]
    own_mesh.kill(part)
    await until_answered(own_mesh)
    assert own_mesh.pids[part] != killed
    assert await documents(own_mesh) == stored
    async with grpc.aio.insecure_channel(own_mesh.grpc_target) as channel:
        kept = await GatewayServiceStub(channel).GetTurn(g.GetTurnRequest(name=before.name), timeout=10)
    assert kept.turn == before


async def test_a_stopped_mesh_leaves_nothing_behind_and_starts_again_with_what_was_stored(tmp_path: Path) -> None:
    async with Mesh.start(tmp_path, public_port=0, local_port=0) as mesh:
        await load_sample(mesh.grpc_target)
        stored = await documents(mesh)
        before = await ask(mesh)
        parts = [psutil.Process(pid) for pid in mesh.pids.values()]
        running = [process for part in parts for process in [part, *part.children(recursive=True)]]
    gone, alive = psutil.wait_procs(running, timeout=5)
    assert alive == []
    assert len(gone) == len(running)
    async with Mesh.start(tmp_path, public_port=0, local_port=0) as mesh:
        assert await documents(mesh) == stored
        async with grpc.aio.insecure_channel(mesh.grpc_target) as channel:
            kept = await GatewayServiceStub(channel).GetTurn(g.GetTurnRequest(name=before.name), timeout=10)
        assert kept.turn == before
        assert (await ask(mesh)).finished.outcome == t.OUTCOME_ANSWERED


async def test_a_part_that_dies_on_a_full_disk_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with Mesh.start(tmp_path, parts=("envoy",), public_port=0, local_port=0) as mesh:
        killed = mesh.pids["envoy"]
        monkeypatch.setattr(run_state, "write_state", full)
        mesh.kill("envoy")
        async with asyncio.timeout(60):
            while mesh.pids.get("envoy", killed) == killed:
                await asyncio.sleep(0.02)
        monkeypatch.undo()
