"""A service on the chassis for each test that asks for one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from services.mesh import context
from tests.service.mesh.chassis import VISITOR, Served, serving


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """A service with default settings."""
    async with serving(tmp_path) as found:
        yield found


@pytest.fixture
def as_visitor() -> Iterator[None]:
    """Calls of the test are made on behalf of a visitor."""
    with context.as_principal(VISITOR):
        yield
