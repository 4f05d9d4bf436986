"""Keeps a second retriever out of a folder: the index in it has room for one."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from services.retriever.truth_schema import TruthUnusable


def lock_folder(folder: Path) -> int:
    """Makes and locks `folder`; returns the descriptor that holds the lock until it is closed.

    Raises:
        TruthUnusable: another process holds it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    held = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(held)
        raise TruthUnusable(f"another process uses {folder}: stop it first") from None
    return held
