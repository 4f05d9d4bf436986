"""SIGKILL at any moment of an import into documents in PostgreSQL: of the retriever, and of the server under it.

`python -m bench.kills --store postgresql` does the same fifty times.
"""

from __future__ import annotations

import pytest

from bench.postgres_server import KillablePostgres
from bench.victims import Victim
from cli.parts.ports import free_ports
from services.retriever.settings import RetrieverSettings
from tests.real.killing import nothing_is_lost
from tests.real.postgres_fixture import server_folder
from tests.service.retriever.retriever_fixture import short_folder
from tests.service.triton_fixture import RunningTriton, triton_server

__all__ = ["triton_server"]


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
            figures = await nothing_is_lost(settings, server, victim)
        finally:
            await server.kill()
    assert figures.store == "postgresql"
