"""`ragmesh certs`: makes the certificates with which the services know each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.commands.options import VAR, Var
from cli.console import out
from cli.parts.certificates import issue
from cli.settings import env_file


def certs(
    directory: Annotated[Path | None, typer.Option("--dir", help="Where to put them.", show_default="{var}/tls")] = None,
    days: Annotated[int, typer.Option(min=1, max=825, help="How long they are valid.")] = 365,
    var: Var = VAR,
) -> None:
    """Make a certificate authority and a SPIFFE certificate for each service. Running it again makes new ones."""
    folder = (directory or var / "tls").expanduser().resolve()
    names = issue(folder, days)
    out.print(f"Certificates for {', '.join(names)} are in {folder}, valid for {days} days.")
    out.print("To switch mTLS on, start with:")
    out.print(f"  RAGMESH_TLS_DIR={folder} ragmesh up", markup=False)
    out.print(f"or write RAGMESH_TLS_DIR={folder} into {env_file(var)}.", markup=False)
