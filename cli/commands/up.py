"""`ragmesh up`: starts everything, loads the sample documents, prints where it is, and ends all of it on Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.status import Status

from cli.commands.options import VAR, Var
from cli.console import err, out, print_error
from cli.documents.importing import Fate
from cli.documents.sample import SAMPLE_CORPUS, load_sample
from cli.documents.session import print_tally
from cli.errors import CliError
from cli.parts.roster import CLIENT_DIR
from cli.parts.supervisor import Mesh, PartEvent

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def up(
    var: Var = VAR,
    port: Annotated[int | None, typer.Option(min=0, max=65_535, help="Port for browsers.", show_default="8080")] = None,
    grpc_port: Annotated[int | None, typer.Option(min=0, max=65_535, help="Port of plain gRPC.", show_default="8081")] = None,
    sample: Annotated[bool, typer.Option(help="Load the ChatCBD sample documents.")] = True,
    store: Annotated[str | None, typer.Option(help="Where the index stands: embedded, weaviate.", show_default="embedded")] = None,
) -> None:
    """Start the whole mesh and stay; Ctrl-C ends all of it."""
    asyncio.run(_run(var, sample, public_port=port, local_port=grpc_port, store=store))


async def _run(var: Path, sample: bool, **settings: Any) -> None:
    session = asyncio.create_task(_session(var, sample, **settings))
    with _signals(session) as asked:
        try:
            await session
        except asyncio.CancelledError:
            if not asked:
                raise
            err.print("Stopped.")


async def _session(var: Path, sample: bool, **settings: Any) -> None:
    begun = time.monotonic()
    with err.status("Starting") as status:
        try:
            async with Mesh.start(var, on_event=_Reporter(status).event, **settings) as mesh:
                status.stop()
                if sample and mesh.settings.sample_corpus and SAMPLE_CORPUS.is_dir():
                    await _load_sample(mesh)
                _print_where(mesh, time.monotonic() - begun)
                try:
                    await mesh.wait_failed()
                finally:
                    status.update("Stopping")
                    status.start()
        except asyncio.CancelledError:
            status.update("Stopping")
            raise


def _print_where(mesh: Mesh, seconds: float) -> None:
    if not (CLIENT_DIR / "index.html").is_file():
        err.print(f"There is no page: {CLIENT_DIR} holds no built client (git checkout web/dist).", style="yellow", markup=False)
    out.print(f"Ready in {seconds:.1f} s.\n")
    out.print(f"  Browser  [bold]{mesh.web_url}[/bold]")
    out.print(f"  gRPC     {mesh.grpc_target}   (grpcurl -plaintext {mesh.grpc_target} list)")
    out.print(f"  Logs     {mesh.log_dir}\n")
    out.print("Ctrl-C ends everything; what was stored stays.")


async def _load_sample(mesh: Mesh) -> None:
    try:
        tally, content = await load_sample(mesh.grpc_target)
    except CliError as error:  # the mesh itself works; a person can still bring their own documents
        print_error(error)
        return
    if tally.counts[Fate.STORED] or tally.failures:
        print_tally(tally, content)


@contextlib.contextmanager
def _signals(session: asyncio.Task[None]) -> Iterator[list[int]]:
    """Ctrl-C, SIGTERM and a closed terminal end the session in good order; a second one ends it at once.

    Yields the signals that came. At once means: we end, and the kernel ends the parts, which are tied to us.
    """
    loop = asyncio.get_running_loop()
    asked: list[int] = []

    def ask(number: int) -> None:
        asked.append(number)
        if len(asked) > 1:
            os._exit(128 + number)
        session.cancel()

    for number in _ENDING:
        loop.add_signal_handler(number, ask, number)
    try:
        yield asked
    finally:
        for number in _ENDING:
            loop.remove_signal_handler(number)


class _Reporter:
    """One line that says what is being waited for; what went wrong stays above it."""

    def __init__(self, status: Status) -> None:
        self._status = status
        self._waiting: list[str] = []

    def event(self, event: PartEvent) -> None:
        """Shows an event."""
        if event.kind == "starting":
            self._waiting.append(event.part)
        elif event.kind == "ready" and event.part in self._waiting:
            self._waiting.remove(event.part)
        elif event.kind in ("died", "mending"):  # what was given up ends the command, which says why
            err.print(event.text, style="yellow", markup=False)
        self._status.update(f"Starting {', '.join(self._waiting)}")
