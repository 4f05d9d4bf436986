"""`ragmesh store`: moves what is stored to another kind of store, or to another embedder. Knows only which part of the command line
does which."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from cli.commands.options import VAR, Var
from cli.console import err
from cli.errors import EXIT_FAILED, EXIT_USAGE, CliError
from cli.parts import index_move, truth_move
from cli.parts.reindex import has_documents, reindex
from cli.parts.run_state import layout

app = typer.Typer(no_args_is_help=True, help="Move what is stored to another kind of store, or embed it anew.")

TARGETS = ("postgresql", *index_move.KINDS)


@app.callback()
def store() -> None:
    """Move what is stored to another kind of store, or embed it anew."""


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


@app.command("reindex")
def reindex_documents(var: Var = VAR) -> None:
    """Embed every stored passage with the embedder of this release, and build the index anew. The mesh must not run.

    Needed where a start says EMBEDDER_CHANGED. Nothing is read from where the documents came from. It may be ended at any time,
    and goes on where it was.
    """
    folders = layout(var)
    if not has_documents(folders):
        raise CliError(f"Nothing is stored in {folders.data_dir}.", "Point --var at the folder of the mesh.", exit_code=EXIT_FAILED)
    folders.make()
    with err.status("Embedding the stored documents"):
        asyncio.run(reindex(folders))
    err.print("Every stored passage has a vector of this release's embedder, and the index is built of them.", markup=False)
