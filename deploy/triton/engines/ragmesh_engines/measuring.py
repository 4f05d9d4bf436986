"""python -m ragmesh_engines.measuring REPOSITORY ENGINES [JSON]: on a machine with a GPU, each engine beside ONNX Runtime on a CPU.

For the least, the usual and the largest shape of every profile: how far the results are apart, the median time of a call, and rows
a second (copies to and from the GPU included, as in serving). An engine that does not load is a row that says why.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from ragmesh_models.engine_files import EngineUnavailableError
from ragmesh_models.runtime import Graph as Runnable
from ragmesh_models.runtime import OnnxGraph
from ragmesh_models.tensorrt_graph import open_engine

from ragmesh_engines.difference import feeds_of, relative_difference
from ragmesh_engines.profiles import Graph, graphs_of

_WARM_UP = 5  # the first calls compile for the GPU at hand
_CALLS = 50
_SECONDS = 5.0  # of one shape in one runtime, at most


@dataclass(frozen=True)
class Row:
    """One shape of one graph."""

    graph: str
    shape: str
    rows: int
    difference: float
    tensorrt_ms: float
    onnxruntime_ms: float
    tensorrt_rows_s: float
    onnxruntime_rows_s: float


@dataclass(frozen=True)
class Refused:
    """A graph whose engine does not load here."""

    graph: str
    why: str


def _median_ms(graph: Runnable, feeds: dict[str, NDArray[Any]]) -> float:
    for _ in range(_WARM_UP):
        graph.run(feeds)
    taken: list[float] = []
    while len(taken) < _CALLS and sum(taken) < _SECONDS:
        began = time.perf_counter()
        graph.run(feeds)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1000


def measured(graph: Graph, engines: Path) -> list[Row | Refused]:
    try:
        engine = open_engine(graph.path, engines)
    except EngineUnavailableError as error:
        return [Refused(graph.title, str(error))]
    served = OnnxGraph(graph.path, threads=1)
    found: list[Row | Refused] = []
    for which in ("least", "usual", "most"):
        feeds = feeds_of(graph, which)
        rows = next(iter(feeds.values())).shape[0]
        got, wanted = engine.run(feeds), served.run(feeds)
        apart = max(relative_difference(got[name], wanted[name]) for name in wanted)
        gpu_ms, cpu_ms = _median_ms(engine, feeds), _median_ms(served, feeds)
        found.append(Row(graph.title, which, rows, apart, gpu_ms, cpu_ms, 1000 * rows / gpu_ms, 1000 * rows / cpu_ms))
    return found


def main(arguments: list[str]) -> int:
    if len(arguments) not in (2, 3):
        print(__doc__, file=sys.stderr)
        return 2
    found: list[Row | Refused] = []
    for graph in graphs_of(Path(arguments[0])):
        for row in measured(graph, Path(arguments[1])):
            print(row, flush=True)
            found.append(row)
    for file in arguments[2:]:
        Path(file).write_text(json.dumps([asdict(row) for row in found], indent=1) + "\n", encoding="utf-8")
    return 1 if any(isinstance(row, Refused) for row in found) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
