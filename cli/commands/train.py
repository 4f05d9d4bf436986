"""`ragmesh train`: adapts the models to an owner's documents, and says which set of models is served.

The training itself runs in an environment of its own (`.venv-train`), since torch is not part of what serves.
"""

from __future__ import annotations

import asyncio
import datetime
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from cli.commands.options import VAR, Var
from cli.console import err, out
from cli.errors import EXIT_FAILED, EXIT_USAGE, CliError
from cli.parts import run_state
from cli.parts.model_overlay import NAME, Overlays
from cli.parts.reindex import has_documents, reindex
from cli.parts.roster import MODEL_REPOSITORY
from cli.settings import REPOSITORY

TRAINING_PYTHON = REPOSITORY / ".venv-train" / "bin" / "python"
SHIPPED = "shipped"
EMBEDDER = "embedder/1/embedder.onnx"


def train(
    documents: Annotated[Path | None, typer.Option(help="Folder of Markdown, HTML and text files to adapt the models to.")] = None,
    questions: Annotated[
        list[Path] | None, typer.Option(help="File of questions that people wrote (as goldens/*.jsonl); they must not get worse.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the new set of models.", show_default="date and time")] = None,
    show: Annotated[bool, typer.Option("--list", help="List the sets of adapted models.")] = False,
    use: Annotated[str | None, typer.Option(help=f"Serve this set; `{SHIPPED}`: the release's models.")] = None,
    discard: Annotated[str | None, typer.Option(help="Delete this set.")] = None,
    var: Var = VAR,
) -> None:
    """Adapt the models to your documents, and keep only what got better on documents that were held out."""
    if sum((documents is not None, show, use is not None, discard is not None)) != 1:
        raise CliError("Say one of --documents, --list, --use and --discard.", "`ragmesh train --help`.", exit_code=EXIT_USAGE)
    folders = run_state.layout(var)
    overlays = Overlays(folders.root, MODEL_REPOSITORY)
    if show:
        _list(overlays)
        return
    folders.make()
    if documents is not None:
        made = _adapt(overlays, documents, questions or [], name)
        if made is not None:
            _serve_new(folders, overlays, made)
    elif use is not None:
        _serve(folders, overlays, None if use == SHIPPED else use)
        out.print(f"Served from the next start on: {use}.", markup=False)
    elif discard is not None:
        if overlays.active() == discard:
            _serve(folders, overlays, None)
        overlays.discard(discard)
        out.print(f"Deleted {discard}.", markup=False)


def _list(overlays: Overlays) -> None:
    names = overlays.names()
    if not names:
        out.print("There are no adapted models; the release's are served.")
        return
    active = overlays.active()
    table = Table("Set", "Models", "Documents", "", box=None)
    for one in names:
        models = ", ".join(sorted({path.split("/")[0] for path in overlays.read(one).files}))
        state = "served" if one == active else overlays.unfit(one)
        table.add_row(one, models, str(overlays.read(one).documents), state)
    out.print(table)


def _adapt(overlays: Overlays, documents: Path, questions: list[Path], name: str | None) -> str | None:
    """Trains; returns the name of the new set, None where nothing got better."""
    name = name or datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d-%H%M%S")
    if not NAME.fullmatch(name) or name == SHIPPED:
        raise CliError(f"A set cannot be called {name!r}.", "Take small letters, digits and hyphens.", exit_code=EXIT_USAGE)
    if name in overlays.names():
        raise CliError(
            f"There are models called {name} already.", "Name others, or `ragmesh train --discard`.", exit_code=EXIT_USAGE
        )
    for path, right in [(documents, documents.is_dir()), *((file, file.is_file()) for file in questions)]:
        if not right:
            raise CliError(f"{path} is not there.", "Name a folder of documents, and files of questions.", exit_code=EXIT_USAGE)
    if not TRAINING_PYTHON.is_file():
        raise CliError("What training needs (torch) is not installed.", "`make setup-train` installs it, several GB.")
    overlays.folder.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".new-", dir=overlays.folder))
    try:
        _run_training(documents, questions, draft)
        report = json.loads((draft / "adapted.json").read_text(encoding="utf-8"))
        _print(report)
        _journal(overlays.folder, name, documents, report)
        if not report["files"]:
            out.print("No model got better for certain: they stay as they are.")
            return None
        draft.rename(overlays.folder / name)
        return name
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _run_training(documents: Path, questions: list[Path], draft: Path) -> None:
    argv = [str(TRAINING_PYTHON), "-m", "training.adapt", "--documents", str(documents.resolve()), "--out", str(draft)]
    if questions:
        argv += ["--questions", *(str(file.resolve()) for file in questions)]
    child = subprocess.Popen(argv, cwd=REPOSITORY, stdout=sys.stderr, stdin=subprocess.DEVNULL)
    try:
        status = child.wait()
    except BaseException:
        child.terminate()
        child.wait()
        raise
    if status:
        remedy = "Its last line above says why."
        raise CliError(
            f"The training ended with status {status}.", remedy, exit_code=EXIT_USAGE if status == EXIT_USAGE else EXIT_FAILED
        )


def _print(report: dict[str, Any]) -> None:
    asked = report["questions"]
    out.print(
        f"{report['documents']} documents, {report['held_out_documents']} of them held out. {asked['train']} questions to learn "
        f"from, {asked['test']} about held-out documents to check with, {report['written_questions']} written by people. "
        f"{report['seconds']:.0f} s."
    )
    table = Table("On held-out documents", "Before", "After", box=None)
    for measure, row in report["measures"].items():
        table.add_row(measure.replace("_", " "), f"{row['before']:.1%}", f"{row['after']:.1%}")
    out.print(table)
    models = Table("Model", "By", "Before", "After", "Change, 95 %", "", box=None)
    for row in report["models"]:
        span = f"{row['low']:+.1%} to {row['high']:+.1%}"
        verdict = "promoted" if row["promoted"] else "stays"
        models.add_row(row["model"], row["measure"].replace("_", " "), f"{row['before']:.1%}", f"{row['after']:.1%}", span, verdict)
    out.print(models)


def _journal(folder: Path, name: str, documents: Path, report: dict[str, Any]) -> None:
    """Every run leaves its figures, whether it promoted anything or not."""
    reports = folder / "reports"
    reports.mkdir(exist_ok=True)
    (reports / f"{name}.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    lines = [f"## {name}", "", f"{report['documents']} documents of {documents}, {report['seconds']:.0f} s.", ""]
    lines += ["| model | measure | before | after | change, 95 % | promoted |", "|---|---|---|---|---|---|"]
    for row in report["models"]:
        figures = f"{row['before']:.4f} | {row['after']:.4f} | {row['low']:+.4f} to {row['high']:+.4f}"
        lines.append(f"| {row['model']} | {row['measure']} | {figures} | {'yes' if row['promoted'] else 'no'} |")
    with (folder / "JOURNAL.md").open("a", encoding="utf-8") as file:
        file.write("\n".join([*lines, "", ""]))


def _serve_new(folders: run_state.VarLayout, overlays: Overlays, name: str) -> None:
    if run_state.read_state(folders) is not None:
        out.print(f"The new models are called {name}. A mesh runs: stop it, then `ragmesh train --use {name}`.", markup=False)
        return
    _serve(folders, overlays, name)
    out.print(
        f"The new models, {name}, are served from the next start on; `ragmesh train --use {SHIPPED}` goes back.", markup=False
    )


def _serve(folders: run_state.VarLayout, overlays: Overlays, name: str | None) -> None:
    """Makes a set the one that is served; where that changes the embedder, what is stored is embedded anew.

    Raises:
        CliError: a mesh runs, the set does not fit, or embedding failed; then what was served before still is.
    """
    before = overlays.active()
    with run_state.held_lock(folders):
        if name is not None and (reason := overlays.unfit(name)):
            raise CliError(f"The adapted models {name} do not fit: {reason}.", "Run `ragmesh train` again.", exit_code=EXIT_USAGE)
        overlays.activate(name)
    if not overlays.changes(before, name, EMBEDDER) or not has_documents(folders):
        return
    err.print("The embedder changed: embedding the stored documents anew.")
    try:
        asyncio.run(reindex(folders))
    except BaseException:
        overlays.activate(before)
        raise
