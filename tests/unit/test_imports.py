"""Who may import whom: a service only the chassis and the contract, everything only what its room is for."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVICES = sorted(path.name for path in (ROOT / "services").iterdir() if path.is_dir() and not path.name.startswith("_"))
ROOMS = (
    "services",
    "cli",
    "training",
    "tests",
    "bench",
    "deploy",
    "corpus",
    "goldens",
    "docs",
    "web",
    "proto",
    "gen",
    "requirements",
)
NOTHING = {"util", "utils", "helper", "helpers", "common", "misc", "manager", "managers"}
# What of ours each room may import. Not named: nothing of ours.
MAY_IMPORT = {
    "services": {"services", "ragmesh"},
    "cli": {"cli", "services", "ragmesh"},
    "training": {"training", "ragmesh_models"},
    "deploy": {"ragmesh_models", "ragmesh_engines"},
    "bench": {"bench", "cli", "services", "ragmesh", "ragmesh_models"},
    "tests": {"tests", "bench", "cli", "services", "training", "ragmesh", "ragmesh_models", "ragmesh_engines", "buf"},
}
# Baselines of an evaluation cut sentences and count words exactly as what is shipped does.
# The guard's classifier is trained on exactly what it reads when it serves.
ALSO = {
    "cli/evaluation/": {"ragmesh_models"},
    "training/injection_": {"services"},
    "training/intent_classifier_": {"services", "ragmesh"},
    # What judges searches is fitted on searches of the mesh, as the evaluation starts it.
    "training/sufficiency_": {"cli", "services", "ragmesh"},
    # Real texts to fill stores with are read as training reads them, by their digests, and embedded as the mesh does.
    "bench/store_data": {"training", "ragmesh_models"},
}
OURS = {"services", "cli", "training", "bench", "tests", "ragmesh", "ragmesh_models", "ragmesh_engines", "buf"}
# Libraries that are dear to load, or that only some environments have.
LIBRARIES_OF_ONE_ROOM = {"torch": {"training", "tests"}, "tensorrt_rtx": {"deploy"}, "typer": {"cli", "tests"}, "pytest": {"tests"}}


def _sources(folder: str) -> list[Path]:
    return [
        path
        for path in sorted((ROOT / folder).rglob("*.py"))
        if "__pycache__" not in path.parts and "node_modules" not in path.parts
    ]


def _also(path: Path) -> set[str]:
    place = path.relative_to(ROOT).as_posix()
    return {name for folder, names in ALSO.items() if place.startswith(folder) for name in names}


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: an import says where it leads"
            module = node.module or ""
            yield node.lineno, module
            # `from services import guard` names a service as much as `import services.guard`.
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_imports_the_chassis_and_no_other_service(service: str) -> None:
    allowed = {service, "mesh"}
    crossing = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in _sources(f"services/{service}")
        for line, name in _imports(path)
        if name.startswith("services.") and name.split(".")[1] not in allowed
    ]
    assert crossing == []


def test_the_chassis_knows_no_service() -> None:
    found = {name.split(".")[1] for path in _sources("services/mesh") for _, name in _imports(path) if name.startswith("services.")}
    assert found == {"mesh"}


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_a_room_imports_what_it_may(room: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in _sources(room)
        for line, name in _imports(path)
        if (root := name.split(".")[0]) in OURS - MAY_IMPORT[room] - _also(path)
        or room not in LIBRARIES_OF_ONE_ROOM.get(root, {room})
    ]
    assert wrong == []


def test_no_module_stands_outside_a_room() -> None:
    loose = [
        str(path.relative_to(ROOT))
        for path in ROOT.rglob("*.py")
        if path.relative_to(ROOT).parts[0] not in ROOMS and not path.relative_to(ROOT).parts[0].startswith((".", "var", "build"))
    ]
    assert loose == []


def test_no_room_is_named_after_nothing() -> None:
    made = {"node_modules", "__pycache__"}
    files = [path.relative_to(ROOT) for room in ROOMS for path in (ROOT / room).rglob("*") if not made & set(path.parts)]
    assert files
    bad = [str(path) for path in files if NOTHING & {part.partition(".")[0].lower() for part in path.parts}]
    assert bad == []


def test_every_module_says_what_lives_there() -> None:
    rooms = ("services", "cli", "training", "bench", "deploy", "tests")
    silent = [
        str(path.relative_to(ROOT))
        for room in rooms
        for path in _sources(room)
        if path.stat().st_size and not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert silent == []


@pytest.mark.parametrize("service", [name for name in SERVICES if name != "mesh"])
def test_a_service_begins_without_the_libraries_of_another(service: str) -> None:
    """Loading the entry point pulls in nothing that only training or the command line needs."""
    script = f"import sys, services.{service}.__main__; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    ran = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    loaded = set(ran.stdout.split())
    assert loaded & {"torch", "typer", "pytest", "training", "cli", "bench"} == set()
