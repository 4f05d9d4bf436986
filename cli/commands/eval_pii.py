"""`ragmesh eval pii`: texts with labelled personal data, before the guard's finder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from cli.console import err, out


def _cell(value: float | None, low: float | None, high: float | None) -> str:
    return "" if value is None else f"{value:.3f} ({low:.3f} to {high:.3f})"


def pii(
    rows: Annotated[Path, typer.Option(help="JSON lines {text, lang, spans: [{kind, start, end}]}; kind: EMAIL, PHONE, CARD, ...")],
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")] = None,
) -> None:
    """Personal data and secrets that the guard finds, and what it takes for such: precision and recall a kind, with 95 % intervals.

    A range that was found is right where it overlaps a labelled one of its kind. Rows of Presidio's data sets (full_text,
    entity_type, start_position, end_position) are read as well; kinds that the guard does not look for, such as names, are counted
    as not_measured. checksummed: cards, IBANs and national numbers together.
    """
    from cli.evaluation.guard import write
    from cli.evaluation.pii import PiiRow, as_json, run_pii
    from cli.evaluation.rows import read_rows

    run = run_pii(read_rows(rows, PiiRow))
    if json_file is not None:
        write(as_json(run), json_file)
    table = Table("kind", "labelled", "found", "precision", "recall", box=None)
    for kind in run.kinds:
        precision = _cell(kind.precision, kind.precision_low, kind.precision_high)
        table.add_row(
            kind.kind, str(kind.wanted), str(kind.found), precision, _cell(kind.recall, kind.recall_low, kind.recall_high)
        )
    out.print(table)
    err.print(f"{run.n} rows; a text {run.us_p50:.0f} us p50, {run.us_p99:.0f} us p99", markup=False)
