"""The one way a model opens its ONNX graph: as a TensorRT engine where a GPU and an engine are there, in ONNX Runtime otherwise.

`RAGMESH_TRITON_RUNTIME` chooses: `auto` (the default), `onnxruntime`, or `tensorrt`, which fails where auto would fall back. The
engines are looked for in the folder `RAGMESH_ENGINES` (what `make engines` writes; the launcher names it). ONNX Runtime works on
the CPU: one thread unless told otherwise, and none that spins while it waits, because every model has a process of its own and two
cores are shared by the whole mesh. This module knows names and arrays; not what a graph computes.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from ragmesh_models.engine_files import EngineUnavailableError
from ragmesh_models.onnx_weights import weights_precision

RUNTIME_SETTING = "RAGMESH_TRITON_RUNTIME"
ENGINES_SETTING = "RAGMESH_ENGINES"
RUNTIMES = ("auto", "onnxruntime", "tensorrt")
_log = logging.getLogger(__name__)


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
    """Load the graph in `path` (an ONNX file), in the runtime that the settings ask for. Why `auto` fell back is logged.

    Raises:
        EngineUnavailableError: the setting is `tensorrt`, and the engine cannot run here.
        ValueError: the setting is none of the three.
    """
    wanted = os.environ.get(RUNTIME_SETTING, "auto")
    if wanted not in RUNTIMES:
        raise ValueError(f"{RUNTIME_SETTING} must be one of {', '.join(RUNTIMES)}, not {wanted!r}")
    if wanted != "onnxruntime":
        try:
            return _open_engine(path)
        except EngineUnavailableError as error:
            if wanted == "tensorrt":
                raise
            # Without engines nobody asked for them; with engines their owner wants to know.
            level = logging.INFO if error.reason == "NO_ENGINES" else logging.WARNING
            _log.log(level, "%s runs in ONNX Runtime. %s", path.name, error)
    return OnnxGraph(path, threads)


def _open_engine(path: Path) -> Graph:
    folder = os.environ.get(ENGINES_SETTING, "")
    if not folder:
        raise EngineUnavailableError("NO_ENGINES", f"{ENGINES_SETTING} names no folder of engines")
    # Here, so that a machine without engines does not read it.
    from ragmesh_models.tensorrt_graph import open_engine

    return open_engine(path, Path(folder))
