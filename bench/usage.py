"""What the processes of a mesh use: time of the processor, memory. Read from /proc, so that neither depends on what else runs."""

from __future__ import annotations

import contextlib
from collections import Counter
from itertools import pairwise
from pathlib import Path

import psutil

from cli.parts.supervisor import Mesh

MIB = 2**20


def _named(mesh: Mesh) -> dict[str, psutil.Process]:
    """Every process: the parts by their names, processes of models by those of the models, the parser."""
    found: dict[str, psutil.Process] = {}
    for part, pid in mesh.pids.items():
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            found[part] = process
            for child in process.children(recursive=True):
                found[f"{part}/{_kind(child)}"] = child
    return found


def _kind(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        line = process.cmdline()
        models = [Path(word).parents[1].name for word in line if word.endswith("model.py")]
        modules = [after.rpartition(".")[2] for word, after in pairwise(line) if word == "-m"]
        scripts = [Path(word).stem for word in line if word.endswith(".py")]
        return (models or modules or scripts or [process.name()])[0]
    return str(process.pid)


def process_names(mesh: Mesh) -> list[str]:
    """What runs: parts, models, programs that a part has started."""
    return list(_named(mesh))


def cpu_seconds(mesh: Mesh) -> Counter[str]:
    """User and system time so far, by process; with that of children that have ended."""
    found: Counter[str] = Counter()
    for name, process in _named(mesh).items():
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            seconds = times.user + times.system + times.children_user + times.children_system
            found[name] = seconds  # type: ignore[assignment]  # a Counter adds and subtracts these as well
    return found


def resident_mib(mesh: Mesh) -> dict[str, tuple[float, float]]:
    """Proportional set size by process, and of all: memory of its own, and pages of files and of memory that is shared.

    Pages of files are in the page cache: the kernel takes those that are not used away where it needs room.
    """
    found: dict[str, tuple[float, float]] = {}
    for name, process in _named(mesh).items():
        with contextlib.suppress(OSError):
            lines = (Path("/proc") / str(process.pid) / "smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
            kib = {key: int(value.split()[0]) for key, _, value in (line.partition(":") for line in lines)}
            found[name] = (kib["Pss_Anon"] / 1024, (kib["Pss"] - kib["Pss_Anon"]) / 1024)
    return {**found, "total": (sum(own for own, _ in found.values()), sum(mapped for _, mapped in found.values()))}


def folder_mib(folder: Path) -> float:
    """Room on disk of everything below a folder."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file()) / MIB
