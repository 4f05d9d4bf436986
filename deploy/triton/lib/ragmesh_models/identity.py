"""Who a model is: the digests of the files that it loaded, as the JSON of its `model_ref` output.

Computed from the files at load, so that a swapped weight cannot keep an old name. This module does not know what the files hold.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

TOKENIZER_FILE = Path("tokenizer") / "1" / "tokenizer.json"


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def weights_sha256(files: list[Path]) -> str:
    """The digest of one file; of several, the digest of their sorted `sha256sum` lines."""
    if len(files) == 1:
        return file_sha256(files[0])
    lines = "".join(f"{file_sha256(path)}  {path.name}\n" for path in sorted(files, key=lambda path: path.name))
    return hashlib.sha256(lines.encode()).hexdigest()


def model_ref(repository: Path, name: str, version: str, files: list[Path], precision: str) -> bytes:
    """The JSON of a ModelRef. `repository` is the folder that holds every model."""
    reference = {
        "name": name,
        "version": version,
        "weights_sha256": weights_sha256(files),
        "tokenizer_sha256": file_sha256(repository / TOKENIZER_FILE),
        "runtime": "ONNXRUNTIME",
        "precision": precision,
    }
    return json.dumps(reference, separators=(",", ":")).encode()
