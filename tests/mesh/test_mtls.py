"""The whole mesh with mutual TLS and SPIFFE ids between its services, as `ragmesh certs` and one setting switch it on."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from ragmesh.gateway.v1 import gateway_service_pb2 as g
from ragmesh.gateway.v1 import turn_pb2 as t
from ragmesh.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub
from ragmesh.guard.v1 import guard_service_pb2 as guard_pb2
from ragmesh.guard.v1.guard_service_pb2_grpc import GuardServiceStub

from cli.documents.sample import SAMPLE_CORPUS, load_sample
from cli.parts.certificates import issue
from cli.parts.supervisor import Mesh
from services.mesh.channel import open_channel
from services.mesh.context import as_principal
from services.mesh.errors import from_rpc_error
from services.mesh.identity import local_principal
from services.mesh.settings import MeshSettings


async def _check(settings: MeshSettings, caller: str) -> guard_pb2.CheckInputResponse:
    channel = open_channel(settings, "guard", caller=caller)
    try:
        request = guard_pb2.CheckInputRequest(text="What is CBD?", assistant="assistants/default")
        with as_principal(local_principal()):
            return await GuardServiceStub(channel).CheckInput(request, timeout=5)
    finally:
        await channel.close()


async def test_the_mesh_answers_over_mutual_tls_and_refuses_peers_that_are_not_on_the_list(tmp_path: Path) -> None:
    issue(tmp_path / "tls", 1)
    assert SAMPLE_CORPUS.is_dir()
    async with Mesh.start(tmp_path / "var", public_port=0, local_port=0, tls_dir=tmp_path / "tls") as mesh:
        await load_sample(mesh.grpc_target)
        async with grpc.aio.insecure_channel(mesh.grpc_target) as channel:
            request = g.AnswerRequest(question="Does CBD interact with blood thinners?")
            answer = await GatewayServiceStub(channel).Answer(request, timeout=30)
        assert answer.turn.finished.outcome == t.OUTCOME_ANSWERED
        assert not list(mesh.run_dir.glob("guard.sock"))
        settings = MeshSettings(tls_dir=tmp_path / "tls", targets=mesh.service_targets)
        allowed = await _check(settings, "gateway")
        assert allowed.verdict.action == guard_pb2.ACTION_ALLOW
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await _check(settings, "generator")
        assert from_rpc_error(refused.value, service="guard").reason == "PEER_NOT_ALLOWED"
