"""All graphs of a repository to engines and a manifest. What is already compiled from the same bytes is kept."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import onnx
from ragmesh_models.engine_files import EngineEntry, Manifest
from ragmesh_models.identity import file_sha256

from ragmesh_engines import compiling
from ragmesh_engines.configs import check_config
from ragmesh_engines.dequantise import dequantised
from ragmesh_engines.difference import largest_differences
from ragmesh_engines.half import held_in_half, in_half
from ragmesh_engines.profiles import EngineError, Graph


def rewritten(graph: Graph) -> tuple[bytes, dict[str, float], dict[str, float]]:
    """The ONNX bytes that are compiled; and by output how far they are from the graph that is served, and from that one in fp32.

    Raises:
        EngineError: the graph cannot be rewritten, or the result is too far from it.
    """
    served = graph.path.read_bytes()
    try:
        exact = dequantised(onnx.load_from_string(served))
    except EngineError as error:
        raise EngineError(f"{graph.title}: {error}") from None
    made = in_half(exact) if graph.declared.precision == "fp16" else exact
    measured = held_in_half(made).SerializeToString()
    from_fp32 = largest_differences(graph, exact.SerializeToString(), measured)
    from_served = largest_differences(graph, served, measured)
    allowed = graph.declared.tolerance
    for what, found, most in (
        ("itself in fp32", from_fp32, allowed),
        ("the graph that is served", from_served, allowed + graph.declared.rounding),
    ):
        for name, difference in found.items():
            if not difference <= most:
                text = f"differs from {what} by {difference:.2g} of the largest value of {name}, {most:.2g} is allowed"
                raise EngineError(f"{graph.title}: what is compiled ({graph.declared.precision}) {text}")
    return made.SerializeToString(), from_served, from_fp32


def build_one(graph: Graph, target: Path) -> EngineEntry:
    """Compile one graph into `target`. Raises EngineError."""
    check_config(graph)
    made, from_served, from_fp32 = rewritten(graph)
    folder = target / graph.model / graph.version
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{graph.path.stem}.compiled.onnx").write_bytes(made)
    engine = compiling.compiled(graph, made)
    path = folder / f"{graph.path.stem}.engine"
    path.write_bytes(engine)
    return EngineEntry(
        model=graph.model,
        version=graph.version,
        graph=graph.path.name,
        graph_sha256=file_sha256(graph.path),
        engine=str(path.relative_to(target)),
        engine_sha256=hashlib.sha256(engine).hexdigest(),
        precision=graph.declared.precision,
        inputs=graph.inputs,
        outputs=graph.outputs,
        profiles=graph.declared.profiles,
        from_served=from_served,
        from_fp32=from_fp32,
    )


def build_all(graphs: Sequence[Graph], target: Path, say: Callable[[str], None]) -> Manifest:
    """Compile every graph into `target`, which is emptied first: the manifest is written last and speaks of all that is there.

    Raises:
        EngineError: one graph fails; nothing that was made remains.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    entries = []
    try:
        for graph in graphs:
            began = time.monotonic()
            entry = build_one(graph, target)
            entries.append(entry)
            size = (target / entry.engine).stat().st_size
            worst = max(entry.from_served.values())
            seconds = time.monotonic() - began
            say(f"{graph.title}: {entry.precision}, {size / 1e6:.1f} MB, {worst:.1e} from the served graph, {seconds:.1f} s")
    except EngineError:
        shutil.rmtree(target, ignore_errors=True)
        raise
    manifest = Manifest(compiling.VERSION, compiling.COMPUTE_CAPABILITIES, tuple(entries))
    manifest.write(target)
    return manifest
