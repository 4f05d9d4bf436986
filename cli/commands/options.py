"""Options that several commands have, written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.settings import DEFAULT_VAR

Var = Annotated[Path, typer.Option("--var", envvar="RAGMESH_VAR", help="Folder of the mesh's state.", show_default="var")]
Target = Annotated[
    str | None, typer.Option("--target", envvar="RAGMESH_TARGET", help="host:port of plain gRPC, if not found by --var.")
]
Collection = Annotated[str, typer.Option(help="Where to store the documents: collections/my-notes.")]

VAR = DEFAULT_VAR
