"""What `make engines` leaves for the models: a manifest beside the engines, and how an engine is found in it.

    build/engines/manifest.json
    build/engines/<model>/<version>/<graph>.engine      run by the models through the TensorRT Python API
    build/engines/<model>/<version>/<graph>.compiled.onnx   what it was compiled from, for trtexec

An engine belongs to the bytes of one graph: a graph that was trained again has no engine until it is compiled again. This module
reads and writes files; it knows neither TensorRT nor a GPU.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from ragmesh_models.identity import file_sha256

MANIFEST = "manifest.json"
Shape = tuple[int, ...]


class EngineUnavailableError(RuntimeError):
    """A graph cannot run as an engine here.

    Attributes:
        reason: NO_ENGINES, NO_ENGINE, STALE_ENGINE, BROKEN_ENGINE, NO_GPU, NO_TENSORRT, OTHER_TENSORRT, REFUSED_ENGINE.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(f"{reason}: {text}")
        self.reason = reason


@dataclass(frozen=True)
class Tensor:
    """One input or output of a graph."""

    name: str
    dtype: str
    """As numpy names it."""
    shape: Shape
    """-1 where the length may vary."""


@dataclass(frozen=True)
class Profile:
    """Which shapes of one input the engine takes, and the one that it is tuned for."""

    least: Shape
    usual: Shape
    most: Shape

    def holds(self, shape: Shape) -> bool:
        return len(shape) == len(self.least) and all(a <= b <= c for a, b, c in zip(self.least, shape, self.most, strict=True))


@dataclass(frozen=True)
class EngineEntry:
    """One compiled graph."""

    model: str
    version: str
    graph: str
    graph_sha256: str
    engine: str
    """Path below the folder of the manifest."""
    engine_sha256: str
    precision: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    profiles: dict[str, Profile]
    """By input; an input of one fixed shape has none."""
    from_served: dict[str, float]
    """By output: how far what was compiled is from the graph that is served, on a CPU, relative to the largest value."""
    from_fp32: dict[str, float]
    """By output: how far it is from the same weights in fp32. What is left of the other is the rounding of int8 activations."""


@dataclass(frozen=True)
class Manifest:
    tensorrt_rtx: str
    """Version that compiled the engines, and that must run them."""
    compute_capabilities: tuple[str, ...]
    engines: tuple[EngineEntry, ...]

    def write(self, folder: Path) -> None:
        text = json.dumps(asdict(self), indent=1, ensure_ascii=False)
        (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")

    @staticmethod
    def read(folder: Path) -> Manifest:
        """Raises EngineUnavailableError: nothing was compiled, or the file is not one of ours."""
        try:
            told = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise EngineUnavailableError("NO_ENGINES", "nothing was compiled: make engines") from None
        except ValueError:
            raise EngineUnavailableError("BROKEN_ENGINE", f"{MANIFEST} is not JSON: make engines") from None
        try:
            entries = tuple(_entry(one) for one in told["engines"])
            return Manifest(told["tensorrt_rtx"], tuple(told["compute_capabilities"]), entries)
        except (KeyError, TypeError, AttributeError) as error:
            raise EngineUnavailableError("BROKEN_ENGINE", f"{MANIFEST} is of another form ({error}): make engines") from None


def _entry(told: dict[str, object]) -> EngineEntry:
    fields = dict(told)
    for side in ("inputs", "outputs"):
        fields[side] = tuple(Tensor(one["name"], one["dtype"], tuple(one["shape"])) for one in told[side])  # type: ignore[attr-defined]
    profiles = told["profiles"]
    fields["profiles"] = {
        name: Profile(*(tuple(one[key]) for key in ("least", "usual", "most")))
        for name, one in profiles.items()  # type: ignore[attr-defined]
    }
    return EngineEntry(**fields)  # type: ignore[arg-type]


def find_engine(graph: Path, folder: Path) -> tuple[EngineEntry, Path, str]:
    """The engine of the ONNX file `graph` (`<model>/<version>/<name>.onnx`), proven by both digests; and the version it wants.

    Raises:
        EngineUnavailableError: NO_ENGINES, NO_ENGINE, STALE_ENGINE, BROKEN_ENGINE.
    """
    manifest = Manifest.read(folder)
    version, model = graph.parent.name, graph.parent.parent.name
    for entry in manifest.engines:
        if (entry.model, entry.version, entry.graph) == (model, version, graph.name):
            break
    else:
        raise EngineUnavailableError("NO_ENGINE", f"{model}/{version}/{graph.name} was not compiled: make engines")
    if file_sha256(graph) != entry.graph_sha256:
        raise EngineUnavailableError("STALE_ENGINE", f"{model}/{version}/{graph.name} is newer than its engine: make engines")
    path = folder / entry.engine
    if not path.is_file() or file_sha256(path) != entry.engine_sha256:
        raise EngineUnavailableError("BROKEN_ENGINE", f"{entry.engine} is not what was compiled: make engines")
    return entry, path, manifest.tensorrt_rtx
