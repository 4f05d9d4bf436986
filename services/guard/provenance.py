"""What found something, by its digest, so that findings of two releases of a method can be told apart; and what a value of the
contract is called there and in the log. Knows files and names, no method."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

_READ = frozenset({".py", ".yaml", ".npz", ".json"})


def short(name: str) -> str:
    """`block` for `ACTION_BLOCK`."""
    return name.partition("_")[2].lower()


@cache
def digest_of(package: Path) -> str:
    """SHA-256 over the code and the tables of a package and of those inside it, as 64 hexadecimal digits."""
    whole = hashlib.sha256()
    for path in sorted(package.rglob("*")):
        if path.suffix in _READ:
            whole.update(f"{path.relative_to(package).as_posix()}\0".encode())
            whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()
