"""Programs that run beside this process for a while: started so that they do start, waited for without holding up the loop.

`subprocess` starts by vfork, where uvloop forks: there handlers of gRPC's run in the child before its program does, and some
children ended in them (signal 11).
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO

_SHORTEST_SECONDS = 0.01
_LONGEST_SECONDS = 0.25
_SAID_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Program:
    """One that was started."""

    process: subprocess.Popen[bytes]
    errors: IO[bytes]

    def ended(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        return self.process.poll()

    async def end(self) -> int:
        """Its exit status, once it has one."""
        pause = _SHORTEST_SECONDS
        while (status := self.ended()) is None:
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_SECONDS)
        return status

    def said(self) -> str:
        """The end of what it wrote to stderr."""
        size = self.errors.seek(0, os.SEEK_END)
        self.errors.seek(max(0, size - _SAID_BYTES))
        return self.errors.read().decode(errors="replace").strip()


@contextmanager
def running(argv: Sequence[str], *, environment: Mapping[str, str] | None = None, alone: bool = False) -> Iterator[Program]:
    """A program until the block ends, by which it is killed. From the main thread: some end with the thread that started them.

    Args:
        environment: its variables; None: those of this process.
        alone: whether it has a session of its own, whose programs are killed with it.

    Raises:
        FileNotFoundError: there is no such program.
    """
    none = subprocess.DEVNULL
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(argv, env=environment, stdin=none, stdout=none, stderr=errors, start_new_session=alone)
        try:
            yield Program(process, errors)
        finally:
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    (os.killpg if alone else os.kill)(process.pid, signal.SIGKILL)
                # A moment: it cannot refuse.
                process.wait()
