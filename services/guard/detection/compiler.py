"""Compiles expressions into Hyperscan's database; run as a file it is a process of its own, for the library holds the interpreter.

The process reads one line of JSON, `{"expressions": [...], "flags": [...]}`, and writes the database. It exits with `REFUSED` and
`{"reason": ..., "number": ...}` where an expression cannot be compiled. It has the lowest priority, a bounded time, and ends when
its standard input is closed, so with whoever started it. Imports nothing of ours, so that it begins at once.
"""

from __future__ import annotations

import fcntl
import json
import os
import resource
import select
import signal
import sys
from collections.abc import Sequence

import hyperscan

MAX_SECONDS = 900
"""A busy machine may leave the process little of its processors."""
REFUSED = 3

_MAX_CPU_SECONDS = 240
_MAX_MEMORY_BYTES = 2 * 1024 * 1024 * 1024


def compile_all(expressions: Sequence[str], flags: Sequence[int]) -> hyperscan.Database:
    """A database in which expression n is the n-th of `expressions`.

    Raises:
        hyperscan.error: one cannot be compiled.
    """
    made = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    made.compile(
        expressions=[expression.encode() for expression in expressions],
        ids=list(range(len(expressions))),
        elements=len(expressions),
        flags=list(flags),
    )
    return made


def culprit(expressions: Sequence[str], flags: Sequence[int]) -> int | None:
    """Number of the first expression that does not compile alone."""
    for number, (expression, flag) in enumerate(zip(expressions, flags, strict=True)):
        try:
            compile_all([expression], [flag])
        except hyperscan.error:
            return number
    return None


def _bounded() -> None:
    """Lets nothing that this process does be felt, and ends it in time, whatever the library is doing."""
    os.nice(19)
    resource.setrlimit(resource.RLIMIT_CPU, (_MAX_CPU_SECONDS, _MAX_CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (_MAX_MEMORY_BYTES, _MAX_MEMORY_BYTES))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM, signal.SIGIO})
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(MAX_SECONDS)


def _end_with_parent() -> None:
    """SIGIO ends a process that does not know it; the kernel sends it when the other end of standard input is closed."""
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([0], [], [], 0)[0]:
        sys.exit(1)


def main() -> None:
    """Compiles what is asked for."""
    _bounded()
    asked = json.loads(sys.stdin.buffer.readline())
    _end_with_parent()
    try:
        made = hyperscan.dumpb(compile_all(asked["expressions"], asked["flags"]))
    except hyperscan.error as error:
        number = culprit(asked["expressions"], asked["flags"])
        sys.stdout.write(json.dumps({"reason": str(error), "number": number}))
        sys.stdout.flush()
        sys.exit(REFUSED)
    sys.stdout.buffer.write(made)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
