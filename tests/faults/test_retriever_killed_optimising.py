"""A retriever, or the program that optimises its index, that is killed with SIGKILL meanwhile: what was acked is found, once."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from pathlib import Path
from typing import Literal

import psutil
import pytest

from bench.killing import Figures, Ledger, count, import_until_lost, look
from bench.victims import POLL_SECONDS, retriever_process
from services.retriever.settings import RetrieverSettings
from tests.service.retriever.retriever_fixture import RecordingGuard, folder, running_guard
from tests.service.triton_fixture import RunningTriton, triton_server

__all__ = ["folder", "triton_server"]

SEED = 20261121
ROUNDS = 2
OPTIMISED_WITHIN_SECONDS = 60
LATEST_SECONDS = 1.2
"""So long at most after the copy was begun: copying, starting, building, opening and changing places fall into it."""


async def optimising(settings: RetrieverSettings, process: asyncio.subprocess.Process) -> list[psutil.Process]:
    """Returns once a copy of the index is under way: the programs that optimise, where one was started already."""
    async with asyncio.timeout(OPTIMISED_WITHIN_SECONDS):
        while not list(settings.folder.glob("index.*")):
            await asyncio.sleep(POLL_SECONDS)
    return [child for child in psutil.Process(process.pid).children() if "edge_optimise" in " ".join(child.cmdline())]


async def the_program(settings: RetrieverSettings, process: asyncio.subprocess.Process) -> psutil.Process:
    async with asyncio.timeout(OPTIMISED_WITHIN_SECONDS):
        while True:
            with suppress(psutil.NoSuchProcess):  # it ended while it was looked at
                if found := await optimising(settings, process):
                    return found[0]
            await asyncio.sleep(POLL_SECONDS)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("victim", ["retriever", "program"])
async def test_killed_while_the_index_is_optimised(
    folder: Path, triton_server: RunningTriton, monkeypatch: pytest.MonkeyPatch, victim: Literal["retriever", "program"]
) -> None:
    monkeypatch.setenv("RAGMESH_RETRIEVER_OPTIMISE_CHUNKS", "40")
    settings = RetrieverSettings(run_dir=folder / "run", data_dir=folder / "data", triton=triton_server.grpc)
    rng = random.Random(SEED)  # chooses moments, hides nothing
    ledger, figures = Ledger(), Figures("edge", "retriever", SEED)
    left: list[psutil.Process] = []
    async with running_guard(settings, RecordingGuard()):
        for number in range(1, ROUNDS + 1):
            async with retriever_process(settings) as (process, channel):
                await count(channel, ledger, figures)
                await look(channel, ledger, list(ledger.tried), figures)
                importing = asyncio.create_task(import_until_lost(channel, number, ledger))
                program = await the_program(settings, process)
                if victim == "program":
                    program.kill()
                    importing.cancel()
                else:
                    await asyncio.sleep(rng.uniform(0, LATEST_SECONDS))
                    process.kill()
                    await process.wait()
                    left.append(program)
                await asyncio.gather(importing, return_exceptions=True)
                if victim == "program":
                    await count(channel, ledger, figures)
                    await look(channel, ledger, list(ledger.tried), figures)
        async with retriever_process(settings) as (_, channel):
            await count(channel, ledger, figures)
            await look(channel, ledger, list(ledger.tried), figures)
            assert not list(settings.folder.glob("index.*"))
    assert ledger.acks >= 40
    assert figures.documents >= 10
    assert figures.clean(), figures
    # A program whose retriever was killed ends with it.
    assert psutil.wait_procs(left, timeout=20)[1] == []
