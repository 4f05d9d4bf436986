"""Who a model is: the digests of the files that it loaded and what runs them, as the JSON of its `model_ref` output.

Computed from the files at load, so that a swapped weight cannot keep an old name. This module does not know what the files hold.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ragmesh_models.runtime import Graph

TOKENIZER_FILE = Path("tokenizer") / "1" / "tokenizer.json"
_NARROWEST_FIRST = ("int8", "fp16", "bf16", "fp32")


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def weights_sha256(files: list[Path]) -> str:
    """The digest of one file; of several, the digest of their sorted `sha256sum` lines."""
    if len(files) == 1:
        return file_sha256(files[0])
    lines = "".join(f"{file_sha256(path)}  {path.name}\n" for path in sorted(files, key=lambda path: path.name))
    return hashlib.sha256(lines.encode()).hexdigest()


def model_ref(repository: Path, name: str, version: str, files: list[Path], graphs: Sequence[Graph] = ()) -> bytes:
    """The JSON of a ModelRef. `repository` is the folder that holds every model, `graphs` what the model runs.

    One engine among several graphs sets the model apart, and so does the narrowest arithmetic. The digest of several engines is
    that of their sorted digests, one a line. A model without a graph counts as ONNXRUNTIME and fp32.
    """
    engines = sorted(graph.engine_sha256 for graph in graphs if graph.engine_sha256)
    precisions = {graph.precision for graph in graphs}
    reference = {
        "name": name,
        "version": version,
        "weights_sha256": weights_sha256(files),
        "tokenizer_sha256": file_sha256(repository / TOKENIZER_FILE),
        "runtime": "TENSORRT" if engines else "ONNXRUNTIME",
        "precision": next((narrow for narrow in _NARROWEST_FIRST if narrow in precisions), "fp32"),
    }
    if engines:
        lines = "".join(f"{digest}\n" for digest in engines)
        reference["engine_sha256"] = engines[0] if len(engines) == 1 else hashlib.sha256(lines.encode()).hexdigest()
    return json.dumps(reference, separators=(",", ":")).encode()
