"""Log files of the parts, with a limit on their size. Knows nothing of what is written in them."""

from __future__ import annotations

import json
import os
import shutil
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

MAX_LOG_BYTES = 16 * 1024 * 1024
"""A log that is larger becomes `<name>.1`, replacing the former one: so a part keeps at most twice this."""


def open_log(path: Path) -> BinaryIO:
    """The log for appending; an old one that has grown too large is put aside first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    trim(path)
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    return os.fdopen(handle, "ab", buffering=0)


def trim(path: Path) -> None:
    """Puts a log aside that has grown too large, also while a program appends to it.

    The file is copied and emptied in place: its writers keep their handle, and what they write in between may be lost.
    """
    try:
        if path.stat().st_size <= MAX_LOG_BYTES:
            return
    except FileNotFoundError:
        return
    shutil.copyfile(path, path.with_name(path.name + ".1"))
    os.truncate(path, 0)


def last_words(path: Path, *, lines: int = 3, limit: int = 4096) -> str:
    """The last lines of a log, for an error message; empty where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - limit))
            text = file.read().decode("utf8", "replace")
    except FileNotFoundError:
        return ""
    return "\n".join([line for line in text.splitlines() if line.strip()][-lines:])


def last_trouble(path: Path, since: datetime, *, limit: int = 65_536) -> str:
    """The last error, or else the last warning, that a service wrote down; empty where there is none.

    Args:
        since: what is older is of an earlier run.
    """
    found: dict[str, str] = {}
    for line in last_words(path, lines=1_000, limit=limit).splitlines():
        try:
            said = json.loads(line)
            if datetime.fromisoformat(said["timestamp"]) >= since:
                found[said["level"]] = ": ".join(str(said[name]) for name in ("event", "reason") if said.get(name))
        except (ValueError, KeyError, TypeError):
            continue  # cut, or not of a service of ours
    return found.get("error") or found.get("warning") or ""
