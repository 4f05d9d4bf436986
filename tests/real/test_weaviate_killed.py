"""SIGKILL at any moment of an import into an index on Weaviate: of the retriever, and of the server under it.

`python -m bench.kills --store weaviate` does the same fifty times.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.victims import Victim, WeaviateServer
from services.retriever.settings import RetrieverSettings
from tests.real.killing import nothing_is_lost
from tests.service.retriever.retriever_fixture import short_folder
from tests.service.triton_fixture import RunningTriton, triton_server

__all__ = ["triton_server"]


@pytest.mark.timeout(400)
@pytest.mark.parametrize("victim", ["retriever", "weaviate"])
async def test_killed_at_any_moment(tmp_path: Path, triton_server: RunningTriton, victim: Victim) -> None:
    server = WeaviateServer(tmp_path)
    await server.start()
    try:
        with short_folder() as folder:
            settings = RetrieverSettings(
                run_dir=folder / "run",
                data_dir=folder / "data",
                triton=triton_server.grpc,
                retriever_index="weaviate",
                retriever_weaviate=server.settings,
            )
            await nothing_is_lost(settings, server, victim)
    finally:
        await server.kill()
