"""Moves the index of a mesh that does not run to another kind: starts what the retriever's own `move-index` needs, shows how far it
is, and writes down which store the next start takes.

That line in the settings is the one moment of the switch: killed before it, the old index is in use; after it, the new one. Knows
nothing of vectors.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dotenv
from rich.progress import Progress, TaskID

from cli.console import document_progress, out
from cli.errors import EXIT_FAILED, CliError
from cli.parts import run_state
from cli.parts.child import Child
from cli.parts.reindex import has_documents, retriever_environment
from cli.parts.run_state import VarLayout
from cli.parts.weaviate import NodePorts, is_ready, launch_spec
from cli.settings import env_file, file_environment

KINDS = {"embedded": "edge", "weaviate": "weaviate"}
"""What the command calls a store -> the kind of index."""
STORE = "RAGMESH_STORE"
INDEX = "RAGMESH_RETRIEVER_INDEX"
NODES = "RAGMESH_RETRIEVER_WEAVIATE__NODES"
_START_SECONDS = 120.0
_POLL_SECONDS = 0.05
_LINE_BYTES = 64 * 1024


@dataclass(frozen=True)
class Moved:
    """What came of a move."""

    chunks: int
    samples: int
    dense: float
    """Mean overlap of the ten nearest to a stored vector, 0 to 1."""
    sparse: float
    """The same for words."""


def to_kind(var: Path, to: str, samples: int, least: float) -> None:
    """Moves the index and says what came of it.

    Args:
        to: `embedded` or `weaviate`.

    Raises:
        CliError: there is nothing to move, a mesh runs, a setting of the environment says otherwise, or the two do not agree.
    """
    folders = run_state.layout(var)
    if not has_documents(folders):
        raise CliError(f"Nothing is stored in {folders.data_dir}.", "Point --var at the folder of the mesh.", exit_code=EXIT_FAILED)
    folders.make()
    known = {**os.environ, **file_environment(folders.root)}
    lines = settings_for(to, own_server=NODES in known, said=file_environment(folders.root))
    _refuse_environment(lines)
    with run_state.held_lock(folders):
        run_state.end_leftovers(folders)
        moved = asyncio.run(_move(folders, to, samples, least, own_server=NODES in known))
        write_down(folders, lines)
    if moved is None:
        out.print(f"The index is on the store {to} already.")
        return
    out.print(
        f"Moved {moved.chunks} chunks: both indexes hold the same, and of the ten nearest to {moved.samples} of them they share"
        f" {moved.dense:.1%} by vectors and {moved.sparse:.1%} by words."
    )
    out.print(f"`ragmesh up` takes it from now on ({', '.join(f'{name}={value}' for name, value in lines.items())}).", markup=False)
    if to == "embedded" and (folders.data_dir / "weaviate").is_dir():
        out.print(f"What Weaviate kept, {folders.data_dir / 'weaviate'}, is not needed any more.", markup=False)


def settings_for(to: str, *, own_server: bool, said: Mapping[str, str]) -> dict[str, str]:
    """Lines of the settings that make the next start take the store.

    Args:
        own_server: whether the settings name a Weaviate that is not started with the mesh.
        said: what the file says now.
    """
    if to == "weaviate":
        return {INDEX: "weaviate"} if own_server else {STORE: "weaviate"}
    return {STORE: "embedded", **({INDEX: KINDS[to]} if INDEX in said else {})}


def _refuse_environment(lines: Mapping[str, str]) -> None:
    for name, value in lines.items():
        if os.environ.get(name, value) != value:
            raise CliError(
                f"The environment says {name}={os.environ[name]}, and would win over what a move writes down.",
                f"Unset {name}, and call again.",
                exit_code=EXIT_FAILED,
            )


def write_down(folders: VarLayout, lines: Mapping[str, str]) -> None:
    """Writes the settings to the file of the mesh; each line at once, the others of the file stay."""
    for name, value in lines.items():
        dotenv.set_key(env_file(folders.root), name, value, quote_mode="never")


async def _move(folders: VarLayout, to: str, samples: int, least: float, *, own_server: bool) -> Moved | None:
    if own_server:
        return await _ask_retriever(folders, to, samples, least, {})
    async with _weaviate(folders) as ports:
        nodes = json.dumps([{"http_port": ports.http, "grpc_port": ports.grpc}])
        return await _ask_retriever(folders, to, samples, least, {NODES: nodes})


@asynccontextmanager
async def _weaviate(folders: VarLayout) -> AsyncIterator[NodePorts]:
    """The Weaviate of this mesh, over its data."""
    ports = NodePorts.choose()
    log = folders.log_dir / "weaviate.log"
    child = await Child.start("weaviate", launch_spec(folders.data_dir / "weaviate", ports), log, orphan_signal=signal.SIGTERM)
    try:
        async with asyncio.timeout(_START_SECONDS):
            while True:
                if await is_ready(ports):
                    break
                if not child.alive:
                    raise CliError("Weaviate ended.", f"See {log}; `ragmesh doctor` checks every part.")
                await asyncio.sleep(_POLL_SECONDS)
        yield ports
    except TimeoutError:
        raise CliError("Weaviate did not become ready.", f"See {log}.") from None
    finally:
        await child.stop(10.0)


async def _ask_retriever(folders: VarLayout, to: str, samples: int, least: float, own: Mapping[str, str]) -> Moved | None:
    """None: the index is of that kind already."""
    argv = (sys.executable, "-m", "services.retriever", "move-index", KINDS[to], "--samples", str(samples), "--least", str(least))
    environment = {**retriever_environment(folders), **own, "RAGMESH_LOG_LEVEL": "info"}
    child = await asyncio.create_subprocess_exec(
        *argv,
        cwd=folders.run_dir,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=_LINE_BYTES,
    )
    assert child.stdout is not None
    assert child.stderr is not None
    said = asyncio.create_task(child.stderr.read())
    moved: Moved | None = None
    try:
        with document_progress() as progress:
            bar = progress.add_task("Moving", total=None, rate="chunks")
            async for line in child.stdout:
                moved = _read(line, progress, bar) or moved
        status = await child.wait()
    except BaseException:
        child.kill()
        await child.wait()
        raise
    finally:
        words = (await said).decode(errors="replace").strip()
    if status:
        reason = words.rpartition("\n")[2].removeprefix("retriever: ") or f"it ended with status {status}"
        raise CliError(f"The index was not moved: {reason}.", "The one in use is as it was.", exit_code=EXIT_FAILED)
    return moved


def _read(line: bytes, progress: Progress, bar: TaskID) -> Moved | None:
    try:
        event: dict[str, Any] = json.loads(line)
    except json.JSONDecodeError:
        return None
    if event.get("event") == "index.moving":
        progress.update(bar, completed=event["chunks"], total=event["of"])
    if event.get("event") == "index.compared":
        progress.update(bar, description="Compared")
        return Moved(event["chunks"], event["samples"], event["dense"], event["sparse"])
    return None
