"""What a SIGKILL at any moment of an import must not do, for every store with a server of its own."""

from __future__ import annotations

from bench.killing import Figures, kill_retriever, kill_server
from bench.victims import KillableServer, Victim
from services.retriever.settings import RetrieverSettings
from tests.service.retriever.retriever_fixture import RecordingGuard, running_guard

SEED = 20261121
ROUNDS = 2


async def nothing_is_lost(settings: RetrieverSettings, server: KillableServer, victim: Victim) -> Figures:
    """Kills the retriever or the server under it, and asserts that every acked document is there once and whole."""
    async with running_guard(settings, RecordingGuard()):
        if victim == "retriever":
            figures = await kill_retriever(settings, ROUNDS, SEED)
        else:
            figures = await kill_server(settings, server, ROUNDS, SEED)
    assert figures.rounds == ROUNDS
    assert figures.acks
    assert figures.looks
    assert figures.clean(), figures
    return figures
