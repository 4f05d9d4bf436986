"""Device memory, a stream and copies, through the CUDA driver's own C interface.

TensorRT's Python API takes addresses and leaves memory to its caller. Ten functions of `libcuda.so.1`, which every NVIDIA driver
brings, are enough, so no CUDA package is needed to serve. This module does not know TensorRT.
"""

from __future__ import annotations

import ctypes
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

_LIBRARY = "libcuda.so.1"
_ATTRIBUTE_MAJOR, _ATTRIBUTE_MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*


class CudaError(RuntimeError):
    """The driver is not there, sees no GPU, or refused a call."""


class Driver(Protocol):
    """The functions of the driver by name, each giving a CUresult."""

    def __getattr__(self, name: str) -> Any: ...


def load_driver() -> Driver:
    try:
        return ctypes.CDLL(_LIBRARY)
    except OSError:
        raise CudaError(f"there is no NVIDIA driver here: {_LIBRARY} cannot be loaded") from None


class Device:
    """The first GPU, with one stream. Not for two threads at once.

    Raises:
        CudaError: there is none, or it cannot be used.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._call("cuInit", 0)
        count = ctypes.c_int()
        self._call("cuDeviceGetCount", ctypes.byref(count))
        if count.value < 1:
            raise CudaError("the NVIDIA driver sees no GPU")
        device = ctypes.c_int()
        self._call("cuDeviceGet", ctypes.byref(device), 0)
        found = []
        for attribute in (_ATTRIBUTE_MAJOR, _ATTRIBUTE_MINOR):
            number = ctypes.c_int()
            self._call("cuDeviceGetAttribute", ctypes.byref(number), attribute, device)
            found.append(str(number.value))
        self.compute_capability = ".".join(found)
        self._context = ctypes.c_void_p()
        # The primary context is the one that TensorRT, which uses the CUDA runtime, works in.
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), device)
        self.enter()
        stream = ctypes.c_void_p()
        self._call("cuStreamCreate", ctypes.byref(stream), 0)
        self._stream = stream
        self._buffers: dict[str, tuple[ctypes.c_uint64, int]] = {}

    def _call(self, name: str, *arguments: object) -> None:
        code = int(getattr(self._driver, name)(*arguments))
        if code != 0:
            raise CudaError(f"{name} failed with CUDA error {code}")

    @property
    def stream(self) -> int:
        return int(self._stream.value or 0)

    def enter(self) -> None:
        """Make this thread use the GPU."""
        self._call("cuCtxSetCurrent", self._context)

    def buffer(self, name: str, size: int) -> int:
        """Address of at least `size` bytes; kept for the next call of that name, made anew when too small."""
        address, held = self._buffers.get(name, (ctypes.c_uint64(), 0))
        if held < size or not held:
            if held:
                del self._buffers[name]
                self._call("cuMemFree_v2", address)
            address, held = ctypes.c_uint64(), max(size, 256)
            self._call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(held))
            self._buffers[name] = (address, held)
        return address.value

    def upload(self, name: str, array: NDArray[Any]) -> int:
        """Copy a contiguous array to the GPU; gives its address there. `array` must live until `wait`."""
        address = self.buffer(name, array.nbytes)
        source = ctypes.c_void_p(array.ctypes.data)
        self._call("cuMemcpyHtoDAsync_v2", ctypes.c_uint64(address), source, ctypes.c_size_t(array.nbytes), self._stream)
        return address

    def download(self, name: str, array: NDArray[Any]) -> None:
        """Fill a contiguous array from the buffer of that name; it is filled after `wait`."""
        address, _ = self._buffers[name]
        target = ctypes.c_void_p(array.ctypes.data)
        self._call("cuMemcpyDtoHAsync_v2", target, address, ctypes.c_size_t(array.nbytes), self._stream)

    def wait(self) -> None:
        self._call("cuStreamSynchronize", self._stream)


def contiguous(array: NDArray[Any], dtype: str) -> NDArray[Any]:
    """The same numbers as one block of memory.

    Raises:
        ValueError: they are of another dtype; nothing is converted in silence.
    """
    if array.dtype != np.dtype(dtype):
        raise ValueError(f"{array.dtype} where the graph takes {dtype}")
    return np.ascontiguousarray(array)
