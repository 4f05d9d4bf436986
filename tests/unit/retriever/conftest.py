"""The store of truth that most of these tests stand on, and a site on loopback to crawl."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from services.retriever.truth import Truth
from services.retriever.truth_sqlite import SqliteTruth
from tests.unit.retriever.local_site import Site, local_site


@pytest.fixture
async def truth(tmp_path: Path) -> AsyncIterator[Truth]:
    opened = SqliteTruth(tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
def site() -> Iterator[Site]:
    with local_site() as running:
        yield running
