"""Errors that a person reads: one line that says what happened, one that says what to do."""

from __future__ import annotations

EXIT_FAILED = 1
"""The command did its work and some of it failed."""
EXIT_USAGE = 2
"""The command was called in a way that means nothing."""
EXIT_UNAVAILABLE = 3
"""Something the command needs is not there: a running mesh, a program, a port."""

EXIT_INTERRUPTED = 130
"""Ctrl-C, as shells count it."""


class CliError(Exception):
    """A failure with its remedy.

    Args:
        message: what happened, one line.
        remedy: what to do, one line; empty where nothing can be done.
        exit_code: what the process ends with.
    """

    def __init__(self, message: str, remedy: str = "", *, exit_code: int = EXIT_UNAVAILABLE) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.exit_code = exit_code
