"""Log lines of a process: JSON, one a line, with the service and without a stack where none belongs."""

from __future__ import annotations

import subprocess
import sys

import orjson

_SCRIPT = """
from services.mesh import log
log.configure({level!r}, "guard")
found = log.get_logger("services.guard.rules")
found.debug("question", text="my secret illness")
found.info("rpc", ms=1.5)
try:
    raise ValueError("inner")
except ValueError:
    found.error("rpc.defect", exc_info=True)
"""


def _lines(level: str) -> list[dict[str, object]]:
    ran = subprocess.run([sys.executable, "-c", _SCRIPT.format(level=level)], capture_output=True, check=True, timeout=60)
    assert ran.stderr == b""
    return [orjson.loads(line) for line in ran.stdout.splitlines()]


def test_lines_are_json_and_say_who_speaks() -> None:
    first, second = _lines("info")
    assert {key: first[key] for key in ("event", "ms", "service", "module", "level")} == {
        "event": "rpc",
        "ms": 1.5,
        "service": "guard",
        "module": "services.guard.rules",
        "level": "info",
    }
    assert str(first["timestamp"]).endswith("Z")
    assert "ValueError: inner" in str(second["exception"])


def test_only_debug_holds_what_a_person_wrote() -> None:
    assert "secret" not in str(_lines("info"))
    assert "secret" in str(_lines("debug"))
