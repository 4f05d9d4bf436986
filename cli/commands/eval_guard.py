"""`ragmesh eval guard`: rows of attacks and honest texts, judged as the guard judges them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.table import Table

from cli.commands.options import VAR, Var
from cli.console import err, out


def guard(
    rows: Annotated[Path, typer.Option(help="JSON lines {text, label, source, lang}; label: attack or benign.")],
    as_: Annotated[Literal["question", "document"], typer.Option("--as", help="What the texts are judged as.")] = "question",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")] = None,
    var: Var = VAR,
) -> None:
    """Attacks that the guard stops, honest texts that it disturbs: by source, language and label, with 95 % intervals.

    Judged in this process exactly as CheckInput and CheckDocument do. Flagged is what would not pass as it is: a question that is
    blocked; a passage that is quarantined or quoted. us_p50 and us_p99 are microseconds a text, the rows one after the other.
    """
    from cli.evaluation.guard import GuardRow, as_json, percent, run_guard, write
    from cli.evaluation.rows import read_rows

    run = run_guard(read_rows(rows, GuardRow), as_, var)
    if json_file is not None:
        write(as_json(run), json_file)
    table = Table("source", "language", "label", "n", "flagged", "95 % interval", box=None)
    for cells in percent(run.groups):
        table.add_row(*cells)
    out.print(table)
    words = f"{len(run.flags)} rows in {run.seconds:.0f} s; a text {run.us_p50:.0f} us p50, {run.us_p99:.0f} us p99"
    err.print(f"{words}; threshold {run.threshold:g}", markup=False)
