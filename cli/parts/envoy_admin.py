"""Asks a running Envoy, and tells it how much to trace. Knows nothing of how it was configured."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

from cli.parts.http_request import request

SAMPLING_KEY = "tracing.random_sampling"


class EnvoyAdmin:
    """The admin interface on its Unix socket."""

    def __init__(self, socket: Path) -> None:
        self._target = f"unix:{socket}"

    async def ready(self) -> bool:
        """Whether it serves."""
        try:
            return (await request(self._target, "/ready")).status == 200
        except OSError:
            return False

    async def listener_ports(self) -> dict[str, int]:
        """Name of a listener -> the port that it really has.

        Raises:
            OSError: Envoy does not answer.
        """
        answer = json.loads((await request(self._target, "/listeners?format=json")).body)
        return {
            status["name"]: int(status["local_address"]["socket_address"]["port_value"])
            for status in answer.get("listener_statuses", [])
        }

    async def set_sampling(self, percent: int | None) -> None:
        """Traces this share of the requests from now on; None: what it was started with.

        Raises:
            OSError: Envoy does not answer, or refuses.
        """
        value = "" if percent is None else str(percent)
        answer = await request(self._target, f"/runtime_modify?{SAMPLING_KEY}={quote(value)}", method="POST")
        if answer.status != 200:
            raise OSError(f"Envoy refused to change its sampling: {answer.status}")
