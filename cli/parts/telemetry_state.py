"""Steers where traces go and how many there are, while a mesh runs.

`{run_dir}/telemetry.json` is what the services look at; Envoy, which makes the decision, has a runtime key. Knows no viewer.
"""

from __future__ import annotations

import json
from pathlib import Path

from cli.parts.files import write_atomically


def telemetry_file(run_dir: Path) -> Path:
    """Where the services of a mesh look."""
    return run_dir / "telemetry.json"


def telemetry_content(endpoint: str | None, ratio: float) -> bytes:
    """The content of the file.

    Args:
        endpoint: `host:port` of an OTLP gRPC receiver; None: nothing is exported.
        ratio: share of the turns, 0 to 1, that is traced where the edge made no decision.
    """
    return json.dumps({"endpoint": endpoint, "ratio": ratio}).encode()


def write_telemetry(run_dir: Path, endpoint: str | None, ratio: float) -> None:
    """Says where traces go from now on."""
    write_atomically(telemetry_file(run_dir), telemetry_content(endpoint, ratio))
