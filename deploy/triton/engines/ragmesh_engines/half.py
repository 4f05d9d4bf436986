"""The matrix products of an ONNX graph in fp16, with fp32 around them.

TensorRT-RTX computes in the types that the graph states, so fp16 must be stated. Products are where the time and the weights are;
norms, softmaxes, sums and everything that enters or leaves the graph keep fp32, which is what mixed-precision training does too
(Micikevicius et al., 2018). Tables that are only looked up are stored in fp16 as well. This module does not know TensorRT.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_PRODUCTS = {"MatMul": 2, "Gemm": 3, "Conv": 3}  # and how many of their inputs are numbers
_SMALLEST_TABLE = 4_096  # numbers; below it the cast costs more than it saves
_LARGEST = float(np.finfo(np.float16).max)


def _fits(array: Any) -> bool:
    return bool(np.all(np.abs(array) <= _LARGEST))


def _float_tensors(model: Any) -> set[str]:
    inferred = onnx.shape_inference.infer_shapes(model).graph
    values = [*inferred.input, *inferred.value_info, *inferred.output]
    found = {value.name for value in values if value.type.tensor_type.elem_type == TensorProto.FLOAT}
    return found | {one.name for one in inferred.initializer if one.data_type == TensorProto.FLOAT}


def in_half(model: Any) -> Any:
    """A copy of the fp32 ONNX model with products and tables in fp16; inputs and outputs keep their types."""
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    graph = copied.graph
    floats = _float_tensors(copied)
    constants = {one.name: numpy_helper.to_array(one) for one in graph.initializer if one.data_type == TensorProto.FLOAT}
    nodes: list[Any] = []
    halves: dict[str, str] = {}

    def half(name: str) -> str:
        """`name` in fp16: a constant of its own, or a cast."""
        if name not in halves:
            halves[name] = f"{name}_fp16"
            if name in constants:
                graph.initializer.append(numpy_helper.from_array(constants[name].astype(np.float16), halves[name]))
            else:
                nodes.append(helper.make_node("Cast", [name], [halves[name]], name=halves[name], to=TensorProto.FLOAT16))
        return halves[name]

    for node in graph.node:
        taken = [node.input[n] for n in range(min(len(node.input), _PRODUCTS.get(node.op_type, 0))) if node.input[n]]
        is_product = (
            bool(taken) and all(name in floats for name in taken) and all(_fits(constants[n]) for n in taken if n in constants)
        )
        table = constants.get(node.input[0]) if node.op_type == "Gather" else None
        is_table = table is not None and table.size >= _SMALLEST_TABLE and _fits(table)
        if not (is_product or is_table):
            nodes.append(node)
            continue
        changed = onnx.NodeProto()
        changed.CopyFrom(node)
        for at in range(_PRODUCTS.get(node.op_type, 1)):
            if at < len(node.input) and node.input[at]:
                changed.input[at] = half(node.input[at])
        changed.output[0] = f"{node.output[0]}_in_fp16"
        nodes.append(changed)
        nodes.append(
            helper.make_node("Cast", [changed.output[0]], [node.output[0]], name=f"{node.output[0]}_fp32", to=TensorProto.FLOAT)
        )
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in graph.node for name in node.input}
    for constant in [one for one in graph.initializer if one.name not in used]:
        graph.initializer.remove(constant)
    del graph.value_info[:]
    onnx.checker.check_model(copied)
    return copied


def held_in_half(model: Any) -> Any:
    """A copy for measuring on a CPU, in which every fp16 result is held in fp16.

    ONNX Runtime has no fp16 products on a CPU: it computes them in fp32 and drops the casts around them, so that nothing would be
    rounded and nothing would overflow. An Identity behind each fp16 number, with the optimiser off, keeps it in fp16.
    """
    loaded = onnx.ModelProto()
    loaded.CopyFrom(model)
    inferred = onnx.shape_inference.infer_shapes(loaded).graph
    halves = {value.name for value in inferred.value_info if value.type.tensor_type.elem_type == TensorProto.FLOAT16}
    nodes: list[Any] = []
    for node in loaded.graph.node:
        nodes.append(node)
        for at, name in enumerate(node.output):
            if name in halves:
                node.output[at] = f"{name}_unheld"
                nodes.append(helper.make_node("Identity", [node.output[at]], [name]))
    copied = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del loaded.graph.node[:]
    loaded.graph.node.extend(copied)
    return loaded
