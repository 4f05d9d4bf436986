"""`ragmesh eval output`: rows of answers, judged as the guard judges drafts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from cli.commands.options import VAR, Var
from cli.console import err, out
from cli.errors import EXIT_USAGE, CliError


def output(
    rows: Annotated[Path, typer.Option(help="JSON lines {text, label, evidence}; label: garbage, clean, faithful or corrupted.")],
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")] = None,
    fit: Annotated[Path | None, typer.Option(help="Fit thresholds and confidence to these rows; write them to this file.")] = None,
    half: Annotated[str, typer.Option(help="Only the rows whose `half` is this: tune or test.")] = "",
    var: Var = VAR,
) -> None:
    """Answers that the guard holds back or marks: by label and kind, with 95 % intervals.

    Garbage and clean texts are judged alone; faithful and corrupted ones beside their evidence, through the shipped verifier in
    this process. verified: every claim would be shown as Verified. balanced_accuracy: of Verified against the rest. ece: of the
    confidence of what would be shown. With --fit nothing else is shown: judge the other half after it.
    """
    from cli.evaluation.guard import write
    from cli.evaluation.output import OutputRow, as_json, figures, grouped, run_output
    from cli.evaluation.output_fit import fit as fit_output
    from cli.evaluation.rows import read_rows

    taken = [row for row in read_rows(rows, OutputRow) if not half or row.half == half]
    if not taken:
        raise CliError(f"{rows}: no row whose half is {half}", exit_code=EXIT_USAGE)
    if fit is not None:
        try:
            found = fit_output(taken, var)
        except ValueError as error:
            raise CliError(f"{rows}: {error}", exit_code=EXIT_USAGE) from None
        fit.write_text(json.dumps(found) + "\n", encoding="utf-8")
        err.print(json.dumps(found), markup=False)
        return
    run = run_output(taken, var)
    if json_file is not None:
        write(as_json(run), json_file)
    table = Table("label", "kind", "n", "held back", "95 % interval", "verified", box=None)
    for one in grouped(run):
        cells = (str(one.n), f"{one.rate:.1%}", f"{one.low:.1%} to {one.high:.1%}", f"{one.verified / one.n:.1%}")
        table.add_row(one.label, one.kind, *cells)
    out.print(table)
    err.print("; ".join(f"{name} {value:.4g}" for name, value in figures(run).items() if value is not None), markup=False)
