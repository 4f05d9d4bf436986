"""The files of the security log: one JSON object a line, appended whole, turned over at a size, never more than so many.

A line is one write, so that a killed process loses none that was written and leaves none half. Knows no verdict.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from services.mesh.log import get_logger

_log = get_logger(__name__)
FOLDER = "guard"
"""Where they are, inside the data folder."""
NAME = "security.jsonl"
MAX_FILE_BYTES = 16 * 1024 * 1024
MAX_FILES = 8
MAX_LINE_BYTES = 64 * 1024
_CHUNK = 1024 * 1024


def _numbered(folder: Path, number: int) -> Path:
    return folder / (NAME if number == 0 else f"{NAME}.{number}")


class SecurityFiles:
    """Appends entries.

    Args:
        folder: where the files are; made where it is missing.
        max_file_bytes: size from which on a new file is begun.
        max_files: how many there are at most, the one that grows among them.
    """

    def __init__(self, folder: Path, *, max_file_bytes: int = MAX_FILE_BYTES, max_files: int = MAX_FILES) -> None:
        self._folder = folder
        self._max_file_bytes = max_file_bytes
        self._max_files = max_files
        self._file = -1
        self._size = 0
        self.lost = 0
        """Entries that could not be written since the start."""

    def append(self, entry: Mapping[str, Any]) -> bool:
        """Write `entry`; False where the disk does not take it, which is no reason to keep a verdict from anybody."""
        line = orjson.dumps(entry, default=str) + b"\n"
        if len(line) > MAX_LINE_BYTES:
            line = orjson.dumps({**entry, "text": None, "words": None, "cut": True}, default=str) + b"\n"
        try:
            if self._file < 0:
                self._open()
            elif self._size + len(line) > self._max_file_bytes:
                self._turn_over()
            written = os.write(self._file, line)
            self._size += written
            if written < len(line):
                # A full disk took a part: end the line, so that the next one is whole.
                os.write(self._file, b"\n")
                raise OSError("the disk is full")
        except OSError as error:
            self.lost += 1
            if self.lost == 1 or self.lost % 1000 == 0:
                _log.error("security_log.lost", error=error.strerror or str(error), lost=self.lost)
            return False
        return True

    def close(self) -> None:
        """Nothing is written any more."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _open(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = _numbered(self._folder, 0)
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._file).st_size
        if self._size and os.pread(self._file, 1, self._size - 1) != b"\n":
            # What wrote before lost its power in the middle of a line.
            self._size += os.write(self._file, b"\n")

    def _turn_over(self) -> None:
        self.close()
        for number in range(self._max_files - 1, 0, -1):
            newer = _numbered(self._folder, number - 1)
            if newer.exists():
                newer.replace(_numbered(self._folder, number))
        self._open()


class SecurityReader:
    """Reads entries, oldest first, and what is appended later, over the turn of files too.

    Args:
        folder: where the files are; it need not be there yet.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._inode = 0
        self._offset = 0

    def read(self) -> Iterator[dict[str, Any]]:
        """The entries that were not read before. A line that is no entry is passed over."""
        for path in self._unread():
            try:
                with path.open("rb") as file:
                    inode = os.fstat(file.fileno()).st_ino
                    if inode != self._inode:
                        self._inode, self._offset = inode, 0
                    file.seek(self._offset)
                    yield from self._entries(file.read)
            except FileNotFoundError:
                continue  # turned over meanwhile: the next call finds it under its new name

    def _entries(self, read: Any) -> Iterator[dict[str, Any]]:
        rest = b""
        while chunk := read(_CHUNK):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._offset += len(line) + 1
                try:
                    entry = orjson.loads(line)
                except orjson.JSONDecodeError:
                    continue
                if isinstance(entry, dict):
                    yield entry

    def _unread(self) -> list[Path]:
        """The file that was read last and the newer ones, oldest first; all of them where it is gone."""
        found = []
        for number in range(MAX_FILES):
            path = _numbered(self._folder, number)
            try:
                inode = path.stat().st_ino
            except FileNotFoundError:
                continue
            found.append(path)
            if inode == self._inode:
                break
        return found[::-1]
