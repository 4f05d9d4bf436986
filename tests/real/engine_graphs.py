"""Small model repositories for the tests of `make engines`: engine_graphs.py KIND FOLDER, run where `onnx` is installed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

CONFIG = """name: "toy"
max_batch_size: 0
input [
  { name: "text" data_type: TYPE_STRING dims: [ -1 ] }
]
output [
  { name: "y" data_type: TYPE_FP32 dims: [ -1, 4 ] }
]
"""
WIDTH = 8


def _model(nodes: list[Any], constants: dict[str, Any], x_type: int, x_shape: list[Any], y_shape: list[Any]) -> Any:
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("x", x_type, x_shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, y_shape)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _product(scale: float = 1.0) -> Any:
    weight = np.random.default_rng(1).standard_normal((WIDTH, 4)).astype(np.float32) * scale
    return _model([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": weight}, TensorProto.FLOAT, ["n", WIDTH], ["n", 4])


def dynamic_int8(path: Path) -> dict[str, Any]:
    """What quantize_dynamic makes of a product."""
    whole = path.with_suffix(".float")
    onnx.save(_product(), whole)
    quantize_dynamic(str(whole), str(path), weight_type=QuantType.QInt8, per_channel=True)
    whole.unlink()
    assert "MatMulInteger" in {node.op_type for node in onnx.load(path).graph.node}
    return {"rounding": 0.05}


def int8_rows(path: Path) -> dict[str, Any]:
    """A table of int8 with a zero point, looked up and then scaled."""
    table = np.random.default_rng(2).integers(-128, 128, (50, 4)).astype(np.int8)
    nodes = [
        helper.make_node("Gather", ["table", "x"], ["rows"]),
        helper.make_node("DequantizeLinear", ["rows", "scale", "zero"], ["y"]),
    ]
    constants = {"table": table, "scale": np.float32(0.02), "zero": np.int8(-3)}
    onnx.save(_model(nodes, constants, TensorProto.INT64, ["n"], ["n", 4]), path)
    return {"inputs": {"x": {"least": [1], "usual": [8], "most": [64], "below": 50}}}


def int8_added(path: Path) -> dict[str, Any]:
    """An int8 weight that is neither cast nor dequantised."""
    nodes = [
        helper.make_node("Cast", ["x"], ["whole"], to=TensorProto.INT8),
        helper.make_node("Max", ["whole", "w"], ["most"]),
        helper.make_node("Cast", ["most"], ["y"], to=TensorProto.FLOAT),
    ]
    constants = {"w": np.arange(4, dtype=np.int8)}
    onnx.save(_model(nodes, constants, TensorProto.FLOAT, ["n", 4], ["n", 4]), path)
    return {"inputs": {"x": {"least": [1, 4], "usual": [8, 4], "most": [64, 4]}}}


def unsupported(path: Path) -> dict[str, Any]:
    """An operator that ONNX Runtime takes and TensorRT does not."""
    nodes = [helper.make_node("Det", ["x"], ["y"], name="determinant")]
    onnx.save(_model(nodes, {}, TensorProto.FLOAT, ["n", 4, 4], ["n"]), path)
    return {"inputs": {"x": {"least": [1, 4, 4], "usual": [8, 4, 4], "most": [64, 4, 4]}}}


def overflow(path: Path) -> dict[str, Any]:
    """A product that fp16 cannot hold, scaled down again afterwards."""
    model = _product(2e4)
    model.graph.node[0].output[0] = "large"
    model.graph.initializer.append(numpy_helper.from_array(np.float32(1e-4), "small"))
    model.graph.node.append(helper.make_node("Mul", ["large", "small"], ["y"]))
    onnx.save(model, path)
    return {}


def undescribed(path: Path) -> dict[str, Any]:
    """A graph of which engines.json says nothing."""
    onnx.save(_product(), path)
    return {"undescribed": True}


def main(kind: str, repository: Path) -> None:
    folder = repository / "toy" / "1"
    folder.mkdir(parents=True)
    (folder.parent / "config.pbtxt").write_text(CONFIG)
    told = globals()[kind](folder / "toy.onnx")
    if told.pop("undescribed", False):
        return
    inputs = {"x": {"least": [1, WIDTH], "usual": [8, WIDTH], "most": [64, WIDTH]}}
    (folder / "engines.json").write_text(json.dumps({"toy.onnx": {"inputs": inputs} | told}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
