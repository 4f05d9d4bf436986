"""One HTTP request to a port or a Unix socket of this machine: for admin interfaces and readiness. No TLS, no redirects."""

from __future__ import annotations

import asyncio
import http.client
import socket
from dataclasses import dataclass

MAX_RESPONSE_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Response:
    """What came back."""

    status: int
    body: bytes


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _ask(target: str, path: str, method: str, timeout: float) -> Response:
    connection: http.client.HTTPConnection
    if target.startswith("unix:"):
        connection = _UnixConnection(target.removeprefix("unix:"), timeout)
    else:
        host, _, port = target.rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=timeout)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return Response(answer.status, answer.read(MAX_RESPONSE_BYTES))
    except http.client.HTTPException as error:
        raise OSError(f"{target} does not speak HTTP") from error
    finally:
        connection.close()


async def request(target: str, path: str, *, method: str = "GET", timeout: float = 2.0) -> Response:
    """Asks `target`, which is `unix:/path.sock` or `host:port`; at most `timeout` seconds for each step on the wire.

    Raises:
        OSError: nobody answers there, not in time, or not in HTTP.
    """
    return await asyncio.to_thread(_ask, target, path, method, timeout)
