"""What found something, by its digest: a finding of two releases of the same method can be told apart. Knows files, no method."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

_READ = frozenset({".py", ".yaml", ".npz", ".json"})


@cache
def digest_of(package: Path) -> str:
    """SHA-256 over the code and the tables of a package and of those inside it, as 64 hexadecimal digits."""
    whole = hashlib.sha256()
    for path in sorted(package.rglob("*")):
        if path.suffix in _READ:
            whole.update(f"{path.relative_to(package).as_posix()}\0".encode())
            whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()
