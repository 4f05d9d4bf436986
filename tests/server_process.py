"""A real server as a process of a test: started with its log in a file, waited for, ended with all that it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cli.parts.launch import LaunchSpec

_POLL_S = 0.05
_GRACE_S = 20.0


@dataclass
class ServerProcess:
    """May be ended or killed and started again."""

    name: str
    log: Path
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def pid(self) -> int:
        """Process id; of its process group as well."""
        assert self.process is not None
        return self.process.pid

    def start(self, spec: LaunchSpec) -> None:
        """Starts it in a session of its own, so that what it starts ends with it."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                spec.argv, env=spec.env, cwd=spec.cwd, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    def wait_until(self, ready: Callable[[], bool], within_s: float) -> None:
        """Waits until `ready` says so.

        Raises:
            RuntimeError: it ended, or is late; with its last words.
        """
        assert self.process is not None
        deadline = time.monotonic() + within_s
        while not ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} was not ready: {self.log.read_text(errors='replace')[-4000:]}")
            time.sleep(_POLL_S)

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to it and all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Ends it where it runs: by a signal to it alone, and to all of its group where that is not enough."""
        if self.process is None:
            return
        self.process.send_signal(how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=_GRACE_S)
        self.send(signal.SIGKILL)
        self.process.wait(timeout=_GRACE_S)
        self.process = None
