"""`ragmesh eval intents`: the guard's intent classifier, learnt from one file and measured on another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from cli.console import err, out

if TYPE_CHECKING:
    from cli.evaluation.intents import Share


def _cells(share: Share) -> tuple[str, str, str]:
    if share.rate is None:
        return "0", "", ""
    return str(share.n), f"{share.rate:.1%}", f"{share.low:.1%} to {share.high:.1%}"


def intents(
    train: Annotated[Path, typer.Option(help="JSON lines {text, intent}: what to learn from; intent oos is out of scope.")],
    rows: Annotated[Path, typer.Option(help="JSON lines {text, intent}: what to measure on.")],
    save: Annotated[Path | None, typer.Option(help="Keep the weights in this file (.npz).")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")] = None,
) -> None:
    """Intents by example, as the guard learns them at load: accuracy in scope and recall out of scope, at one threshold.

    The threshold is chosen on a tenth of the examples that is held out; the rows have no part in it. in_scope: a row counts where
    its intent is named, so that one that is refused is wrong; in_scope_unrefused: without a threshold. out_of_scope: rows of intent
    oos that are refused. us_p50 and us_p99 are microseconds a text.
    """
    from cli.evaluation.guard import write
    from cli.evaluation.intents import IntentRow, as_json, run_intents
    from cli.evaluation.rows import read_rows

    run = run_intents(read_rows(train, IntentRow), read_rows(rows, IntentRow), save)
    if json_file is not None:
        write(as_json(run), json_file)
    table = Table("", "n", "share", "95 % interval", box=None)
    table.add_row("in scope", *_cells(run.in_scope))
    table.add_row("in scope, none refused", *_cells(run.in_scope_unrefused))
    table.add_row("out of scope", *_cells(run.out_of_scope))
    out.print(table)
    auroc = "" if run.auroc is None else f"AUROC {run.auroc:.4f}; "
    words = f"{run.intents} intents learnt in {run.train_seconds:.0f} s; threshold {run.threshold:.3f}; {auroc}"
    err.print(f"{words}a text {run.us_p50:.0f} us p50, {run.us_p99:.0f} us p99", markup=False)
