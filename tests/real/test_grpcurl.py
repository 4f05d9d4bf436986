"""The README's grpcurl calls, as written there, against the real mesh. Only the port differs."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from cli.parts.supervisor import Mesh

ROOT = Path(__file__).resolve().parents[2]
GRPCURL = ROOT / ".tools" / "grpcurl"


def readme_calls() -> list[str]:
    """The grpcurl commands of the README, their line breaks joined."""
    text = (ROOT / "README.md").read_text().replace("\\\n", " ")
    return [line.strip() for line in text.splitlines() if re.match(r"\s*grpcurl ", line)]


def run(command: str, mesh: Mesh) -> str:
    words = shlex.split(command.replace("127.0.0.1:8081", mesh.grpc_target))
    done = subprocess.run([str(GRPCURL), *words[1:]], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_readme_has_the_three_calls() -> None:
    assert len(readme_calls()) == 3


def test_list_names_what_the_edge_routes(mesh: Mesh) -> None:
    listed = run(readme_calls()[0], mesh).split()
    assert "ragmesh.gateway.v1.GatewayService" in listed
    assert "ragmesh.retriever.v1.DocumentService" in listed
    assert not [name for name in listed if name.startswith(("ragmesh.guard", "ragmesh.generator"))]


def test_answer_gives_a_cited_turn(mesh: Mesh) -> None:
    turn = json.loads(run(readme_calls()[1], mesh))["turn"]
    assert turn["finished"]["outcome"] == "OUTCOME_ANSWERED"
    assert turn["claims"]


@pytest.mark.parametrize("wanted", ["started", "evidence", "delta", "claim", "finished"])
def test_stream_answer_gives_the_events_of_a_turn(mesh: Mesh, wanted: str) -> None:
    text = run(readme_calls()[2], mesh)
    events = [json.loads(part)["event"] for part in re.split(r"(?<=^})\n", text, flags=re.MULTILINE) if part.strip()]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert any(wanted in event for event in events)


def test_a_typed_error_is_readable_in_the_terminal(mesh: Mesh) -> None:
    command = [str(GRPCURL), "-plaintext", "-d", "{}", mesh.grpc_target, "ragmesh.gateway.v1.GatewayService/Answer"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode != 0
    assert "InvalidArgument" in done.stderr
    assert "INVALID_REQUEST" in done.stderr
