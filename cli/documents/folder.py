"""Finds the documents of a folder, and says of each other file why it is none. Opens no file for longer than a look.

Knows names and kinds of files; what a document holds is the retriever's to judge.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from services.retriever.sources.naming import document_id

_OFFICE = "application/vnd.openxmlformats-officedocument"
TEXT_TYPES = {
    ".txt": "text/plain",
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".html": "text/html",
    ".htm": "text/html",
    ".xhtml": "text/html",
    ".csv": "text/csv",
    ".tsv": "text/csv",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".ndjson": "application/jsonl",
}
BINARY_TYPES = {
    ".pdf": "application/pdf",
    ".docx": f"{_OFFICE}.wordprocessingml.document",
    ".pptx": f"{_OFFICE}.presentationml.presentation",
    ".xlsx": f"{_OFFICE}.spreadsheetml.sheet",
    ".epub": "application/epub+zip",
    ".eml": "message/rfc822",
}
MEDIA_TYPES = TEXT_TYPES | BINARY_TYPES
"""Ending of a file's name -> what it holds."""

MAX_FILE_BYTES = 1024 * 1024 * 1024
"""What is larger is not even read; the retriever's own limit, which it names, is far below."""
MAX_FILES = 1_000_000
MAX_DEPTH = 64
_LOOK_BYTES = 8192


@dataclass(frozen=True)
class SourceFile:
    """A file that may become a document."""

    path: Path
    relative: str
    """Path below the folder, for a person."""
    document_id: str
    media_type: str
    size: int


@dataclass(frozen=True)
class Refused:
    """A file that cannot become a document, and why."""

    relative: str
    reason: str
    """Name of an ErrorReason, as the retriever would give it."""
    message: str
    document_id: str = ""
    """Id that the document would have; a former version of it is not to be taken for vanished."""


@dataclass
class FolderContent:
    """What lies in a folder."""

    files: list[SourceFile] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    others: int = 0
    """Files of other kinds, which nobody asked for."""
    incomplete: bool = False
    """Whether a part of the folder could not be looked into, so that what was not found may be there."""

    def add(self, other: FolderContent) -> None:
        """Takes in what lies elsewhere."""
        self.files += other.files
        self.refused += other.refused
        self.others += other.others
        self.incomplete = self.incomplete or other.incomplete

    @property
    def document_ids(self) -> set[str]:
        """Ids of all documents that are there, readable or not."""
        return {file.document_id for file in self.files} | {refused.document_id for refused in self.refused}


def read_folder(folder: Path, prefix: str) -> FolderContent:
    """Looks through `folder` and all below it, in the order of names. Follows symbolic links, each folder once.

    Args:
        folder: where to look.
        prefix: first part of each document's id, so that two folders do not write over each other.

    Raises:
        OSError: `folder` itself cannot be read.
    """
    content = FolderContent()
    root = folder.stat()
    os.scandir(folder).close()
    for path, relative in _walk(folder, "", {(root.st_dev, root.st_ino)}, content, 0):
        if len(content.files) + len(content.refused) >= MAX_FILES:
            _refuse(content, relative, "DOCUMENT_UNREADABLE", f"the folder holds more than {MAX_FILES} documents")
            content.incomplete = True
            break
        _look(path, relative, prefix, content)
    _name_refused(content, prefix)
    return content


def read_file(path: Path, prefix: str, relative: str) -> FolderContent:
    """One file that was named by itself, as a look through the folder `prefix` would find it at `relative`. What a folder passes
    over (other kinds, hidden files) is refused, since somebody asked for it.

    Raises:
        OSError: there is no such file.
    """
    path.stat()
    content = FolderContent()
    _look(path, relative, prefix, content)
    if content.others:
        kinds = " ".join(sorted(MEDIA_TYPES))
        hidden = path.name.startswith(".")
        words = "is hidden, which an import of its folder passes over: rename it" if hidden else f"is of none of the kinds {kinds}"
        _refuse(content, relative, "MEDIA_TYPE_UNSUPPORTED", words)
        content.others = 0
    _name_refused(content, prefix)
    return content


def _name_refused(content: FolderContent, prefix: str) -> None:
    content.refused = [
        replace(one, relative=_shown(one.relative), document_id=document_id(os.fsencode(f"{prefix}/{one.relative}")))
        for one in content.refused
    ]


def _walk(folder: Path, below: str, inside: set[tuple[int, int]], content: FolderContent, depth: int) -> Iterator[tuple[Path, str]]:
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        _refuse(content, below, "DOCUMENT_UNREADABLE", f"the folder cannot be read: {error.strerror}")
        content.incomplete = True
        return
    for entry in found:
        relative = f"{below}/{entry.name}" if below else entry.name
        try:
            is_folder, there = entry.is_dir(), entry.stat()
        except OSError as error:
            _unreachable(entry, relative, error, content)
            continue
        if not is_folder:
            yield Path(entry.path), relative
            continue
        if entry.name.startswith("."):
            continue  # .git and the like: nobody's documents
        identity = (there.st_dev, there.st_ino)
        if identity in inside:
            _refuse(content, relative, "DOCUMENT_UNREADABLE", "the symbolic link leads back to a folder that it lies in")
        elif depth >= MAX_DEPTH:
            _refuse(content, relative, "DOCUMENT_UNREADABLE", f"the folder lies more than {MAX_DEPTH} folders deep")
            content.incomplete = True
        else:
            yield from _walk(Path(entry.path), relative, inside | {identity}, content, depth + 1)


def _unreachable(entry: os.DirEntry[str], relative: str, error: OSError, content: FolderContent) -> None:
    if Path(entry.name).suffix.lower() not in MEDIA_TYPES and not entry.is_symlink():
        content.others += 1
        return
    words = {errno.ENOENT: "the symbolic link leads nowhere", errno.ELOOP: "the symbolic link leads back to itself"}
    _refuse(content, relative, "DOCUMENT_UNREADABLE", words.get(error.errno or 0, f"cannot be read: {error.strerror}"))
    # It may have led to a folder.
    content.incomplete = content.incomplete or Path(entry.name).suffix.lower() not in MEDIA_TYPES


def _look(path: Path, relative: str, prefix: str, content: FolderContent) -> None:
    media_type = MEDIA_TYPES.get(path.suffix.lower())
    if media_type is None or path.name.startswith("."):
        content.others += 1
        return
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # opening a named pipe would wait for its writer
            _refuse(content, relative, "DOCUMENT_UNREADABLE", "is no regular file")
            return
        with path.open("rb") as file:
            beginning = file.read(_LOOK_BYTES)
    except OSError as error:
        _refuse(content, relative, "DOCUMENT_UNREADABLE", f"cannot be read: {error.strerror}")
        return
    if not beginning:
        _refuse(content, relative, "DOCUMENT_EMPTY", "is empty")
    elif found.st_size > MAX_FILE_BYTES:
        _refuse(content, relative, "DOCUMENT_TOO_LARGE", f"is larger than {MAX_FILE_BYTES >> 20} MiB; split it")
    elif path.suffix.lower() in TEXT_TYPES and _is_binary(beginning):
        _refuse(content, relative, "MEDIA_TYPE_UNSUPPORTED", f"holds binary data, not {media_type}")
    else:
        name = document_id(os.fsencode(f"{prefix}/{relative}"))
        content.files.append(SourceFile(path, _shown(relative), name, media_type, found.st_size))


def _is_binary(beginning: bytes) -> bool:
    # UTF-16 and UTF-32 text is full of NULs, and says so with its first bytes.
    return b"\0" in beginning and not beginning.startswith((b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff"))


def _shown(relative: str) -> str:
    return os.fsencode(relative).decode("utf8", "replace")


def _refuse(content: FolderContent, relative: str, reason: str, message: str) -> None:
    content.refused.append(Refused(relative or ".", reason, message))
