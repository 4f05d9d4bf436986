"""The commands as a person types them, against the real mesh."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from cli.parts.supervisor import Mesh
from cli.settings import REPOSITORY

SECONDS = 60.0


class Done:
    """How a command ended."""

    def __init__(self, code: int, out: bytes, err: bytes) -> None:
        self.code, self.out, self.err = code, out.decode(), err.decode()


async def ragmesh(*arguments: str, mesh: Mesh | None = None) -> Done:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAGMESH_")}
    where = ("--var", str(mesh.folders.root)) if mesh else ()
    command = (sys.executable, "-c", "from cli.main import main; main()", *arguments, *where)
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=REPOSITORY, env=environment
    )
    out, err = await asyncio.wait_for(process.communicate(), SECONDS)
    return Done(process.returncode or 0, out, err)


async def test_ask_shows_the_answer_and_its_sources(mesh: Mesh) -> None:
    done = await ragmesh("ask", "Does CBD interact with blood thinners?", mesh=mesh)
    assert done.code == 0, done.err
    assert "warfarin" in done.out.lower()
    assert "[1]" in done.out
    assert "interactions/cbd-and-blood-thinners.md" in done.out
    assert "Searching" in done.err


async def test_ask_as_json_is_the_log_of_the_turn(mesh: Mesh) -> None:
    done = await ragmesh("ask", "--json", "Does CBD interact with blood thinners?", mesh=mesh)
    events = [json.loads(line) for line in done.out.splitlines()]
    assert [event["seq"] for event in events if "heartbeat" not in event] == list(range(1, len(events) + 1))
    assert "started" in events[0]
    assert events[-1]["finished"]["outcome"] == "OUTCOME_ANSWERED"


async def test_a_folder_of_ones_own_is_stored_asked_about_and_its_bad_files_named(mesh: Mesh, tmp_path: Path) -> None:
    (tmp_path / "keeper.md").write_text("# Sandholm\n\nThe harbour bell of Sandholm was cast in 1888 by the founder Ulla Berg.\n")
    (tmp_path / "empty.txt").touch()
    (tmp_path / "corrupt.html").write_bytes(b"\0\1\2\3" * 100)
    with (tmp_path / "large.txt").open("wb") as file:
        for _ in range(200):
            file.write(b"x" * 1024 * 1024)
    (tmp_path / "loop").symlink_to(tmp_path)
    done = await ragmesh("ingest", str(tmp_path), "--collection", "collections/default", mesh=mesh)
    assert done.code == 1
    assert "1 stored, 0 unchanged, 4 failed" in done.err
    for name, reason in (
        ("empty.txt", "DOCUMENT_EMPTY"),
        ("corrupt.html", "MEDIA_TYPE_UNSUPPORTED"),
        ("large.txt", "DOCUMENT_TOO_LARGE"),
        ("loop", "DOCUMENT_UNREADABLE"),
    ):
        (line,) = [line for line in done.err.splitlines() if line.strip().startswith(f"{name}:")]
        assert reason in line
    answer = await ragmesh("ask", "Who cast the harbour bell of Sandholm?", mesh=mesh)
    assert "Ulla Berg" in answer.out
    again = await ragmesh("ingest", str(tmp_path), mesh=mesh)
    assert "0 stored, 1 unchanged, 4 failed" in again.err


async def test_eval_counts_right_answers(mesh: Mesh, tmp_path: Path) -> None:
    lines = (REPOSITORY / "goldens" / "chatcbd-a.jsonl").read_text().splitlines()[:6]
    (tmp_path / "some.jsonl").write_text("\n".join(lines))
    done = await ragmesh("eval", "goldens", str(tmp_path / "some.jsonl"), "--json", str(tmp_path / "out.json"), mesh=mesh)
    assert done.code == 0, done.err
    found = json.loads((tmp_path / "out.json").read_text())
    assert len(found["questions"]) == 6
    assert found["summary"]["answerable"]["count"] >= 1
    assert found["summary"]["latency"]["total_p50"] > 0
    assert "answerable" in done.out


async def test_doctor_finds_the_mesh_and_every_part(mesh: Mesh) -> None:
    done = await ragmesh("doctor", mesh=mesh)
    lines = {line[10:26].strip(): line for line in done.out.splitlines() if line[:9].strip() in ("ok", "wrong", "not there")}
    assert {"python", "packages", "envoy", "uv", "triton", "models", "sockets", "disk", "mesh"} <= set(lines)
    for name in ("python", "packages", "envoy", "uv", "triton", "models", "sockets", "mesh"):
        assert lines[name].startswith("ok"), lines[name]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("ask", ""), 2, "The question is empty."),
        (("ask", "x" * 9000), 2, "longer than 8192 bytes"),
        (("ask", "hello", "--conversation", "nonsense"), 1, "[INVALID_REQUEST]"),
        (("ask", "hello", "--conversation", "conversations/0123"), 1, "[CONVERSATION_NOT_FOUND]"),
        (("ask", "hello", "--target", "127.0.0.1:1"), 3, "[SERVICE_UNAVAILABLE]"),
        (("ingest", "/no/such/folder"), 2, "cannot be read"),
        (("ingest", ".", "--collection", "Notes"), 2, "is no collection"),
        (("eval", "goldens", "/no/such/file"), 2, "cannot be read"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else None,
)
async def test_a_mistake_is_one_line_and_a_remedy(mesh: Mesh, arguments: tuple[str, ...], code: int, words: str) -> None:
    done = await ragmesh(*arguments, mesh=mesh)
    assert done.code == code, done.err
    assert words in done.err
    assert "Traceback" not in done.err
    assert len(done.err.strip().splitlines()) <= 2


async def test_a_command_without_a_mesh_says_how_to_start_one(tmp_path: Path) -> None:
    done = await ragmesh("ask", "hello", "--var", str(tmp_path))
    assert done.code == 3
    assert "No mesh runs" in done.err
    assert "ragmesh up" in done.err


async def test_certs_makes_what_the_setting_needs(tmp_path: Path) -> None:
    done = await ragmesh("certs", "--var", str(tmp_path))
    assert done.code == 0
    assert f"RAGMESH_TLS_DIR={tmp_path / 'tls'}" in done.out
    assert {"ca.pem", "envoy.key", "gateway.pem"} <= {path.name for path in (tmp_path / "tls").iterdir()}
