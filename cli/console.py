"""What commands print with: answers on standard output, everything about the work on standard error. Knows no command."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cli.errors import CliError

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def print_error(error: CliError) -> None:
    """One line that says what happened, one that says what to do."""
    err.print(error.message, style="bold red", markup=False)
    if error.remedy:
        err.print(error.remedy, markup=False)


def document_progress() -> Progress:
    """A bar that counts documents: rate and time left beside it, gone when it is done."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )
