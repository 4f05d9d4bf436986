"""The command `ragmesh`: which commands there are, and how their errors end. Knows nothing of what they do."""

from __future__ import annotations

import sys

import typer

from cli.commands import ask, certs, crawl, doctor, eval, guard, ingest, search, store, traces, train, up, watch
from cli.console import err, print_error
from cli.errors import CliError

app = typer.Typer(
    name="ragmesh",
    help="A self-hosted RAG assistant: ask your own documents, on your own machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("up")(up.up)
app.command("ingest")(ingest.ingest)
app.command("watch")(watch.watch)
app.command("crawl")(crawl.crawl)
app.command("ask")(ask.ask)
app.command("search")(search.search)
app.command("traces")(traces.traces)
app.command("doctor")(doctor.doctor)
app.command("certs")(certs.certs)
app.command("train")(train.train)
app.add_typer(eval.app, name="eval")
app.add_typer(guard.app, name="guard")
app.add_typer(store.app, name="store")


def main() -> None:
    """Entry point of the installed command."""
    if not (3, 11) <= sys.version_info[:2] < (3, 13):
        found = f"{sys.version_info.major}.{sys.version_info.minor}"
        sys.exit(f"ragmesh runs on Python 3.11 and 3.12, this is {found}: remove .venv and call `make setup PYTHON=python3.11`.")
    try:
        app()
    except CliError as error:
        print_error(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        err.print("Interrupted.")
        sys.exit(130)
