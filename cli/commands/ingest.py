"""`ragmesh ingest DIR`: stores the documents of a folder, and says of each that failed why."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from typing import Annotated

import orjson
import typer

from cli.commands.options import VAR, Collection, Target, Var
from cli.connection import find_target
from cli.console import out
from cli.documents.folder import MEDIA_TYPES, FolderContent, read_folder
from cli.documents.importing import DEFAULT_COLLECTION
from cli.documents.session import Tally, import_folder, interrupted, print_tally, report_of
from cli.errors import EXIT_FAILED, EXIT_USAGE, CliError
from services.retriever.sources.naming import document_id

_COLLECTION = re.compile(r"^collections/[a-z0-9][a-z0-9._-]{0,62}$")
Prefix = Annotated[
    str, typer.Option(help="First part of the documents' ids, and name of their source.", show_default="the folder's name")
]


def ingest(
    folder: Annotated[
        Path,
        typer.Argument(
            help="Folder of documents (text, Markdown, HTML, PDF, Office, EPUB, CSV, JSON, mail), looked through to its depth."
        ),
    ],
    collection: Collection = DEFAULT_COLLECTION,
    prefix: Prefix = "",
    prune: Annotated[bool, typer.Option("--prune", help="Remove stored documents of this folder whose files are gone.")] = False,
    force: Annotated[bool, typer.Option("--force", help="With --prune, even where no file of them is left.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what became of everything as JSON.")] = False,
    target: Target = None,
    var: Var = VAR,
) -> None:
    """Store the documents of a folder. What is stored already with the same bytes is passed over."""
    check_collection(collection)
    content = look(folder, prefix, empty=prune and force)
    source = source_name(collection, folder, prefix)
    address = find_target(target, var)
    tally = Tally()
    title = f"Storing {folder.name or folder}"
    try:
        asyncio.run(import_folder(address, source, content, title, prune=prune, force=force, tally=tally))
    except KeyboardInterrupt:
        raise interrupted(tally, content) from None
    if as_json:
        out.print(orjson.dumps(report_of(tally, content, source), option=orjson.OPT_INDENT_2).decode(), markup=False)
    else:
        print_tally(tally, content)
    if content.refused or tally.failures:
        raise typer.Exit(EXIT_FAILED)


def check_collection(collection: str) -> None:
    """Raises:
    CliError: it is no name of a collection.
    """
    if not _COLLECTION.match(collection):
        raise CliError(f"{collection!r} is no collection.", "Write it as collections/my-notes.", exit_code=EXIT_USAGE)


def source_name(collection: str, folder: Path, prefix: str) -> str:
    """What the documents of a folder come from: `collections/{c}/sources/{s}`."""
    return f"{collection}/sources/{document_id(os.fsencode(prefix or _name(folder)))}"


def _name(folder: Path) -> str:
    return folder.resolve().name or "root"


def look(folder: Path, prefix: str, *, empty: bool = False) -> FolderContent:
    """What lies in the folder.

    Args:
        empty: whether it may hold nothing.

    Raises:
        CliError: there is no such folder, it cannot be read, or holds no document at all.
    """
    try:
        content = read_folder(folder, prefix or _name(folder))
    except NotADirectoryError as error:
        raise CliError(f"{folder} is a file.", "Name the folder that it lies in.", exit_code=EXIT_USAGE) from error
    except OSError as error:
        raise CliError(f"{folder} cannot be read: {error.strerror}.", "Name a folder.", exit_code=EXIT_USAGE) from error
    if not content.files and not content.refused and not empty:
        kinds = " ".join(sorted(MEDIA_TYPES))
        raise CliError(
            f"{folder} holds no document of a kind that can be read ({kinds}).", "Name another folder.", exit_code=EXIT_FAILED
        )
    return content
