"""python -m ragmesh_engines REPOSITORY TARGET [PLANS]: compile all.

PLANS is the folder of what a full Triton image needs (deploy/triton/gpu).
"""

from __future__ import annotations

import sys
from pathlib import Path

from ragmesh_engines.building import build_all
from ragmesh_engines.configs import write_plans
from ragmesh_engines.profiles import EngineError, graphs_of


def main(arguments: list[str]) -> int:
    if len(arguments) not in (2, 3):
        print(__doc__, file=sys.stderr)
        return 2
    repository, target, *plans = map(Path, arguments)
    try:
        graphs = list(graphs_of(repository))
        manifest = build_all(graphs, target, lambda line: print(line, flush=True))
    except EngineError as error:
        print(error, file=sys.stderr)
        return 1
    for folder in plans:
        write_plans(graphs, folder)
    print(f"{len(manifest.engines)} engines in {target}, by TensorRT-RTX {manifest.tensorrt_rtx}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
