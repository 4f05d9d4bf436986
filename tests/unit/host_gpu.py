"""The CUDA driver and TensorRT with the machine's own memory as that of a GPU: for tests on a machine without one.

Addresses are real addresses, copies are real copies, and the engine's work is done by ONNX Runtime on the bytes that lie at the
addresses that were set. What a GPU computes is not tested here.
"""

from __future__ import annotations

import ctypes
import enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
from ragmesh_models.engine_files import EngineEntry


class HostDriver:
    """The functions of libcuda that `ragmesh_models.cuda` calls."""

    def __init__(self, gpus: int = 1, failing: str = "") -> None:
        self.gpus, self.failing = gpus, failing
        self.held: dict[int, Any] = {}
        self.freed: list[int] = []
        self.waited = 0

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: 2 if name == self.failing else getattr(self, f"_{name}")(*arguments)

    def _cuInit(self, _flags: int) -> int:
        return 0

    def _cuDeviceGetCount(self, count: Any) -> int:
        count._obj.value = self.gpus
        return 0

    def _cuDeviceGet(self, device: Any, number: int) -> int:
        device._obj.value = number
        return 0

    def _cuDeviceGetAttribute(self, value: Any, attribute: int, _device: Any) -> int:
        value._obj.value = {75: 8, 76: 6}[attribute]
        return 0

    def _cuDevicePrimaryCtxRetain(self, context: Any, _device: Any) -> int:
        context._obj.value = 1
        return 0

    def _cuCtxSetCurrent(self, _context: Any) -> int:
        return 0

    def _cuStreamCreate(self, stream: Any, _flags: int) -> int:
        stream._obj.value = 7
        return 0

    def _cuMemAlloc_v2(self, address: Any, size: Any) -> int:
        memory = ctypes.create_string_buffer(size.value)
        address._obj.value = ctypes.addressof(memory)
        self.held[address._obj.value] = memory
        return 0

    def _cuMemFree_v2(self, address: Any) -> int:
        self.freed.append(address.value)
        del self.held[address.value]
        return 0

    def _cuMemcpyHtoDAsync_v2(self, target: Any, source: Any, size: Any, _stream: Any) -> int:
        assert size.value <= len(self.held[target.value])
        ctypes.memmove(target.value, source.value, size.value)
        return 0

    def _cuMemcpyDtoHAsync_v2(self, target: Any, source: Any, size: Any, _stream: Any) -> int:
        assert size.value <= len(self.held[source.value])
        ctypes.memmove(target.value, source.value, size.value)
        return 0

    def _cuStreamSynchronize(self, _stream: Any) -> int:
        self.waited += 1
        return 0


class Validity(enum.Enum):
    VALID = 0
    INVALID = 2


class Diagnostics(enum.IntFlag):
    VERSION_MISMATCH = 1
    UNSUPPORTED_CC = 2


class _Context:
    def __init__(self, graph: Path, entry: EngineEntry) -> None:
        self._session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
        self._entry = entry
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self._shapes[name] = shape
        return True

    def set_tensor_address(self, name: str, address: int) -> None:
        self._addresses[name] = address

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        """Lengths that vary follow the first input, as in the graphs that are tested."""
        (shape,) = [one.shape for one in self._entry.outputs if one.name == name]
        return tuple(self._shapes[self._entry.inputs[0].name][0] if size < 0 else size for size in shape)

    def _at(self, name: str, shape: tuple[int, ...], dtype: str) -> Any:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        raw = (ctypes.c_char * size).from_address(self._addresses[name])
        return np.frombuffer(raw, dtype=dtype).reshape(shape)

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == 7
        feeds = {one.name: self._at(one.name, self._shapes[one.name], one.dtype) for one in self._entry.inputs}
        names = [one.name for one in self._entry.outputs]
        for one, result in zip(self._entry.outputs, self._session.run(names, feeds), strict=True):
            self._at(one.name, result.shape, one.dtype)[...] = result
        return True


def host_tensorrt(graph: Path, entry: EngineEntry, invalid: Diagnostics | None = None, version: str = "1.7.1") -> Any:
    """A module in the place of `tensorrt_rtx` whose engines compute what `graph` does."""
    engine = SimpleNamespace(create_execution_context=lambda: _Context(graph, entry))
    verdict = (Validity.VALID, 0) if invalid is None else (Validity.INVALID, int(invalid))
    runtime = SimpleNamespace(get_engine_validity=lambda _: verdict, deserialize_cuda_engine=lambda _: engine)

    def logger(_severity: int) -> object:
        return object()

    logger.ERROR = 1  # type: ignore[attr-defined]
    return SimpleNamespace(
        __version__=version,
        Logger=logger,
        Runtime=lambda _: runtime,
        EngineValidity=Validity,
        EngineInvalidityDiagnostics=Diagnostics,
    )
