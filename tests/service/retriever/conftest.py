"""The real Triton of the session and a real retriever for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.service.retriever.retriever_fixture import RetrieverClient, folder, running_retriever
from tests.service.triton_fixture import RunningTriton, triton_server

__all__ = ["folder", "triton_server"]


@pytest.fixture
async def client(folder: Path, triton_server: RunningTriton) -> AsyncIterator[RetrieverClient]:
    """A retriever with real models."""
    async with running_retriever(folder, triton_server.grpc) as running:
        yield running
