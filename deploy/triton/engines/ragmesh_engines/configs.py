"""Graphs against `config.pbtxt`, and the model repository for a full Triton image.

The Python models take text, so most of their tensors are not those of a graph. What engines.json names as `served` leaves the model
as it leaves the graph: name, type and shape must be those of config.pbtxt. Where Triton may batch, an engine must take the largest
batch. For a full Triton image each graph is a model of its own, of
platform tensorrt_plan, with the graph's tensors as they are. This module does not know TensorRT.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ragmesh_models.engine_files import Shape, Tensor

from ragmesh_engines.profiles import EngineError, Graph

_TYPES = {"float32": "TYPE_FP32", "float16": "TYPE_FP16", "int32": "TYPE_INT32", "int64": "TYPE_INT64", "bool": "TYPE_BOOL"}
_TENSOR = re.compile(r'\{\s*name:\s*"([^"]+)"\s*data_type:\s*(\w+)\s*dims:\s*\[([^\]]*)\][^}]*\}')
_OUTPUTS = re.compile(r"^output\s*\[(.*?)^\]", re.MULTILINE | re.DOTALL)
_BATCH = re.compile(r"^max_batch_size:\s*(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Config:
    """What this module needs of a config.pbtxt; shapes without the batch."""

    largest_batch: int
    outputs: dict[str, tuple[str, Shape]]


def read_config(path: Path) -> Config:
    text = re.sub(r"#.*", "", path.read_text(encoding="utf-8"))
    batch = _BATCH.search(text)
    outputs = _OUTPUTS.search(text)
    if batch is None or outputs is None:
        raise EngineError(f"{path}: no max_batch_size or no output")
    found = {name: (kind, tuple(int(n) for n in dims.split(","))) for name, kind, dims in _TENSOR.findall(outputs.group(1))}
    return Config(int(batch.group(1)), found)


def check_config(graph: Graph) -> None:
    """Raises EngineError: the graph and the config.pbtxt of its model do not fit."""
    config = read_config(graph.path.parent.parent / "config.pbtxt")
    by_name = {tensor.name: tensor for tensor in graph.outputs}
    for name in graph.declared.served:
        if name not in config.outputs:
            raise EngineError(f"{graph.title}: {name} is no output of config.pbtxt")
        tensor, (kind, dims) = by_name[name], config.outputs[name]
        own = tensor.shape[1:] if config.largest_batch else tensor.shape
        if kind != _TYPES[tensor.dtype] or own != dims:
            raise EngineError(f"{graph.title}: {name} is {tensor.dtype} {list(own)}, config.pbtxt has {kind} {list(dims)}")
    if config.largest_batch:
        for name, profile in graph.declared.profiles.items():
            if profile.most[0] < config.largest_batch:
                text = f"{name} takes {profile.most[0]} rows, but config.pbtxt lets Triton batch {config.largest_batch}"
                raise EngineError(f"{graph.title}: {text}")


def plan_name(graph: Graph) -> str:
    """Name of the graph as a model of its own."""
    return f"{graph.model}_{graph.path.stem}"


def _tensor_lines(tensors: Sequence[Tensor]) -> str:
    return ",\n".join(
        f'  {{ name: "{one.name}" data_type: {_TYPES[one.dtype]} dims: [ {_listed(one.shape, ", ")} ] }}' for one in tensors
    )


def _listed(shape: Shape, between: str) -> str:
    return between.join(map(str, shape))


def plan_config(graph: Graph) -> str:
    """config.pbtxt of the graph as a tensorrt_plan. Its first dimension stays its own: lengths differ between requests."""
    return (
        f"# {graph.title} as a TensorRT plan. Written by `make engines`.\n"
        f'name: "{plan_name(graph)}"\nplatform: "tensorrt_plan"\nmax_batch_size: 0\n'
        f"input [\n{_tensor_lines(graph.inputs)}\n]\noutput [\n{_tensor_lines(graph.outputs)}\n]\n"
        "instance_group [ { kind: KIND_GPU count: 1 } ]\n"
    )


def plan_script(graphs: Sequence[Graph]) -> str:
    """The shell script that builds every plan with trtexec."""
    lines = [
        "#!/usr/bin/env bash",
        "# Builds the plans of this model repository with trtexec, on the GPU that will serve them. Written by `make engines`.",
        "#   build-plans ENGINES REPOSITORY",
        "# ENGINES is what `make engines` wrote (build/engines), REPOSITORY a copy of model_repository.",
        "set -euo pipefail",
        "",
        'engines="$1"',
        'repository="$2"',
        "",
        "plan() { # NAME VERSION GRAPH [OPTION...]",
        '  local target="$repository/$1/$2" graph="$3"',
        "  shift 3",
        '  mkdir -p "$target"',
        '  trtexec --stronglyTyped --skipInference --onnx="$engines/$graph" --saveEngine="$target/model.plan" "$@"',
        "}",
        "",
    ]
    for graph in graphs:
        words = ["plan", plan_name(graph), graph.version, f"{graph.model}/{graph.version}/{graph.path.stem}.compiled.onnx"]
        profiles = graph.declared.profiles
        if profiles:
            for option, which in (("minShapes", "least"), ("optShapes", "usual"), ("maxShapes", "most")):
                shapes = ",".join(f"{name}:{_listed(getattr(profile, which), 'x')}" for name, profile in profiles.items())
                words.append(f"--{option}={shapes}")
        lines.append(" \\\n  ".join([" ".join(words[:4]), *words[4:]]))
    return "\n".join(lines) + "\n"


def write_plans(graphs: Sequence[Graph], folder: Path) -> None:
    """The configs and the script below `folder`; models that are no more are removed."""
    repository = folder / "model_repository"
    wanted = {plan_name(graph): plan_config(graph) for graph in graphs}
    for old in sorted(repository.glob("*/config.pbtxt")):
        if old.parent.name not in wanted:
            old.unlink()
            old.parent.rmdir()
    for name, text in wanted.items():
        (repository / name).mkdir(parents=True, exist_ok=True)
        (repository / name / "config.pbtxt").write_text(text, encoding="utf-8")
    script = folder / "build-plans"
    script.write_text(plan_script(graphs), encoding="utf-8")
    script.chmod(0o755)
