"""TensorRT's parser and builder: an ONNX graph and its profiles to the bytes of an engine. No GPU is needed.

Without a target, TensorRT-RTX builds for all it supports from compute capability 8.0 on; the last step of the compilation happens
on the GPU that loads the engine.
"""

from __future__ import annotations

from typing import Any

import tensorrt_rtx as trt
from ragmesh_models.engine_files import Tensor

from ragmesh_engines.profiles import EngineError, Graph

VERSION: str = trt.__version__
COMPUTE_CAPABILITIES = ("8.0", "8.6", "8.9", "12.0", "later")
"""What NVIDIA's guide (CPU-Only AOT and TensorRT-RTX Engines) says of an engine without a target; 9.0 is not on its list."""

_DTYPES = {
    trt.DataType.FLOAT: "float32",
    trt.DataType.HALF: "float16",
    trt.DataType.INT32: "int32",
    trt.DataType.INT64: "int64",
    trt.DataType.BOOL: "bool",
}


class UnsupportedOperatorError(EngineError):
    """TensorRT does not take an operator of the graph.

    Attributes:
        operator: its ONNX name.
    """

    def __init__(self, title: str, operator: str, node: str, why: str) -> None:
        super().__init__(f"{title}: TensorRT does not take the operator {operator} ({node or 'no name'}): {why}")
        self.operator = operator


class _Log(trt.ILogger):  # type: ignore[misc]
    """Keeps what TensorRT says is wrong, for the message of an error."""

    def __init__(self) -> None:
        trt.ILogger.__init__(self)
        self.errors: list[str] = []

    def log(self, severity: Any, message: str) -> None:
        if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
            self.errors.append(message)


# TensorRT keeps the first logger that it is given for the whole process.
_LOG = _Log()


def _tensors(count: int, get: Any) -> tuple[Tensor, ...]:
    return tuple(Tensor(one.name, _DTYPES[one.dtype], tuple(one.shape)) for one in map(get, range(count)))


def _check_tensors(title: str, what: str, wanted: tuple[Tensor, ...], found: tuple[Tensor, ...]) -> None:
    """TensorRT may know a length that ONNX left open, not the other way round; an input must stay open."""
    if {one.name for one in wanted} != {one.name for one in found}:
        raise EngineError(
            f"{title}: TensorRT has the {what} {[one.name for one in found]}, the graph {[one.name for one in wanted]}"
        )
    by_name = {one.name: one for one in found}
    for one in wanted:
        other = by_name[one.name]
        fits = len(one.shape) == len(other.shape) and all(
            a == b or (a == -1 and what == "outputs") for a, b in zip(one.shape, other.shape, strict=True)
        )
        if one.dtype != other.dtype or not fits:
            raise EngineError(
                f"{title}: {one.name} is {one.dtype} {one.shape} in the graph, {other.dtype} {other.shape} in TensorRT"
            )


def compiled(graph: Graph, model: bytes) -> bytes:
    """The engine of `model`, which is `graph` rewritten for TensorRT.

    Raises:
        UnsupportedOperatorError: with the operator's name.
        EngineError: names, types or shapes differ, or the builder fails.
    """
    _LOG.errors.clear()
    builder = trt.Builder(_LOG)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, _LOG)
    if not parser.parse(model):
        for number in range(parser.num_errors):
            error = parser.get_error(number)
            if error.node_operator():
                raise UnsupportedOperatorError(graph.title, error.node_operator(), error.node_name(), error.desc())
        raise EngineError(f"{graph.title}: TensorRT cannot read it: {'; '.join(_LOG.errors)}")
    _check_tensors(graph.title, "inputs", graph.inputs, _tensors(network.num_inputs, network.get_input))
    _check_tensors(graph.title, "outputs", graph.outputs, _tensors(network.num_outputs, network.get_output))
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    for name, shapes in graph.declared.profiles.items():
        profile.set_shape(name, shapes.least, shapes.usual, shapes.most)
    if config.add_optimization_profile(profile) < 0:
        raise EngineError(f"{graph.title}: TensorRT refuses the profile: {'; '.join(_LOG.errors)}")
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise EngineError(f"{graph.title}: TensorRT cannot build it: {'; '.join(_LOG.errors)}")
    return bytes(engine)
