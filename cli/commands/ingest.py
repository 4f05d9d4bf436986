"""`ragmesh ingest PATH...`: stores the documents of folders and files, and says of each that failed why."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import orjson
import typer

from cli.commands.options import VAR, Collection, Target, Var
from cli.connection import find_target
from cli.console import out
from cli.documents.folder import MEDIA_TYPES, FolderContent, read_folder
from cli.documents.gathering import Part, folder_name, gather, source_of, stored_sources
from cli.documents.importing import DEFAULT_COLLECTION
from cli.documents.session import Tally, import_folder, interrupted, print_tally, report_of
from cli.errors import EXIT_FAILED, EXIT_USAGE, CliError

_COLLECTION = re.compile(r"^collections/[a-z0-9][a-z0-9._-]{0,62}$")
Prefix = Annotated[
    str, typer.Option(help="First part of the documents' ids, and name of their source.", show_default="the folder's name")
]


def ingest(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH",
            help="Folders, looked through to their depth, and files (text, Markdown, HTML, PDF, Office, EPUB, CSV, JSON, mail).",
            show_default=False,
        ),
    ],
    collection: Collection = DEFAULT_COLLECTION,
    prefix: Prefix = "",
    prune: Annotated[bool, typer.Option("--prune", help="Remove stored documents of the folders whose files are gone.")] = False,
    force: Annotated[bool, typer.Option("--force", help="With --prune, even where no file of them is left.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what became of everything as JSON.")] = False,
    target: Target = None,
    var: Var = VAR,
) -> None:
    """Store the documents of folders and files. What is stored already with the same bytes is passed over."""
    check_collection(collection)
    files = _files(paths)
    if files and prune:
        raise CliError(
            f"--prune removes what is gone from a folder, and {files[0]} is a file.",
            "Name the folder, or leave out --prune.",
            exit_code=EXIT_USAGE,
        )
    folders = {path: look(path, prefix, empty=prune and force) for path in paths if path.is_dir()}
    address = find_target(target, var)
    # Where it stands already says which folder a file was imported with.
    stored = asyncio.run(stored_sources(address, collection)) if files and not prefix else {}
    try:
        parts = gather(folders, files, collection, prefix, stored)
    except OSError as error:  # it went away a moment ago
        raise _unreadable(error.filename, error) from error
    content = FolderContent()
    for part in parts:
        content.add(part.content)
    tally = Tally()
    try:
        asyncio.run(_import(address, parts, prune=prune, force=force, tally=tally))
    except KeyboardInterrupt:
        raise interrupted(tally, content) from None
    if as_json:
        report = report_of(tally, content, [part.source for part in parts])
        out.print(orjson.dumps(report, option=orjson.OPT_INDENT_2).decode(), markup=False)
    else:
        print_tally(tally, content)
    if content.refused or tally.failures:
        raise typer.Exit(EXIT_FAILED)


async def _import(address: str, parts: Sequence[Part], *, prune: bool, force: bool, tally: Tally) -> None:
    for part in parts:
        title = f"Storing {part.source.rpartition('/')[2]}"
        await import_folder(address, part.source, part.content, title, prune=prune, force=force, tally=tally)


def _files(paths: Sequence[Path]) -> list[Path]:
    """Those that are no folders.

    Raises:
        CliError: one is not there.
    """
    for path in paths:
        try:
            path.stat()
        except OSError as error:
            raise _unreadable(path, error) from error
    return [path for path in paths if not path.is_dir()]


def _unreadable(path: Path | str, error: OSError) -> CliError:
    return CliError(f"{path} cannot be read: {error.strerror}.", "Name a folder or a file.", exit_code=EXIT_USAGE)


def check_collection(collection: str) -> None:
    """Raises:
    CliError: it is no name of a collection.
    """
    if not _COLLECTION.match(collection):
        raise CliError(f"{collection!r} is no collection.", "Write it as collections/my-notes.", exit_code=EXIT_USAGE)


def source_name(collection: str, folder: Path, prefix: str) -> str:
    """What the documents of a folder come from: `collections/{c}/sources/{s}`."""
    return source_of(collection, prefix or folder_name(folder))


def look(folder: Path, prefix: str, *, empty: bool = False) -> FolderContent:
    """What lies in the folder.

    Args:
        empty: whether it may hold nothing.

    Raises:
        CliError: there is no such folder, it cannot be read, or holds no document at all.
    """
    try:
        content = read_folder(folder, prefix or folder_name(folder))
    except NotADirectoryError as error:
        raise CliError(f"{folder} is a file.", "Name the folder that it lies in.", exit_code=EXIT_USAGE) from error
    except OSError as error:
        raise _unreadable(folder, error) from error
    if not content.files and not content.refused and not empty:
        kinds = " ".join(sorted(MEDIA_TYPES))
        raise CliError(
            f"{folder} holds no document of a kind that can be read ({kinds}).", "Name another folder.", exit_code=EXIT_FAILED
        )
    return content
