"""`ragmesh store migrate` to a real Weaviate and back: nothing is embedded or built again, and a kill leaves the old one in use."""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli.parts import run_state
from cli.parts.weaviate import NodePorts
from cli.settings import REPOSITORY
from services.retriever.index import StoreKind, moved_folder
from services.retriever.index_building import IndexBuilder
from services.retriever.index_keeper import IndexKeeper
from services.retriever.settings import RetrieverSettings
from services.retriever.truth_kinds import truth_of
from services.retriever.weaviate_store import WeaviateKind
from tests.real.weaviate_fixture import Node
from tests.unit.retriever.test_retriever_index_move import stored, text
from tests.unit.retriever.truth_fixture import KINDS, vector_of

SEED = 20261121
DOCUMENTS = 60
SECONDS = 240


@pytest.fixture
def var(tmp_path: Path) -> Path:
    folders = run_state.layout(tmp_path / "var")
    folders.make()
    return folders.root


def settings_of(var: Path) -> RetrieverSettings:
    return RetrieverSettings(run_dir=var / "run", data_dir=var / "data")


def migrate(var: Path, to: str) -> subprocess.Popen[bytes]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAGMESH_")}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    argv = (sys.executable, "-c", "from cli.main import main; main()", "store", "migrate", "--to", to, "--var", str(var))
    return subprocess.Popen(argv, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def finished(process: subprocess.Popen[bytes]) -> str:
    said, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, said.decode()
    return said.decode()


async def first(var: Path, name: str, kind: StoreKind, monkeypatch: pytest.MonkeyPatch) -> tuple[int, bool]:
    """Chunks of the index, and whether it finds a chunk by its vector; at a start that may build nothing."""
    settings = settings_of(var)
    truth = truth_of(settings)
    await truth.open()
    index = IndexKeeper(truth, settings.folder / "index", name, kind, 1000)
    with monkeypatch.context() as patch:
        patch.setattr(IndexBuilder, "rebuild", lambda self: pytest.fail("rebuilt"))
        await index.open()
    assert index._store is not None
    count = index._store.count()
    (hit,) = (await index.dense(vector_of(text(1)), 2, 1)).hits
    await index.close()
    await truth.close()
    return count, hit.score > 0.999


def said_in(var: Path) -> str:
    file = var / "ragmesh.env"
    return file.read_text() if file.exists() else ""


@pytest.mark.timeout(600)
async def test_there_and_back(var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await stored(settings_of(var), documents=DOCUMENTS)
    (var / "ragmesh.env").write_text("RAGMESH_LOG_LEVEL=warning\n")
    assert f"Moved {2 * DOCUMENTS} chunks" in finished(migrate(var, "weaviate"))
    assert said_in(var) == "RAGMESH_LOG_LEVEL=warning\nRAGMESH_STORE=weaviate\n"
    node = Node("n1", var, NodePorts.choose(), data="data/weaviate")
    node.start()
    try:
        await asyncio.to_thread(node.wait_until_ready)
        assert await first(var, "weaviate", WeaviateKind(node.settings(search_seconds=20)), monkeypatch) == (2 * DOCUMENTS, True)
    finally:
        node.stop()
    assert f"Moved {2 * DOCUMENTS} chunks" in finished(migrate(var, "embedded"))
    assert said_in(var) == "RAGMESH_LOG_LEVEL=warning\nRAGMESH_STORE=embedded\n"
    assert await first(var, "edge", KINDS["edge"], monkeypatch) == (2 * DOCUMENTS, True)
    assert "already" in finished(migrate(var, "embedded"))


@pytest.mark.timeout(600)
async def test_killed_at_any_moment_the_old_index_is_in_use(var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(SEED)
    await stored(settings_of(var), documents=DOCUMENTS)
    begun = time.monotonic()
    finished(migrate(var, "weaviate"))
    whole = time.monotonic() - begun
    (var / "ragmesh.env").unlink()
    for _ in range(3):
        process = migrate(var, "weaviate")
        await asyncio.sleep(rng.uniform(0.2, 0.9) * whole)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if said_in(var):  # it was done before; the kill came too late
            (var / "ragmesh.env").unlink()
        wait_until_unused(var)
        assert await first(var, "edge", KINDS["edge"], monkeypatch) == (2 * DOCUMENTS, True)
        assert not moved_folder(settings_of(var).folder / "index").exists()


def wait_until_unused(var: Path) -> None:
    """The retriever's command ends by itself once its Weaviate, which ends with the command, is gone."""
    deadline = time.monotonic() + SECONDS
    with (var / "data" / "retriever" / "lock").open("r+b") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
