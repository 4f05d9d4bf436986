"""One Chromium for all browser tests, in front of the mesh of the run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.browser_driver import Driver, Run


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    """The running browser."""
    running = Driver(tmp_path_factory.mktemp("browser") / "driver.log")
    try:
        yield running
    finally:
        running.close()


@pytest.fixture
def run(driver: Driver, request: pytest.FixtureRequest) -> Run:
    """Runs a scenario against the mesh. Each begins as a new visitor; none may leave an error in the console or call elsewhere."""
    url: str = os.environ.get("RAGMESH_BROWSER_URL") or request.getfixturevalue("mesh").web_url

    def act(scenario: str, **arguments: Any) -> dict[str, Any]:
        measured = driver.run(scenario, url.rstrip("/"), arguments)
        assert measured["problems"] == []
        assert measured["foreign"] == []
        return measured

    return act
