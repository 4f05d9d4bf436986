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


def telemetry_content(endpoint: str | None, *, metrics: bool = True) -> bytes:
    """The content of the file.

    Every turn enters through Envoy, which decides about its trace. What services begin on their own are readiness probes, some a
    second: their share is 0, or a viewer would show little else.

    Args:
        endpoint: `host:port` of an OTLP gRPC receiver; None: nothing is exported.
        metrics: whether it takes metrics, too; a viewer of traces does not.
    """
    return json.dumps({"endpoint": endpoint, "ratio": 0.0, "metrics": metrics}).encode()


def write_telemetry(run_dir: Path, endpoint: str | None, *, metrics: bool = True) -> None:
    """Says where traces go from now on, and metrics with them."""
    write_atomically(telemetry_file(run_dir), telemetry_content(endpoint, metrics=metrics))
