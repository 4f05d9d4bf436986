"""One child process: started in a session of its own, tied to our life, logged to a file, ended with all its descendants.

Knows nothing of what the program does or when it is ready.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

from cli.parts.launch import LaunchSpec
from cli.parts.logs import open_log

_TETHER = Path(__file__).with_name("tether.py")


class Child:
    """A running program. Linux ties it to the life of the thread that starts it, not of the process."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self._process = process

    @classmethod
    async def start(cls, name: str, spec: LaunchSpec, log_file: Path, *, orphan_signal: signal.Signals = signal.SIGKILL) -> Child:
        """Starts the program of `spec`; its output goes to `log_file`.

        Args:
            orphan_signal: what the program gets when we end without ending it, for example by SIGKILL.
        """
        tether = (sys.executable, "-I", "-S", str(_TETHER), str(int(orphan_signal)), str(os.getpid()), "--")
        with open_log(log_file) as log:
            process = await asyncio.create_subprocess_exec(
                *tether,
                *spec.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=spec.cwd,
                env=spec.env,
                start_new_session=True,
            )
        return cls(name, process)

    @property
    def pid(self) -> int:
        """Process id; of its process group as well."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.returncode is None

    async def wait(self) -> int:
        """Its exit status once it has ended; -N: by signal N."""
        return await self._process.wait()

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to it, not to its descendants."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def stop(self, grace: float) -> None:
        """Asks it to end, and after `grace` seconds makes it. Descendants that outlive it are killed."""
        self.send(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.wait(), grace)
        self.kill_group()
        await self.wait()

    def kill_group(self) -> None:
        """Kills it and every descendant that stayed in its session."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
