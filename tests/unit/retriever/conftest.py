"""The store of truth that most of these tests stand on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.retriever.truth import Truth
from services.retriever.truth_sqlite import SqliteTruth


@pytest.fixture
async def truth(tmp_path: Path) -> AsyncIterator[Truth]:
    opened = SqliteTruth(tmp_path)
    yield opened
    await opened.close()
