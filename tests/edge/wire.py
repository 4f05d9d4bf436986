"""Raw HTTP/1.1 and gRPC-Web frames, as they are on the wire: no client library smooths anything over."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from google.protobuf.message import Message

GRPC_WEB = "application/grpc-web+proto"
TRAILERS = 0x80
SECONDS = 10.0


@dataclass
class Reply:
    """A whole response."""

    status: int
    headers: dict[str, str]
    body: bytes
    frames: list[tuple[int, bytes]] = field(default_factory=list)

    @property
    def trailers(self) -> dict[str, str]:
        """gRPC trailers: of the last frame, or of the headers where there is no body."""
        for flag, payload in self.frames:
            if flag & TRAILERS:
                lines = payload.decode().strip().split("\r\n")
                return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return self.headers

    @property
    def messages(self) -> list[bytes]:
        """Payloads of the data frames."""
        return [payload for flag, payload in self.frames if not flag & TRAILERS]


def frame(message: Message) -> bytes:
    """A gRPC-Web data frame."""
    payload = message.SerializeToString()
    return struct.pack(">BI", 0, len(payload)) + payload


def frames(body: bytes) -> list[tuple[int, bytes]]:
    """(flag, payload) of each frame of a body."""
    found = []
    while body:
        flag, length = struct.unpack(">BI", body[:5])
        found.append((flag, body[5 : 5 + length]))
        body = body[5 + length :]
    return found


class Connection:
    """One HTTP/1.1 connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def request(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> None:
        given = {"host": "localhost", **headers}
        if body is not None:
            given.setdefault("content-length", str(len(body)))
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items()), "", ""]
        await self.send("\r\n".join(lines).encode() + (body or b""))

    async def head(self) -> Reply:
        """Status and headers of the response that comes next."""
        raw = await self._reader.readuntil(b"\r\n\r\n")
        first, *lines = raw.decode("latin1").strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return Reply(int(first.split()[1]), headers, b"")

    async def chunk(self) -> bytes:
        """The next chunk of a chunked body; empty at its end."""
        size = int((await self._reader.readuntil(b"\r\n")).strip(), 16)
        data = await self._reader.readexactly(size + 2)
        return data[:-2]

    async def body(self, reply: Reply, method: str) -> bytes:
        if method == "HEAD" or reply.status in (204, 304):
            return b""
        if reply.headers.get("transfer-encoding") == "chunked":
            found = bytearray()
            while piece := await self.chunk():
                found += piece
            return bytes(found)
        return await self._reader.readexactly(int(reply.headers.get("content-length", "0")))

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


async def exchange(port: int, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None) -> Reply:
    """One request on a connection of its own."""
    async with asyncio.timeout(SECONDS):
        connection = await Connection.open(port)
        try:
            await connection.request(method, path, headers or {}, body)
            reply = await connection.head()
            reply.body = await connection.body(reply, method)
        finally:
            await connection.close()
    if reply.headers.get("content-type", "").startswith("application/grpc-web") and reply.body:
        reply.frames = frames(reply.body)
    return reply


async def call(
    port: int, method: str, message: Message, headers: Mapping[str, str] | None = None, service: str = "gateway.v1.GatewayService"
) -> Reply:
    """One gRPC-Web call."""
    given = {"content-type": GRPC_WEB, "x-grpc-web": "1", **(headers or {})}
    return await exchange(port, "POST", f"/ragmesh.{service}/{method}", given, frame(message))
