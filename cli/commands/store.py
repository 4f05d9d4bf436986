"""`ragmesh store`: moves what is stored to another kind of store. Knows only which part of the command line does which move."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.commands.options import VAR, Var
from cli.errors import EXIT_USAGE, CliError
from cli.parts import index_move, truth_move

app = typer.Typer(no_args_is_help=True, help="Move what is stored to another kind of store.")

TARGETS = ("postgresql", *index_move.KINDS)


@app.callback()
def store() -> None:
    """Move what is stored to another kind of store."""


@app.command("migrate")
def migrate(
    to: Annotated[str, typer.Option(help=f"Where to: {', '.join(TARGETS)}.")],
    dsn: Annotated[
        str | None, typer.Option(help="postgresql: where it is, without a password.", show_default="of the settings")
    ] = None,
    password_file: Annotated[
        Path | None, typer.Option(help="postgresql: file that holds the password.", show_default="of the settings")
    ] = None,
    samples: Annotated[int, typer.Option(min=0, max=10_000, help="weaviate, embedded: chunks that both are asked for.")] = 64,
    least: Annotated[
        float, typer.Option(min=0, max=1, help="weaviate, embedded: share of the ten nearest that both must agree on.")
    ] = 0.9,
    var: Var = VAR,
) -> None:
    """Copy what is stored to another kind of store, and compare both. Nothing is taken from where it was.

    postgresql: the documents, from the SQLite file of a mesh that does not run to an empty PostgreSQL database.

    weaviate, embedded: the index of the documents, without embedding again; the next `ragmesh up` takes it.
    """
    if to == "postgresql":
        truth_move.to_postgresql(var, dsn, password_file)
    elif to in index_move.KINDS:
        index_move.to_kind(var, to, samples, least)
    else:
        raise CliError(f"There is no store of the kind {to}.", f"Take {' or '.join(TARGETS)}.", exit_code=EXIT_USAGE)
