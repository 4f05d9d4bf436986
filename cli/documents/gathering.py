"""What the paths of one call name, by the source that it comes from. A file alone is the document that an import of its folder
would make of it, so that it is stored once whichever way it comes. Sends nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cli.connection import in_words, open_channel
from cli.documents.folder import MAX_FILES, FolderContent, SourceFile, read_file
from cli.documents.importing import stored_documents
from cli.errors import EXIT_USAGE, CliError
from services.mesh.errors import MeshError
from services.retriever.sources.naming import document_id

MAX_ANCESTORS = 16
"""Folders above a file that may have been imported with it."""


@dataclass
class Part:
    """What one source gets."""

    source: str
    """`collections/{c}/sources/{s}`"""
    content: FolderContent = field(default_factory=FolderContent)


def folder_name(folder: Path) -> str:
    """What a folder is called, wherever it is called from."""
    return folder.resolve().name or "root"


def source_of(collection: str, prefix: str) -> str:
    """What the documents below a prefix come from: `collections/{c}/sources/{s}`."""
    return f"{collection}/sources/{document_id(os.fsencode(prefix))}"


async def stored_sources(target: str, collection: str) -> dict[str, str]:
    """Name -> source of each document that is stored in a collection and that the caller may read.

    Raises:
        CliError: the mesh does not say.
    """
    async with open_channel(target) as channel:
        try:
            return {one.name: one.source async for one in stored_documents(channel, collection)}
        except MeshError as error:
            raise in_words(error, target) from error


def gather(
    folders: Mapping[Path, FolderContent], files: Sequence[Path], collection: str, prefix: str, stored: Mapping[str, str]
) -> list[Part]:
    """The documents of folders and files, by source, in the order in which the sources are named first.

    Args:
        folders: with what lies in them.
        prefix: first part of all ids; empty: the name of the folder, or of the folder that a file lies in.
        stored: name -> source of documents that are stored; a file that one of its folders was imported with is the same document.

    Raises:
        CliError: two files would be one document.
        OSError: a file is not there.
    """
    parts: dict[str, Part] = {}
    known = dict(stored)

    def add(name: str, content: FolderContent) -> None:
        source = source_of(collection, name)
        parts.setdefault(source, Part(source)).content.add(content)
        # A file of a folder that is named as well is the same document, whatever is stored.
        known.update((f"{collection}/documents/{document}", source) for document in content.document_ids)

    for folder, content in folders.items():
        add(prefix or folder_name(folder), content)
    for file in files:
        name, relative = (prefix, file.name) if prefix else _place(file, collection, known)
        add(name, read_file(file, name, relative))
    for part in parts.values():
        part.content.files = list(_once(part.content.files))
    if sum(len(part.content.files) for part in parts.values()) > MAX_FILES:
        raise CliError(f"More than {MAX_FILES} documents.", "Import them in several calls.", exit_code=EXIT_USAGE)
    return list(parts.values())


def _place(file: Path, collection: str, known: Mapping[str, str]) -> tuple[str, str]:
    """Name of the folder whose import a file belongs to, and its path below that; where none is known, of the folder it lies in."""
    names = Path(os.path.normpath(file.absolute())).parts[1:]
    nearest = (folder_name(file.parent), file.name)
    above = [(names[-depth], "/".join(names[1 - depth :])) for depth in range(3, min(len(names), MAX_ANCESTORS + 1) + 1)]
    for name, relative in (nearest, *above):
        document = document_id(os.fsencode(f"{name}/{relative}"))
        if known.get(f"{collection}/documents/{document}") == source_of(collection, name):
            return name, relative
    return nearest


def _once(files: Sequence[SourceFile]) -> Iterator[SourceFile]:
    found: dict[str, SourceFile] = {}
    for file in files:
        same = found.setdefault(file.document_id, file)
        if same is file:
            yield file
        elif not same.path.samefile(file.path):
            raise CliError(
                f"{same.path} and {file.path} would be one document, {file.document_id}.",
                "Import them in two calls, each with a --prefix of its own.",
                exit_code=EXIT_USAGE,
            )
