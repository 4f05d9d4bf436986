"""A graph as a TensorRT engine on the first GPU.

Everything up to the GPU is looked at in the order of cost: the files, the driver, the library, the engine. What is missing is an
EngineUnavailableError with a reason; what a model feeds outside the compiled shapes is a ValueError. TensorRT is proprietary and no
requirement of running: it is imported from the environment of `make engines` where the owner made that.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragmesh_models import cuda
from ragmesh_models.engine_files import EngineEntry, EngineUnavailableError, find_engine

PATH_SETTING = "RAGMESH_TENSORRT_PATH"


def import_tensorrt() -> Any:
    """The module `tensorrt_rtx`; last on the path, so that nothing else of that environment is taken.

    Raises:
        EngineUnavailableError: NO_TENSORRT.
    """
    folder = os.environ.get(PATH_SETTING, "")
    if folder and Path(folder).is_dir() and folder not in sys.path:
        sys.path.append(folder)
    try:
        return importlib.import_module("tensorrt_rtx")
    except (ImportError, OSError) as error:
        raise EngineUnavailableError("NO_TENSORRT", f"tensorrt_rtx cannot be imported ({error}): make engines") from None


def _device() -> cuda.Device:
    try:
        return cuda.Device(cuda.load_driver())
    except cuda.CudaError as error:
        raise EngineUnavailableError("NO_GPU", str(error)) from None


def _diagnosis(trt: Any, flags: int) -> str:
    names = [name for name, value in trt.EngineInvalidityDiagnostics.__members__.items() if int(value) & flags]
    return ", ".join(names) or "no reason given"


class TensorRtGraph:
    """A loaded engine. Calls of several threads wait for one another: an execution context serves one at a time."""

    runtime = "TENSORRT"

    def __init__(self, entry: EngineEntry, engine: bytes, trt: Any, device: cuda.Device) -> None:
        """Raises EngineUnavailableError: REFUSED_ENGINE."""
        self.precision = entry.precision
        self.engine_sha256 = entry.engine_sha256
        self._entry, self._device, self._lock = entry, device, threading.Lock()
        self._logger = trt.Logger(trt.Logger.ERROR)
        self._library = trt.Runtime(self._logger)
        validity, diagnostics = self._library.get_engine_validity(engine)
        if validity == trt.EngineValidity.INVALID:
            why = f"compute capability {device.compute_capability}: {_diagnosis(trt, int(diagnostics))}"
            raise EngineUnavailableError("REFUSED_ENGINE", f"{entry.engine} on a GPU of {why}")
        self._engine = self._library.deserialize_cuda_engine(engine)
        self._context = self._engine and self._engine.create_execution_context()
        if self._context is None:
            raise EngineUnavailableError("REFUSED_ENGINE", f"TensorRT could not load {entry.engine}")

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Every output by name.

        Raises:
            ValueError: a feed is missing, of another dtype, or of a shape that the engine was not compiled for.
            cuda.CudaError: the GPU failed.
        """
        held = {
            tensor.name: cuda.contiguous(feeds[tensor.name], tensor.dtype) for tensor in self._entry.inputs if tensor.name in feeds
        }
        for tensor in self._entry.inputs:
            self._check(tensor.name, tensor.shape, held)
        with self._lock:
            self._device.enter()
            for name, array in held.items():
                if not self._context.set_input_shape(name, array.shape):
                    raise ValueError(f"{name}: TensorRT refused the shape {array.shape}")
                self._context.set_tensor_address(name, self._device.upload(f"{id(self)} {name}", array))
            found: dict[str, NDArray[Any]] = {}
            for output in self._entry.outputs:
                array = np.empty(tuple(self._context.get_tensor_shape(output.name)), dtype=output.dtype)
                self._context.set_tensor_address(output.name, self._device.buffer(f"{id(self)} {output.name}", array.nbytes))
                found[output.name] = array
            if not self._context.execute_async_v3(self._device.stream):
                raise cuda.CudaError("TensorRT could not run the engine")
            for name, array in found.items():
                self._device.download(f"{id(self)} {name}", array)
            self._device.wait()
        return found

    def _check(self, name: str, shape: tuple[int, ...], held: Mapping[str, NDArray[Any]]) -> None:
        if name not in held:
            raise ValueError(f"{name} is not fed")
        given, profile = held[name].shape, self._entry.profiles.get(name)
        if profile is None and given != shape:
            raise ValueError(f"{name} has the shape {given}, the engine takes {shape}")
        if profile is not None and not profile.holds(given):
            raise ValueError(f"{name} has the shape {given}, the engine takes {profile.least} to {profile.most}")


def open_engine(graph: Path, folder: Path) -> TensorRtGraph:
    """The engine of the ONNX file `graph`, from what `make engines` left in `folder`.

    Raises:
        EngineUnavailableError: there is none, it does not fit, or this machine cannot run it.
    """
    entry, path, version = find_engine(graph, folder)
    device = _device()
    trt = import_tensorrt()
    if trt.__version__ != version:
        text = f"compiled by TensorRT-RTX {version}, here is {trt.__version__}: make engines"
        raise EngineUnavailableError("OTHER_TENSORRT", text)
    return TensorRtGraph(entry, path.read_bytes(), trt, device)
