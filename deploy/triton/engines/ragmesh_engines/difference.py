"""How far two forms of a graph are apart: both on a CPU, in ONNX Runtime, on the same random feeds.

This finds a wrong rewriting and an fp16 overflow before any GPU sees the engine. What a GPU adds is measured where there is one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ragmesh_engines.profiles import Graph

_SEED = 20_261
_MASKED = 1e3  # a logit as large as this says "not here"; how large is of no interest
_MOST_NUMBERS = 4_000_000  # of one input; the largest shape of a profile may be far larger than memory likes


def feeds_of(graph: Graph, which: str) -> dict[str, NDArray[Any]]:
    """Random inputs of the shape `which` (least, usual, most): integers below their bound, floats from the unit normal."""
    rng = np.random.default_rng(_SEED)
    feeds: dict[str, NDArray[Any]] = {}
    for tensor in graph.inputs:
        profile = graph.declared.profiles.get(tensor.name)
        shape = tensor.shape if profile is None else getattr(profile, which)
        if tensor.dtype.startswith("int"):
            feeds[tensor.name] = rng.integers(0, graph.declared.below[tensor.name], shape).astype(tensor.dtype)
        elif tensor.dtype == "bool":
            feeds[tensor.name] = rng.random(shape) < 0.5
        else:
            feeds[tensor.name] = rng.standard_normal(shape).astype(tensor.dtype)
    return feeds


def session_of(model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def relative_difference(got: NDArray[Any], wanted: NDArray[Any]) -> float:
    """Largest difference, in units of the largest value that is no mask.

    Infinite where the shapes differ, where a mask stands in one only, or where one is not a number.
    """
    a, b = got.astype(np.float64), wanted.astype(np.float64)
    if a.shape != b.shape or np.isnan(a).any() or np.isnan(b).any():
        return float("inf")
    masked = np.abs(b) >= _MASKED
    if not np.array_equal(masked, np.abs(a) >= _MASKED) or not np.array_equal(np.sign(a[masked]), np.sign(b[masked])):
        return float("inf")
    a, b = a[~masked], b[~masked]
    return float(np.max(np.abs(a - b)) / max(1e-6, float(np.max(np.abs(b))))) if a.size else 0.0


def largest_differences(graph: Graph, wanted: bytes, got: bytes) -> dict[str, float]:
    """By output: the relative difference over the least and the usual shape of the profile together.

    Together, since the least shape may have one number alone, and that may happen to be nearly nothing.
    """
    names = [output.name for output in graph.outputs]
    found: dict[str, list[tuple[NDArray[Any], NDArray[Any]]]] = {name: [] for name in names}
    here, there = session_of(wanted), session_of(got)
    for which in ("least", "usual"):
        feeds = feeds_of(graph, which)
        if sum(array.size for array in feeds.values()) > _MOST_NUMBERS:
            continue
        for name, one, other in zip(names, here.run(names, feeds), there.run(names, feeds), strict=True):
            found[name].append((other, one))
    return {name: _together(pairs) for name, pairs in found.items()}


def _together(pairs: list[tuple[NDArray[Any], NDArray[Any]]]) -> float:
    if not pairs:
        return 0.0
    if any(got.shape != wanted.shape for got, wanted in pairs):
        return float("inf")
    got, wanted = (np.concatenate([pair[side].ravel() for pair in pairs]) for side in (0, 1))
    return relative_difference(got, wanted)
