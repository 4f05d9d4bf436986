"""`ragmesh ingest DIR`: stores the documents of a folder, and says of each that failed why."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Annotated

import typer

from cli.commands.options import VAR, Target, Var
from cli.connection import find_target
from cli.documents.folder import MEDIA_TYPES, FolderContent, read_folder
from cli.documents.importing import DEFAULT_COLLECTION
from cli.documents.session import import_files, print_tally
from cli.errors import EXIT_FAILED, EXIT_USAGE, CliError

_COLLECTION = re.compile(r"^collections/[a-z0-9][a-z0-9._-]{0,62}$")


def ingest(
    folder: Annotated[
        Path,
        typer.Argument(
            help="Folder of documents (text, Markdown, HTML, PDF, Office, EPUB, CSV, JSON, mail), looked through to its depth."
        ),
    ],
    collection: Annotated[str, typer.Option(help="Where to store them.")] = DEFAULT_COLLECTION,
    prefix: Annotated[str, typer.Option(help="First part of the documents' ids.", show_default="the folder's name")] = "",
    target: Target = None,
    var: Var = VAR,
) -> None:
    """Store the documents of a folder. What is stored already with the same bytes is passed over."""
    if not _COLLECTION.match(collection):
        raise CliError(f"{collection!r} is no collection.", "Write it as collections/my-notes.", exit_code=EXIT_USAGE)
    content = look(folder, prefix)
    address = find_target(target, var)
    tally = asyncio.run(import_files(address, collection, content.files, f"Storing {folder.name or folder}"))
    print_tally(tally, content)
    if content.refused or tally.failures:
        raise typer.Exit(EXIT_FAILED)


def look(folder: Path, prefix: str) -> FolderContent:
    """What lies in the folder.

    Raises:
        CliError: there is no such folder, it cannot be read, or holds no document at all.
    """
    try:
        content = read_folder(folder, prefix or folder.resolve().name or "root")
    except NotADirectoryError as error:
        raise CliError(f"{folder} is a file.", "Name the folder that it lies in.", exit_code=EXIT_USAGE) from error
    except OSError as error:
        raise CliError(f"{folder} cannot be read: {error.strerror}.", "Name a folder.", exit_code=EXIT_USAGE) from error
    if not content.files and not content.refused:
        kinds = " ".join(sorted(MEDIA_TYPES))
        raise CliError(
            f"{folder} holds no document of a kind that can be read ({kinds}).", "Name another folder.", exit_code=EXIT_FAILED
        )
    return content
