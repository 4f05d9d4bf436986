"""Parsing off the loop: one parser process, started when it is first needed, ended when it hangs, replaced when it died."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress

from services.mesh.log import get_logger
from services.retriever.canonical import CanonicalText, DocumentRejected
from services.retriever.parser_process import LENGTHS, frame, unpack

log = get_logger(__name__)

_MAX_HEADER_BYTES = 64 * 1024 * 1024
_MAX_BODY_BYTES = 128 * 1024 * 1024


class ParserClient:
    """Parses documents, one at a time.

    Args:
        seconds: how long one document may take.
        memory_bytes: address space of the process.
    """

    def __init__(self, *, seconds: float, memory_bytes: int) -> None:
        self._seconds = seconds
        self._memory_bytes = memory_bytes
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()

    async def parse(self, data: bytes, media_type: str) -> CanonicalText:
        """The canonical text of a document.

        Raises:
            DocumentRejected: as `parsing.parse`; DOCUMENT_UNREADABLE too where the parser hung or crashed on it.
        """
        async with self._turn:
            try:
                async with asyncio.timeout(self._seconds):
                    header, body = await self._exchange(frame({"media_type": media_type}, data))
            except TimeoutError:
                await self._end()
                raise DocumentRejected(
                    "DOCUMENT_UNREADABLE", f"parsing took longer than {self._seconds:g} s: split the document"
                ) from None
            except (asyncio.IncompleteReadError, BrokenPipeError, ConnectionResetError):
                await self._end()
                log.warning("parser_died", media_type=media_type, size_bytes=len(data))
                raise DocumentRejected("DOCUMENT_UNREADABLE", "the parser failed on this document") from None
            except asyncio.CancelledError:
                # Half an answer is in the pipe: the next document must not read it.
                await asyncio.shield(self._end())
                raise
        return await asyncio.to_thread(unpack, header, body)

    async def _exchange(self, message: bytes) -> tuple[bytes, bytes]:
        if self._process is None or self._process.returncode is not None:
            self._process = await self._start()
        process = self._process
        if process.stdin is None or process.stdout is None:
            raise BrokenPipeError
        process.stdin.write(message)
        await process.stdin.drain()
        head_size, body_size = LENGTHS.unpack(await process.stdout.readexactly(LENGTHS.size))
        if head_size > _MAX_HEADER_BYTES or body_size > _MAX_BODY_BYTES:
            raise BrokenPipeError
        return await process.stdout.readexactly(head_size), await process.stdout.readexactly(body_size)

    async def _start(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.retriever.parser_process",
            str(self._memory_bytes),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            # Ctrl-C in a terminal is the service's to handle.
            start_new_session=True,
            limit=1024 * 1024,
        )

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        transport = getattr(process, "_transport", None)
        if transport is not None:
            transport.close()

    async def close(self) -> None:
        """Ends the process."""
        async with self._turn:
            await self._end()
