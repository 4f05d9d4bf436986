"""`ragmesh traces`: installs and starts a trace viewer, and has every turn traced while it runs."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import Annotated

import typer

from cli.commands.options import VAR, Var
from cli.console import err, out
from cli.errors import CliError
from cli.parts import viewer as phoenix
from cli.parts.child import Child
from cli.parts.envoy_admin import EnvoyAdmin
from cli.parts.roster import admin_socket
from cli.parts.run_state import MeshState, VarLayout, layout, read_state
from cli.parts.telemetry_state import telemetry_content, telemetry_file, write_telemetry
from cli.settings import read_settings

_APPLY_SECONDS = 1.0


def traces(
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port of the viewer's page.")] = 6006,
    var: Var = VAR,
) -> None:
    """Show every turn as a trace, from the edge to the models, until Ctrl-C."""
    folders = layout(var)
    settings = read_settings(folders.root)
    state = read_state(folders)
    if (state.telemetry_endpoint if state else settings.otlp_endpoint) is not None:
        raise CliError(
            f"Traces go to {settings.otlp_endpoint} already, by the setting RAGMESH_OTLP_ENDPOINT.",
            "Look there, or take the setting away and start `ragmesh up` again.",
        )
    folders.make()
    venv = folders.root / "phoenix-venv"
    if not phoenix.is_installed(venv):
        err.print(f"Installing the trace viewer (Arize Phoenix) into {venv}", markup=False)
        phoenix.install(venv)
    host, _, otlp = settings.viewer_endpoint.rpartition(":")
    log = folders.log_dir / "phoenix.log"
    asyncio.run(_run(phoenix.Viewer(venv, folders.root / "phoenix", log, host, int(otlp), port), folders))


async def _run(viewer: phoenix.Viewer, folders: VarLayout) -> None:
    session = asyncio.create_task(_session(viewer, folders))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, session.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await session
    err.print("Stopped; turns are traced as before.")


async def _session(viewer: phoenix.Viewer, folders: VarLayout) -> None:
    with err.status("Starting the trace viewer") as status:
        async with phoenix.running(viewer) as child:
            status.stop()
            out.print(f"Traces  [bold]{viewer.url}[/bold]")
            out.print("Every turn is traced from now on. Ctrl-C ends the viewer; what it has stored stays.")
            if read_state(folders) is None:
                out.print(f"No mesh runs in {folders.root} yet; it is traced as soon as it does.", markup=False)
            endpoint = f"{viewer.host}:{viewer.otlp_port}"
            try:
                await _keep_traced(folders, endpoint, child)
            finally:
                await restore(folders)


async def _keep_traced(folders: VarLayout, endpoint: str, child: Child) -> None:
    """Has everything traced, also of a mesh or an Envoy that starts again meanwhile."""
    while child.alive:
        state = read_state(folders)
        if state is not None:
            await trace_everything(state, endpoint)
        await asyncio.sleep(_APPLY_SECONDS)
    raise CliError("The trace viewer ended.", f"See {folders.log_dir / 'phoenix.log'}.")


async def trace_everything(state: MeshState, endpoint: str) -> None:
    """Has every turn of a mesh traced to `endpoint`."""
    file = telemetry_file(state.run_dir)
    wanted = telemetry_content(endpoint, metrics=False)
    with contextlib.suppress(OSError):  # a mesh that ends or starts just now: the next round finds it
        if not file.exists() or file.read_bytes() != wanted:
            write_telemetry(state.run_dir, endpoint, metrics=False)
        await EnvoyAdmin(admin_socket(state.run_dir)).set_sampling(100)


async def restore(folders: VarLayout) -> None:
    """Has the mesh traced as its settings say."""
    state = read_state(folders)
    if state is not None:
        with contextlib.suppress(OSError):
            write_telemetry(state.run_dir, state.telemetry_endpoint)
            await EnvoyAdmin(admin_socket(state.run_dir)).set_sampling(None)
