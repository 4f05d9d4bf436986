"""SIGKILL at any moment of an import into documents in PostgreSQL: of the retriever, and of the server under it.

`python -m bench.kills --store postgresql` does the same fifty times.
"""

from __future__ import annotations

import pytest

from bench.killing import kill_retriever, kill_server
from bench.postgres_server import KillablePostgres
from bench.victims import Victim
from cli.parts.ports import free_ports
from services.retriever.settings import RetrieverSettings
from tests.real.postgres_fixture import server_folder
from tests.service.retriever.retriever_fixture import RecordingGuard, running_guard, short_folder
from tests.service.triton_fixture import RunningTriton, triton_server

__all__ = ["triton_server"]

SEED = 20261121
ROUNDS = 2


@pytest.mark.timeout(400)
@pytest.mark.parametrize("victim", ["retriever", "postgresql"])
async def test_killed_at_any_moment(triton_server: RunningTriton, victim: Victim) -> None:
    with server_folder() as place, short_folder() as folder:
        server = KillablePostgres(place, free_ports(1)[0])
        try:
            settings = RetrieverSettings(
                run_dir=folder / "run",
                data_dir=folder / "data",
                triton=triton_server.grpc,
                retriever_truth="postgresql",
                retriever_postgres=await server.make(),
            )
            async with running_guard(settings, RecordingGuard()):
                if victim == "postgresql":
                    figures = await kill_server(settings, server, ROUNDS, SEED)
                else:
                    figures = await kill_retriever(settings, ROUNDS, SEED)
        finally:
            await server.kill()
    assert figures.store == "postgresql"
    assert figures.rounds == ROUNDS
    assert figures.acks
    assert figures.looks
    assert figures.clean(), figures
