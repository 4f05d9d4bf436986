"""What `ragmesh doctor` looks at: each check is a function that finds out one thing and says what to do where it is wrong.

Changes nothing but the folders that `ragmesh up` would make too.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from cli.errors import CliError
from cli.parts import ports, triton, viewer
from cli.parts.roster import CLIENT_DIR, MODEL_REPOSITORY, SERVICES
from cli.parts.run_state import VarLayout, read_state
from cli.parts.truth_check import check_truth
from cli.settings import REPOSITORY, UpSettings
from cli.tools import Tool, find_program, fits, installed_version, program_version, read_tools

NEEDED_BYTES = 2 * 1024**3
"""Free space that a mesh with some thousand documents, its logs and its models is at ease with."""
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)


class Verdict(Enum):
    """How a check came out."""

    GOOD = "ok"
    BAD = "wrong"
    ABSENT = "not there"
    """Something that `ragmesh up` does without."""


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    name: str
    verdict: Verdict
    detail: str
    remedy: str = ""


def all_findings(folders: VarLayout, settings: UpSettings) -> Iterator[Finding]:
    """Every check, in the order in which things are needed."""
    tools = read_tools()
    yield _python(tools.pop("python"))
    yield _packages()
    triton_tool = tools.pop("triton")
    phoenix = tools.pop("phoenix")
    for name, tool in tools.items():
        yield _tool(name, tool)
    yield _triton(triton_tool, folders)
    yield _models()
    yield _engines()
    yield _client()
    yield _folders(folders)
    yield _sockets(folders)
    yield _space(folders)
    yield from _ports(folders, settings)
    yield from _truth(folders)
    installed = viewer.is_installed(folders.root / "phoenix-venv")
    yield Finding("phoenix", Verdict.GOOD if installed else Verdict.ABSENT, phoenix.version, "" if installed else phoenix.remedy)
    yield _running(folders)


def _python(tool: Tool) -> Finding:
    found = ".".join(str(part) for part in sys.version_info[:3])
    if not any(fits(found, version, minimum=False) for version in tool.versions):
        return Finding("python", Verdict.BAD, found, tool.remedy)
    if sys.prefix == sys.base_prefix:
        return Finding("python", Verdict.BAD, f"{found}, outside of a virtual environment", "make setup")
    return Finding("python", Verdict.GOOD, f"{found} in {sys.prefix}")


def _packages() -> Finding:
    pins = _PIN.findall((REPOSITORY / "requirements" / "run.txt").read_text())
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    wanted: dict[str, set[str]] = {}
    for name, pin in pins:
        wanted.setdefault(name, set()).add(pin)  # a package may be pinned twice, for two versions of Python
    wrong = [name for name, allowed in wanted.items() if installed_version(name) not in allowed]
    if wrong:
        shown = ", ".join(wrong[:5]) + (" ..." if len(wrong) > 5 else "")
        return Finding(
            "packages", Verdict.BAD, f"{len(wrong)} of {len(wanted)} are missing or of another version: {shown}", "make setup"
        )
    return Finding("packages", Verdict.GOOD, f"{len(wanted)} as requirements/run.txt locks them, for Python {version}")


def _tool(name: str, tool: Tool) -> Finding:
    missing = Verdict.BAD if tool.needed == "run" else Verdict.ABSENT
    if tool.folder is not None:
        there = (REPOSITORY / tool.folder).is_dir()
        return Finding(
            name, Verdict.GOOD if there else missing, tool.version if there else tool.source, "" if there else tool.remedy
        )
    program = find_program(tool.find or name)
    if program is None:
        return Finding(name, missing, tool.source, tool.remedy)
    if not tool.check:  # it would start to serve
        return Finding(name, Verdict.GOOD, f"{tool.version}, {program}")
    try:
        found = program_version(program, tool.check)
    except OSError as error:
        return Finding(name, missing, str(error), tool.remedy)
    if not fits(found, tool.version, minimum=tool.minimum):
        wanted = f"{tool.version}{' or newer' if tool.minimum else ''}"
        return Finding(name, missing, f"{found} at {program}, {wanted} is wanted", tool.remedy)
    return Finding(name, Verdict.GOOD, f"{found} at {program}")


def _triton(tool: Tool, folders: VarLayout) -> Finding:
    found = installed_version(tool.distribution or "")
    if found != tool.distribution_version:
        return Finding("triton", Verdict.BAD, f"{tool.distribution} {found or 'is not installed'}", tool.remedy)
    try:
        spec = triton.launch_spec(folders.root / "triton", MODEL_REPOSITORY, 8101, 8102, otlp_endpoint=None)
        done = subprocess.run((spec.argv[0], "--help"), env=spec.env, capture_output=True, text=True, timeout=30, check=False)
    except (triton.TritonUnavailableError, OSError, subprocess.TimeoutExpired) as error:
        return Finding("triton", Verdict.BAD, str(error), tool.remedy)
    # It prints its usage and ends with 1; a library that is missing ends it with 127 before it prints anything.
    if "model-repository" not in done.stdout + done.stderr:
        return Finding("triton", Verdict.BAD, (done.stderr.strip() or f"ended with {done.returncode}")[:200], tool.remedy)
    return Finding("triton", Verdict.GOOD, f"{tool.version} ({tool.distribution} {found}), libpython found")


def _models() -> Finding:
    wanted = ("tokenizer", "embedder", "reranker", "answerer")
    missing = [name for name in wanted if not (MODEL_REPOSITORY / name / "config.pbtxt").is_file()]
    if missing:
        return Finding("models", Verdict.BAD, f"{', '.join(missing)} not in {MODEL_REPOSITORY}", "git checkout deploy/triton")
    return Finding("models", Verdict.GOOD, ", ".join(wanted))


def _engines() -> Finding:
    try:
        manifest = json.loads((triton.ENGINES / "manifest.json").read_text(encoding="utf-8"))
        made = f"{len(manifest['engines'])} by TensorRT-RTX {manifest['tensorrt_rtx']}, run where an NVIDIA GPU is"
    except FileNotFoundError:
        return Finding("engines", Verdict.ABSENT, "models run in ONNX Runtime", "make engines, where an NVIDIA GPU is")
    except (ValueError, KeyError, TypeError):
        return Finding("engines", Verdict.BAD, f"{triton.ENGINES / 'manifest.json'} cannot be read", "make engines")
    return Finding("engines", Verdict.GOOD, made)


def _client() -> Finding:
    if (CLIENT_DIR / "index.html").is_file():
        return Finding("browser client", Verdict.GOOD, str(CLIENT_DIR))
    return Finding("browser client", Verdict.BAD, f"{CLIENT_DIR} holds no index.html", "git checkout web/dist")


def _folders(folders: VarLayout) -> Finding:
    try:
        folders.make()
    except CliError as error:
        return Finding("state folder", Verdict.BAD, error.message, error.remedy)
    return Finding("state folder", Verdict.GOOD, str(folders.root))


def _sockets(folders: VarLayout) -> Finding:
    path = folders.run_dir / f"doctor-{uuid.uuid4().hex[:8]}.sock"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.bind(str(path))
    except OSError as error:
        remedy = "Choose a folder on a local file system with --var."
        return Finding("sockets", Verdict.BAD, f"{folders.run_dir} takes no Unix socket: {error.strerror or error}", remedy)
    finally:
        path.unlink(missing_ok=True)
    return Finding("sockets", Verdict.GOOD, str(folders.run_dir))


def _space(folders: VarLayout) -> Finding:
    place: Path = folders.root
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    shown = f"{free / 1024**3:.1f} GiB free"
    if free < NEEDED_BYTES:
        return Finding("disk", Verdict.BAD, shown, "Make room, or choose another disk with --var.")
    return Finding("disk", Verdict.GOOD, shown)


def _ports(folders: VarLayout, settings: UpSettings) -> Iterator[Finding]:
    state = read_state(folders)
    ours = {state.web_url.rpartition(":")[2], state.grpc_target.rpartition(":")[2]} if state else set()
    for kind in ("public", "local"):
        host, port = getattr(settings, f"{kind}_host"), getattr(settings, f"{kind}_port")
        if str(port) in ours:
            yield Finding(f"port {port}", Verdict.GOOD, "used by the mesh that runs")
        elif ports.is_free(host, port):
            yield Finding(f"port {port}", Verdict.GOOD, f"free on {host}")
        else:
            yield Finding(f"port {port}", Verdict.BAD, f"in use on {host}", f"RAGMESH_{kind.upper()}_PORT chooses another one")


def _truth(folders: VarLayout) -> Iterator[Finding]:
    for one in check_truth(folders):
        yield Finding(one.name, Verdict.GOOD if one.good else Verdict.BAD, one.detail, one.remedy)


def _running(folders: VarLayout) -> Finding:
    state = read_state(folders)
    if state is None:
        return Finding("mesh", Verdict.ABSENT, f"none runs in {folders.root}", "ragmesh up")
    down = [name for name in ("triton", "envoy", *SERVICES) if name not in state.processes or not state.processes[name].is_alive()]
    if down:
        return Finding("mesh", Verdict.BAD, f"{', '.join(down)} down", f"See {folders.log_dir}.")
    return Finding("mesh", Verdict.GOOD, f"runs at {state.web_url}")
