"""Int8 weights to fp32 inside an ONNX graph: each weight becomes the number that it stands for, and nothing else changes.

CPUs serve int8 graphs; TensorRT takes neither int8 constants outside quantise/dequantise pairs nor ONNX Runtime's dynamic
quantisation (DynamicQuantizeLinear, MatMulInteger, ConvInteger). Undone here:

    MatMulInteger(DynamicQuantizeLinear(x), W) -> Cast -> Mul(s_x * s_W)    becomes  MatMul(x, (W - z_W) * s_W)
    DequantizeLinear(W)                                                     becomes  (W - z_W) * s_W
    Cast(Gather(W)), DequantizeLinear(Gather(W)), for any data movement     becomes  the same over fp32

The result differs from the int8 graph only by the rounding of activations that dynamic quantisation adds. Any other use of an int8
weight is refused by name. This module does not know TensorRT.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ragmesh_engines.profiles import EngineError

_INT8 = (TensorProto.INT8, TensorProto.UINT8)
# What only moves numbers: it is the same over fp32.
_MOVES = {"Gather", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"}
_INTEGER_PRODUCTS = {"MatMulInteger": "MatMul", "ConvInteger": "Conv"}


class _Rewriting:
    """One graph while it is rewritten. Constants are looked up by name, nodes by what they give and take."""

    def __init__(self, graph: Any) -> None:
        self.graph = graph
        self.constants: dict[str, NDArray[Any]] = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
                self.constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        self.maker = {output: node for node in graph.node for output in node.output}
        self.users: dict[str, list[Any]] = defaultdict(list)
        for node in graph.node:
            for name in node.input:
                self.users[name].append(node)
        self.results = {output.name for output in graph.output}

    def constant(self, name: str, array: NDArray[Any]) -> str:
        """Adds a constant; gives its name."""
        self.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        self.constants[name] = array
        return name

    def only_user(self, name: str) -> Any:
        found = self.users[name]
        return found[0] if len(found) == 1 and name not in self.results else None


def _refuse(node: Any, why: str) -> EngineError:
    return EngineError(f"{node.op_type} ({node.name or node.output[0]}): {why}")


def _as_float(state: _Rewriting, node: Any, weight: int, zero: int, scale: NDArray[Any], axis: int | None) -> NDArray[np.float32]:
    """(W - z) * s of the constant input `weight` of `node`. A vector of scales or zeros runs along `axis`; None: along the last."""
    if node.input[weight] not in state.constants:
        raise _refuse(node, f"{node.input[weight]} is not a constant")
    held = state.constants[node.input[weight]].astype(np.float32)
    shift: NDArray[Any] = np.zeros(1, np.float32)
    if len(node.input) > zero and node.input[zero]:
        if node.input[zero] not in state.constants:
            raise _refuse(node, f"{node.input[zero]} is not a constant")
        shift = state.constants[node.input[zero]].astype(np.float32)

    def along(vector: NDArray[Any]) -> NDArray[Any]:
        if vector.size == 1:
            return vector.reshape(())
        if vector.ndim != 1 or axis is None:
            return vector
        shape = [1] * held.ndim
        shape[axis] = -1
        return vector.reshape(shape)

    return np.asarray((held - along(shift)) * along(scale.astype(np.float32)), dtype=np.float32)


def _undo_product(state: _Rewriting, node: Any) -> None:
    """MatMulInteger or ConvInteger with what quantises its input and scales its result."""
    quantiser = state.maker.get(node.input[0])
    if quantiser is None or quantiser.op_type != "DynamicQuantizeLinear":
        raise _refuse(node, "its input does not come from DynamicQuantizeLinear")
    cast = state.only_user(node.output[0])
    scaling = state.only_user(cast.output[0]) if cast is not None and cast.op_type == "Cast" else None
    if scaling is None or scaling.op_type != "Mul":
        raise _refuse(node, "its result does not go through Cast and Mul")
    (factor,) = [name for name in scaling.input if name != cast.output[0]]
    scales = state.maker.get(factor)
    if scales is None or scales.op_type != "Mul" or quantiser.output[1] not in scales.input:
        raise _refuse(node, "its result is not scaled by input and weight")
    (weight_scale,) = [name for name in scales.input if name != quantiser.output[1]]
    if weight_scale not in state.constants:
        raise _refuse(node, f"{weight_scale} is not a constant")
    scale = state.constants[weight_scale]
    if node.op_type == "ConvInteger" and scale.size != 1:
        raise _refuse(node, "a scale for each channel is not undone")
    weight = state.constant(f"{node.output[0]}_weight_fp32", _as_float(state, node, 1, 3, scale, None))
    attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    product = helper.make_node(
        _INTEGER_PRODUCTS[node.op_type], [quantiser.input[0], weight], [scaling.output[0]], name=node.name, **attributes
    )
    scaling.CopyFrom(product)


def _dequantised_here(state: _Rewriting, node: Any) -> None:
    """DequantizeLinear over a constant becomes that constant in fp32."""
    axis = next((one.i for one in node.attribute if one.name == "axis"), 1)
    if node.input[1] not in state.constants:
        raise _refuse(node, f"{node.input[1]} is not a constant")
    name = state.constant(f"{node.output[0]}_fp32", _as_float(state, node, 0, 2, state.constants[node.input[1]], axis))
    node.CopyFrom(helper.make_node("Identity", [name], [node.output[0]], name=node.name))


def _readers(state: _Rewriting, name: str) -> list[Any]:
    """The nodes that compute with the int8 constant `name`, through whatever only moves it."""
    found: list[Any] = []
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current in state.results:
            raise EngineError(f"{name}: an output of the graph would change from int8 to fp32")
        for node in state.users[current]:
            if node.op_type in _MOVES:
                waiting.append(node.output[0])
            else:
                found.append(node)
    return found


def _move_as_float(state: _Rewriting, name: str) -> None:
    """The int8 constant `name` becomes fp32, and what moves it moves fp32."""
    readers = _readers(state, name)
    strange = [node for node in readers if node.op_type not in ("Cast", "DequantizeLinear")]
    if strange:
        raise _refuse(strange[0], "takes an int8 weight, and is none of Cast, DequantizeLinear, MatMulInteger, ConvInteger")
    scales = {tuple(node.input[1:]) for node in readers if node.op_type == "DequantizeLinear"}
    if len(scales) > 1 or (scales and any(node.op_type == "Cast" for node in readers)):
        raise _refuse(readers[0], f"{name} is read with more than one scale")
    numbers = state.constants[name].astype(np.float32)
    if scales:
        parts = [state.constants.get(part) for part in scales.pop() if part]
        if any(part is None or part.size != 1 for part in parts):
            raise _refuse(readers[0], "moved int8 numbers must have one constant scale")
        scale, zero = parts[0], parts[1] if len(parts) > 1 else np.zeros(1)
        assert scale is not None and zero is not None  # said above
        numbers = (numbers - zero.astype(np.float32).reshape(())) * scale.astype(np.float32).reshape(())
    held = state.constant(f"{name}_fp32", numbers)
    for node in state.users[name]:
        node.input[0] = held
    for node in readers:
        # A Cast to another type than fp32 is the same from fp32 as it was from int8.
        if node.op_type == "DequantizeLinear" or node.attribute[0].i == TensorProto.FLOAT:
            node.CopyFrom(helper.make_node("Identity", [node.input[0]], [node.output[0]], name=node.name))


def _sweep(graph: Any) -> None:
    """Drops nodes and constants that nothing uses any more, and what was noted about types in between."""
    while True:
        used = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
        dead = [node for node in graph.node if not used.intersection(node.output)]
        if not dead:
            break
        for node in dead:
            graph.node.remove(node)
    for constant in [one for one in graph.initializer if one.name not in used]:
        graph.initializer.remove(constant)
    del graph.value_info[:]


def dequantised(model: Any) -> Any:
    """A copy of the ONNX model whose weights are fp32.

    Raises:
        EngineError: an int8 weight is used in a way that is not undone; the operator is named.
    """
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    state = _Rewriting(copied.graph)
    for node in list(copied.graph.node):
        if node.op_type in _INTEGER_PRODUCTS:
            _undo_product(state, node)
    for node in list(copied.graph.node):
        if node.op_type == "DequantizeLinear" and node.input[0] in state.constants:
            _dequantised_here(state, node)
    _sweep(copied.graph)
    state = _Rewriting(copied.graph)
    zeros = {node.input[2] for node in copied.graph.node if node.op_type == "DequantizeLinear" and len(node.input) > 2}
    for name in [one.name for one in copied.graph.initializer if one.data_type in _INT8]:
        if name not in zeros:
            _move_as_float(state, name)
    _sweep(copied.graph)
    onnx.checker.check_model(copied)
    return copied
