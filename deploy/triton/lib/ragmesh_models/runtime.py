"""The one way a model opens its ONNX graph.

ONNX Runtime on the CPU: one thread unless told otherwise, and none that spins while it waits, because every model has a process
of its own and two cores are shared by the whole mesh. This module knows names and arrays; not what a graph computes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from ragmesh_models.onnx_weights import weights_precision


class Graph(Protocol):
    """A graph that is loaded and can be run."""

    runtime: str
    """"ONNXRUNTIME" or "TENSORRT", as evidence.v1.Runtime names them."""

    precision: str
    """In which most of its weights are held: "fp32", "int8", "fp16"."""

    engine_sha256: str
    """Digest of the engine file; empty without an engine."""

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Every output by name. Every input must be fed, in the graph's own dtype."""
        ...


class OnnxGraph:
    """A graph in ONNX Runtime, on the CPU."""

    runtime = "ONNXRUNTIME"
    engine_sha256 = ""

    def __init__(self, path: Path, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._outputs = [output.name for output in self._session.get_outputs()]
        self.precision = weights_precision(path)

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return dict(zip(self._outputs, self._session.run(None, dict(feeds)), strict=True))


def open_graph(path: Path, threads: int = 1) -> Graph:
    """Load the graph in `path` (an ONNX file)."""
    return OnnxGraph(path, threads)
