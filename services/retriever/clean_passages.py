"""Which passages the guard let pass, by their digests: a table of a fixed size, in which the newest of a row push out the oldest.

It stands in a file that is mapped: a restart, also after a kill, knows what was judged. What is pushed out, or torn, is judged once
more when a search finds it. Knows no guard.
"""

from __future__ import annotations

import hashlib
import mmap
from pathlib import Path

_KEY_BYTES = 16
_ROW_KEYS = 4
_ROW_BYTES = _KEY_BYTES * _ROW_KEYS
_ROWS = 2**17
"""8 MiB. Of 200,000 passages 99 of 100 have a place then, of 500,000 four of five."""


class CleanPassages:
    """Passages that were judged clean, and by which rules. One that never was is not taken for one: keys have 128 bits.

    Args:
        path: of the file, which is made where it is missing or of another size. One process at a time.
        rows: how many rows of four.

    Raises:
        OSError: the file cannot be used.
    """

    def __init__(self, path: Path, rows: int = _ROWS) -> None:
        self._rows = rows
        size = rows * _ROW_BYTES
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with path.open("a+b") as file:
            path.chmod(0o600)
            if path.stat().st_size != size:
                file.truncate(0)
                file.truncate(size)
            self._table = mmap.mmap(file.fileno(), size)

    def close(self) -> None:
        """Ends its use."""
        self._table.close()

    def add(self, rules: str, digest: bytes) -> None:
        """Notes the passage of a digest as clean by the rules of another."""
        key, begin = self._place(rules, digest)
        row = self._table[begin : begin + _ROW_BYTES]
        if not _holds(row, key):
            self._table[begin : begin + _ROW_BYTES] = key + row[:-_KEY_BYTES]

    def holds(self, rules: str, digest: bytes) -> bool:
        """Whether it was noted, and not pushed out."""
        key, begin = self._place(rules, digest)
        return _holds(self._table[begin : begin + _ROW_BYTES], key)

    def _place(self, rules: str, digest: bytes) -> tuple[bytes, int]:
        key = hashlib.blake2b(digest + rules.encode(), digest_size=_KEY_BYTES).digest()
        return key, int.from_bytes(key[:8], "little") % self._rows * _ROW_BYTES


def _holds(row: bytes, key: bytes) -> bool:
    return any(row[at : at + _KEY_BYTES] == key for at in range(0, _ROW_BYTES, _KEY_BYTES))
