"""`engines.json` beside the graphs of a model: which shapes each of them must take.

    {"ranker.onnx": {"precision": "fp16", "tolerance": 0.01,
                     "inputs": {"features": {"least": [1, 42], "usual": [40, 42], "most": [2048, 42]},
                                "kind": {"below": 11}}}}

least, usual and most are given for every input of varying shape; `below` for every integer input (its values are 0 to below - 1).
`tolerance` bounds the difference that fp16 makes, relative to the largest value of an output. A graph of dynamic quantisation says
`rounding` as well: what the rounding of activations, which an engine does not do, adds to that on random inputs.
`served` names the outputs that the model gives as they are, under the same name in config.pbtxt. This module knows no operator.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime
from ragmesh_models.engine_files import Profile, Tensor

FILE = "engines.json"
PRECISIONS = ("fp16", "fp32")
_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(bool)": "bool",
}
_FIELDS = {"precision", "tolerance", "rounding", "served", "inputs"}
_INPUT_FIELDS = {"least", "usual", "most", "below"}


class EngineError(RuntimeError):
    """A graph cannot become an engine; the message names the graph and says what to do."""


@dataclass(frozen=True)
class Declared:
    """What engines.json says of one graph."""

    precision: str
    tolerance: float
    rounding: float
    served: tuple[str, ...]
    profiles: dict[str, Profile]
    below: dict[str, int]


@dataclass(frozen=True)
class Graph:
    """One ONNX file of the repository with what it takes and gives."""

    path: Path
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    declared: Declared

    @property
    def model(self) -> str:
        return self.path.parent.parent.name

    @property
    def version(self) -> str:
        return self.path.parent.name

    @property
    def title(self) -> str:
        return f"{self.model}/{self.version}/{self.path.name}"


def _tensors(path: Path, nodes: Any) -> tuple[Tensor, ...]:
    found = []
    for node in nodes:
        if node.type not in _DTYPES:
            raise EngineError(f"{path.name}: {node.name} is a {node.type}; engines take and give {', '.join(_DTYPES)}")
        shape = tuple(size if isinstance(size, int) else -1 for size in node.shape)
        found.append(Tensor(node.name, _DTYPES[node.type], shape))
    return tuple(found)


def _declared(path: Path, told: dict[str, Any], inputs: tuple[Tensor, ...], outputs: set[str]) -> Declared:
    """Raises EngineError: something is missing, unknown, or does not fit the graph."""
    where = f"{path.parent.parent.name}/{path.parent.name}/{FILE}, {path.name}"
    if unknown := set(told) - _FIELDS:
        raise EngineError(f"{where}: {', '.join(sorted(unknown))} means nothing here")
    precision = told.get("precision", "fp16")
    if precision not in PRECISIONS:
        raise EngineError(f"{where}: precision must be {' or '.join(PRECISIONS)}")
    of_inputs: dict[str, dict[str, Any]] = told.get("inputs", {})
    if unknown := set(of_inputs) - {tensor.name for tensor in inputs}:
        raise EngineError(f"{where}: the graph has no input {', '.join(sorted(unknown))}")
    profiles, below = {}, {}
    for tensor in inputs:
        one = of_inputs.get(tensor.name, {})
        if unknown := set(one) - _INPUT_FIELDS:
            raise EngineError(f"{where}, {tensor.name}: {', '.join(sorted(unknown))} means nothing here")
        if -1 in tensor.shape:
            profiles[tensor.name] = _profile(f"{where}, {tensor.name}", one, tensor)
        elif {"least", "usual", "most"} & set(one):
            raise EngineError(f"{where}, {tensor.name}: its shape {list(tensor.shape)} does not vary")
        if tensor.dtype.startswith("int"):
            if not isinstance(one.get("below"), int) or one["below"] < 1:
                raise EngineError(f"{where}, {tensor.name}: an integer input must say `below`")
            below[tensor.name] = one["below"]
    served = tuple(told.get("served", ()))
    if unknown := set(served) - outputs:
        raise EngineError(f"{where}: the graph has no output {', '.join(sorted(unknown))}")
    return Declared(precision, float(told.get("tolerance", 0.01)), float(told.get("rounding", 0)), served, profiles, below)


def _profile(where: str, told: dict[str, Any], tensor: Tensor) -> Profile:
    try:
        profile = Profile(*(tuple(int(size) for size in told[key]) for key in ("least", "usual", "most")))
    except (KeyError, TypeError, ValueError):
        raise EngineError(f"{where}: its shape {list(tensor.shape)} varies: give least, usual and most") from None
    for shape in (profile.least, profile.usual, profile.most):
        if len(shape) != len(tensor.shape) or any(fixed not in (-1, size) for fixed, size in zip(tensor.shape, shape, strict=True)):
            raise EngineError(f"{where}: {list(shape)} does not fit {list(tensor.shape)}")
    if not (profile.holds(profile.usual) and profile.holds(profile.most)) or min(profile.least) < 1:
        raise EngineError(f"{where}: least, usual and most must grow, from 1")
    return profile


def read_graph(path: Path) -> Graph:
    """The graph in `path` with what stands about it in engines.json.

    Raises:
        EngineError: it is not described, or not rightly.
    """
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    inputs, outputs = _tensors(path, session.get_inputs()), _tensors(path, session.get_outputs())
    file = path.parent / FILE
    told = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    if path.name not in told:
        shapes = ", ".join(f"{tensor.name} {tensor.dtype} {list(tensor.shape)}" for tensor in inputs)
        raise EngineError(f"{path} has no entry in {FILE} beside it: say which shapes it must take ({shapes})")
    return Graph(path, inputs, outputs, _declared(path, told[path.name], inputs, {tensor.name for tensor in outputs}))


def graphs_of(repository: Path) -> Iterator[Graph]:
    """Every ONNX file of the repository, in order of names. A graph that is described but not installed is none.

    Raises:
        EngineError: one is not described, or not rightly.
    """
    paths = sorted(repository.glob("*/*/*.onnx"))
    if not paths:
        raise EngineError(f"there is no ONNX file in {repository}")
    yield from map(read_graph, paths)
