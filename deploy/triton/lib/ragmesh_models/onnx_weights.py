"""In which precision the weights of an ONNX file are held, read from the file itself.

A model says its precision in every ModelRef; read from the bytes that are served, it cannot be out of date. Serving has no `onnx`
package, so the few fields that matter are read from the protobuf wire format (onnx.proto: ModelProto.graph = 7,
GraphProto.initializer = 5, TensorProto.dims = 1 and data_type = 2). This module knows no operator.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

# TensorProto.DataType of what can hold a weight. Indices and shapes are int64 and are none.
_PRECISIONS = {1: "fp32", 2: "int8", 3: "int8", 10: "fp16", 16: "bf16"}
_GRAPH, _INITIALIZER, _DIMS, _DATA_TYPE = 7, 5, 1, 2
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(field number, number or bytes) of one message; fixed-width numbers are left out, no field above is one."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == _VARINT:
            number, at = _varint(data, at)
            yield key >> 3, number
        elif kind == _BYTES:
            size, at = _varint(data, at)
            if at + size > len(data):
                raise IndexError
            yield key >> 3, data[at : at + size]
            at += size
        elif kind in (_FIXED32, _FIXED64):
            at += 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"wire type {kind}: not an ONNX file")


def _elements(dims: int | memoryview) -> Iterator[int]:
    """The dims of a tensor: one number a field, or all of them packed."""
    if isinstance(dims, int):
        yield dims
        return
    at = 0
    while at < len(dims):
        number, at = _varint(dims, at)
        yield number


def weights_precision(path: Path) -> str:
    """The precision that most of the weights (by number) have: fp32, fp16, bf16 or int8; fp32 where there are none.

    Raises:
        ValueError: the bytes are not an ONNX file.
    """
    counts: Counter[str] = Counter()
    try:
        graphs = [value for field, value in _fields(memoryview(path.read_bytes())) if field == _GRAPH]
        for graph in graphs:
            for field, tensor in _fields(graph) if isinstance(graph, memoryview) else ():
                if field != _INITIALIZER or not isinstance(tensor, memoryview):
                    continue
                size, kind = 1, 0
                for inner, value in _fields(tensor):
                    if inner == _DIMS:
                        for number in _elements(value):
                            size *= number
                    elif inner == _DATA_TYPE and isinstance(value, int):
                        kind = value
                if kind in _PRECISIONS:
                    counts[_PRECISIONS[kind]] += size
    except IndexError:
        raise ValueError(f"{path.name} is cut off: not an ONNX file") from None
    return max(counts, key=lambda name: counts[name], default="fp32")
