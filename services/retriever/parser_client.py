"""Parsing off the loop: one parser process, started when it is first needed, ended when it hangs, replaced when it died."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import IO

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
        self._process: subprocess.Popen[bytes] | None = None
        self._turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="parser")

    async def parse(self, data: bytes, media_type: str, url: str = "") -> CanonicalText:
        """The canonical text of a document.

        Args:
            url: where a web page came from.

        Raises:
            DocumentRejected: as `parsing.parse`; DOCUMENT_UNREADABLE too where the parser hung or crashed on it.
        """
        async with self._turn:
            asking = asyncio.get_running_loop().run_in_executor(self._thread, self._ask, data, media_type, url)
            try:
                done, _ = await asyncio.wait([asking], timeout=self._seconds)
            except asyncio.CancelledError:
                await self._abandon(asking)
                raise
            if not done:
                await self._abandon(asking)
                raise DocumentRejected("DOCUMENT_UNREADABLE", f"parsing took over {self._seconds:g} s: split the document")
            return asking.result()

    async def _abandon(self, asking: asyncio.Future[CanonicalText]) -> None:
        """Ends the process, for half an answer may be in its pipe that the next document must not read."""
        self._kill()
        await asyncio.gather(asking, return_exceptions=True)

    def _ask(self, data: bytes, media_type: str, url: str) -> CanonicalText:
        try:
            process = self._running()
            if process.stdin is None or process.stdout is None:
                raise BrokenPipeError
            process.stdin.write(frame({"media_type": media_type, "url": url}, data))
            process.stdin.flush()
            head_size, body_size = LENGTHS.unpack(_exactly(process.stdout, LENGTHS.size))
            if head_size > _MAX_HEADER_BYTES or body_size > _MAX_BODY_BYTES:
                raise BrokenPipeError
            header, body = _exactly(process.stdout, head_size), _exactly(process.stdout, body_size)
        except (BrokenPipeError, EOFError):
            self._reap()
            log.warning("parser.died", media_type=media_type, size_bytes=len(data))
            raise DocumentRejected("DOCUMENT_UNREADABLE", "the parser failed on this document") from None
        return unpack(header, body)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self._reap()
        # `subprocess` starts it by vfork: no handler of gRPC's runs, unlike with the loop's own fork.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "services.retriever.parser_process", str(self._memory_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
                # Each thread of a numeric library takes from the same address space, and none has work here.
                "OPENBLAS_NUM_THREADS": "1",
                "OMP_NUM_THREADS": "1",
            },
            # Ctrl-C in a terminal is the service's to handle.
            start_new_session=True,
        )
        return self._process

    def _kill(self) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            process.kill()

    def _reap(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    log.debug("parser.pipe_lost")

    async def close(self) -> None:
        """Ends the process."""
        async with self._turn:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._reap)
            self._thread.shutdown()


def _exactly(pipe: IO[bytes], size: int) -> bytes:
    found = pipe.read(size)
    if len(found) != size:
        raise EOFError
    return found
