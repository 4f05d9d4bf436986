"""Reads shipped graphs back into their networks, so that training can go on where it ended, and mixes two sets of weights.

The exporter keeps a parameter's name except that of a matrix, which it transposes and names after nothing; there the path of the
node that multiplies by it tells (`/trained/first/MatMul_output_0`). This module does not know any task.
"""

# mypy: allow-subclassing-any
# Torch and onnx are installed for training only.
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from training.embedder_model import SumEmbedder

State = dict[str, Tensor]


class WeightsError(ValueError):
    """A graph does not hold the weights of this network: another release made it."""


def load_network(model: nn.Module, graph: Path, prefix: str = "trained.") -> None:
    """Fills a network from the graph that `torch.onnx.export` made of it.

    Raises:
        WeightsError: a parameter is missing, or has another shape.
    """
    found = {name.removeprefix(prefix): value for name, value in _parameters(graph).items()}
    state: dict[str, Any] = model.state_dict()
    for name, value in state.items():
        stored = found.get(name)
        if stored is None or stored.shape != tuple(value.shape):
            raise WeightsError(f"{graph.name} holds no {name} of shape {tuple(value.shape)}")
        state[name] = torch.from_numpy(stored.copy())
    model.load_state_dict(state)


def _parameters(graph: Path) -> dict[str, np.ndarray[Any, Any]]:
    stored = onnx.load(str(graph)).graph
    values = {item.name: numpy_helper.to_array(item) for item in stored.initializer}
    found = dict(values)
    for node in stored.node:
        if node.op_type == "MatMul" and node.input[1] in values:
            path = node.output[0].strip("/").split("/MatMul")[0].replace("/", ".")
            found[f"{path}.weight"] = values[node.input[1]].T
    return found


def load_embedder(graph: Path) -> SumEmbedder:
    """The embedder's table with rows of length one and what the row weights must then be; the contrast's scale starts anew.

    Only the product of row and weight was stored, so this is one of many tables that give the same vectors.

    Raises:
        WeightsError: the graph is not the embedder's.
    """
    stored = onnx.load(str(graph)).graph
    values = {item.name: numpy_helper.to_array(item) for item in stored.initializer}
    table = values.get("table")
    weights = [
        values[node.input[0]] for node in stored.node if node.op_type == "Gather" and values.get(node.input[0], _NONE).ndim == 1
    ]
    model = SumEmbedder()
    if table is None or table.shape != tuple(model.table.weight.shape) or len(weights) != 2:
        raise WeightsError(f"{graph.name} is not an embedder of this release")
    rows = table.astype(np.float32)
    length = np.maximum(np.linalg.norm(rows, axis=1), 1e-6)
    with torch.no_grad():
        model.table.weight.copy_(torch.from_numpy(rows / length[:, None]))
        model.log_weight.copy_(torch.from_numpy(np.log(np.maximum(np.stack(weights) * length, 1e-8))))
    return model


_NONE = np.zeros((0, 0))


def copied(model: nn.Module) -> State:
    """The weights as they are now."""
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def mixed(before: State, after: State, share: float) -> State:
    """The weights at `share` of the way from one to the other; a step short of the end keeps more of what was known."""
    return {name: torch.lerp(value, after[name], share) if value.is_floating_point() else value for name, value in before.items()}
