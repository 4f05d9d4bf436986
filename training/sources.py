"""Reads the training data: every file is named in manifest.json with its origin and licence, and its bytes are checked before use.

A file may lie in the data folder as it is or xz-compressed; the digest is that of the uncompressed bytes. This module does not
know what the files mean.
"""

from __future__ import annotations

import hashlib
import json
import lzma
from dataclasses import dataclass
from pathlib import Path

MANIFEST = Path(__file__).with_name("manifest.json")


class SourceError(RuntimeError):
    """A data file is missing, unknown, or not the one that the manifest names."""


@dataclass(frozen=True)
class Source:
    """One data file and where it comes from."""

    path: str
    """Relative to the data folder, without `.xz`."""
    origin: str
    """Public repository and the path in it."""
    commit: str
    """The commit, or why none is known."""
    sha256: str
    """Of the uncompressed bytes."""
    licence: str
    use: str
    """`train` or `evaluate`: an `evaluate` file must not reach shipped weights."""


def read_manifest(path: Path = MANIFEST) -> dict[str, Source]:
    rows = json.loads(path.read_text(encoding="utf-8"))["files"]
    return {row["path"]: Source(**row) for row in rows}


class DataFolder:
    """The data folder of one run; remembers what was read, for the model card."""

    def __init__(self, root: Path, manifest: dict[str, Source] | None = None) -> None:
        self._root = root
        self._manifest = manifest if manifest is not None else read_manifest()
        self.used: dict[str, Source] = {}

    def apart(self) -> DataFolder:
        """The same folder with a record of its own: what is read only to be kept out of training belongs on no model card."""
        return DataFolder(self._root, self._manifest)

    def source(self, name: str) -> Source:
        """The manifest's row of a file."""
        source = self._manifest.get(name)
        if source is None:
            raise SourceError(f"{name} is not in {MANIFEST.name}: name its origin and licence there first")
        return source

    def read(self, name: str, use: str = "train") -> bytes:
        """The verified bytes of a manifest file. `use` says what for; it must be what the manifest allows."""
        source = self.source(name)
        if use == "train" and source.use != "train":
            raise SourceError(f"{name} is for evaluation only ({source.licence})")
        path = self._root / name
        packed = path.with_name(path.name + ".xz")
        if path.is_file():
            data = path.read_bytes()
        elif packed.is_file():
            data = lzma.decompress(packed.read_bytes())
        else:
            raise SourceError(f"{name} is missing from {self._root}; it comes from {source.origin}")
        digest = hashlib.sha256(data).hexdigest()
        if digest != source.sha256:
            raise SourceError(f"{name} has sha256 {digest}, the manifest says {source.sha256}")
        if use == "train":
            self.used[name] = source
        return data

    def text(self, name: str, use: str = "train") -> str:
        return self.read(name, use).decode("utf-8")

    def rows(self, name: str, use: str = "train") -> list[dict[str, object]]:
        """The rows of a JSON-lines file."""
        return [json.loads(line) for line in self.text(name, use).split("\n") if line.strip()]

    def under(self, folder: str, use: str = "train") -> list[str]:
        """Names of the manifest's files in a folder, for one use."""
        return sorted(name for name, row in self._manifest.items() if name.startswith(folder) and row.use == use)
