"""Settings that every service has: where it listens, whom it calls, what it may take.

Read from the environment (prefix `RAGMESH_`) and from `var/ragmesh.env`. Each service adds its own fields in its `settings.py`.
Knows nothing of what a service does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

SERVICES = ("gateway", "guard", "retriever", "generator")


class MeshSettings(BaseSettings):
    """What every process of the mesh is told at start."""

    model_config = SettingsConfigDict(
        env_prefix="RAGMESH_", env_file="var/ragmesh.env", env_nested_delimiter="__", extra="ignore", frozen=True
    )

    run_dir: Path = Path("var/run")
    """Sockets, `telemetry.json`, process state. Mode 0700: whoever may open it is a peer of the mesh."""

    data_dir: Path = Path("var/data")
    """What survives a restart: documents, index, turn log, keys."""

    listen: str = ""
    """Address of the service. Empty: `unix:{run_dir}/{service}.sock`. With mTLS: `127.0.0.1:port`."""

    admin_listen: str = ""
    """Address of health, reflection and channelz. Empty: `unix:{run_dir}/{service}.admin.sock`."""

    targets: dict[str, str] = {}
    """Address of each other service. Not named: its Unix socket in `run_dir`."""

    triton: str = "127.0.0.1:8101"
    """gRPC address of the model server."""

    tls_dir: Path | None = None
    """Folder of `ca.pem`, `{service}.pem`, `{service}.key`. Set: mTLS with SPIFFE ids instead of trust in the folder."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Lowest level that is logged. Only `debug` ever logs the text of a question."""

    max_concurrent_calls: Annotated[int, Field(ge=1, le=100_000)] = 256
    """Calls that a service works on at a time; one more is refused with OVERLOADED."""

    max_request_bytes: Annotated[int, Field(ge=1024, le=16 * 1024 * 1024)] = 4 * 1024 * 1024
    """Largest message that a service reads; a larger one is refused with REQUEST_TOO_LARGE."""

    drain_seconds: Annotated[float, Field(ge=0, le=120)] = 5.0
    """How long calls may go on after SIGTERM."""

    readiness_seconds: Annotated[float, Field(gt=0, le=60)] = 2.0
    """How often readiness is looked at."""

    def target(self, service: str) -> str:
        """Address of `service`, as `open_channel` takes it."""
        return self.targets.get(service) or f"unix:{(self.run_dir / service).absolute()}.sock"

    def listen_address(self, service: str) -> str:
        """Address that `service` itself listens on."""
        return self.listen or self.target(service)

    def admin_address(self, service: str) -> str:
        """Address of the admin port of `service`."""
        return self.admin_listen or f"unix:{(self.run_dir / service).absolute()}.admin.sock"
