"""`ragmesh guard`: what the guard makes of a text, what it has held back, and its security log."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from google.protobuf.json_format import MessageToJson

from cli import guard_quarantine
from cli.commands.options import VAR, Var
from cli.connection import running_mesh
from cli.console import out
from cli.documents.importing import DEFAULT_COLLECTION
from cli.errors import EXIT_FAILED, EXIT_USAGE, CliError
from cli.parts.run_state import layout, read_state
from services.guard.security_files import FOLDER, SecurityReader

app = typer.Typer(no_args_is_help=True, help="Try the guard on a text, and read its security log.")

DEFAULT_ASSISTANT = "assistants/default"
MAX_QUESTION_BYTES = 65_536
MAX_PASSAGE_BYTES = 32_768
_LOOK_SECONDS = 0.3
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@app.command("check")
def check(
    text: Annotated[str, typer.Argument(help="What to judge; - reads standard input.")],
    explain: Annotated[bool, typer.Option("--explain", help="Show the readings, and what was seen below the threshold.")] = False,
    kind: Annotated[str, typer.Option("--as", help="Judge it as a question, or as a passage of a document.")] = "question",
    after: Annotated[list[str] | None, typer.Option(help="What was asked before, oldest first; may be repeated.")] = None,
    policy: Annotated[Path | None, typer.Option(help="Try a policy file. It is judged in this process.")] = None,
    here: Annotated[bool, typer.Option("--here", help="Judge in this process, even if a mesh runs.")] = False,
    assistant: Annotated[str, typer.Option(help="Whose policy counts.")] = DEFAULT_ASSISTANT,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    var: Var = VAR,
) -> None:
    """Say whether the guard lets a text pass, and why. Ends with 1 where it does not."""
    if kind not in ("question", "document"):
        raise CliError(f"There is no way to judge a text as {kind}.", "Take question or document.", exit_code=EXIT_USAGE)
    whole = sys.stdin.read() if text == "-" else text
    limit = MAX_QUESTION_BYTES if kind == "question" else MAX_PASSAGE_BYTES
    if len(whole.encode("utf-8", "surrogateescape")) > limit:
        raise CliError(f"The text is longer than {limit} bytes.", "Judge it in parts.", exit_code=EXIT_USAGE)
    whole = whole.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    # Dear to load, and of no use to the other commands.
    from cli import guard_check

    as_kind: guard_check.Kind = "document" if kind == "document" else "question"
    run_dir = None if here or policy is not None else _running(var)
    # The guard explains questions; why a passage was held back is found out here.
    if run_dir is None or (explain and as_kind == "document"):
        judged = guard_check.judge_here(guard_check.checks_here(layout(var).root, assistant, policy), whole, as_kind, after or ())
    else:
        judged = guard_check.judge_there(run_dir, whole, as_kind, after or (), assistant)
    if as_json:
        out.out(orjson.dumps(judged.as_json(), option=orjson.OPT_INDENT_2).decode(), highlight=False)
    else:
        guard_check.show(judged, explained=explain)
    if judged.blocked:
        raise typer.Exit(EXIT_FAILED)


def _running(var: Path) -> Path | None:
    """Folder of the sockets of the mesh that runs, where one does."""
    state = read_state(layout(var))
    return state.run_dir if state is not None and (state.run_dir / "guard.sock").exists() else None


@app.command("quarantine")
def quarantine(
    collection: Annotated[str, typer.Option(help="Of which documents.")] = DEFAULT_COLLECTION,
    as_json: Annotated[bool, typer.Option("--json", help="One passage a line, whole.")] = False,
    var: Var = VAR,
) -> None:
    """List the passages of documents that the guard holds back."""
    passages = asyncio.run(guard_quarantine.listed(running_mesh(var).run_dir, collection))
    if as_json:
        for passage in passages:
            out.out(MessageToJson(passage, indent=None, preserving_proto_field_name=True), highlight=False)
    elif passages:
        guard_quarantine.show(passages)
    else:
        out.print("Nothing is held back.")


@app.command("release")
def release(
    names: Annotated[list[str], typer.Argument(help="collections/{c}/documents/{d}/quarantine/{p}, as `quarantine` lists it.")],
    var: Var = VAR,
) -> None:
    """Let a passage that is held back be found, now and after each import of its document."""
    run_dir = running_mesh(var).run_dir
    for name in names:
        if asyncio.run(guard_quarantine.released(run_dir, name)):
            out.print(f"Released: {name}", markup=False)
        else:
            out.print(f"Released: {name}; import its document again.", markup=False)


@app.command("log")
def log(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is written from now on, until Ctrl-C.")] = False,
    since: Annotated[str, typer.Option(help="Only what is younger: 90s, 10m, 2h, 7d, or a time like 2026-01-31T12:00.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One entry a line, whole: an export.")] = False,
    var: Var = VAR,
) -> None:
    """Read the security log: what was blocked, flagged or redacted, by which rule, for whom."""
    reader = SecurityReader(layout(var).data_dir / FOLDER)
    earliest = begin(since, datetime.now(UTC))
    for entry in entries(reader, follow=follow):
        if str(entry.get("time", "")) >= earliest:
            out.out(orjson.dumps(entry).decode() if as_json else line(entry), highlight=False)


def entries(reader: SecurityReader, *, follow: bool) -> Iterator[dict[str, Any]]:
    """What the log holds, oldest first; with `follow` also what comes."""
    yield from reader.read()
    while follow:
        time.sleep(_LOOK_SECONDS)
        yield from reader.read()


def begin(since: str, now: datetime) -> str:
    """The time from which on entries are wanted, as entries write it; empty for all of them.

    Raises:
        CliError: `since` is no time.
    """
    if not since:
        return ""
    number, unit = since[:-1], since[-1]
    try:
        if unit in _UNITS and number.isdecimal():
            moment = now - timedelta(**{_UNITS[unit]: int(number)})
        else:
            moment = datetime.fromisoformat(since)
            moment = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise CliError(f"{since} is no time.", "Write 10m, 2h, 7d or 2026-01-31T12:00.", exit_code=EXIT_USAGE) from None
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def line(entry: dict[str, Any]) -> str:
    """An entry as one line that a person reads."""
    by = ", ".join([*entry.get("rules", []), *entry.get("models", [])][:4]) or "-"
    parts = [
        str(entry.get("time", "")),
        f"{entry.get('action', '')!s:<8}",
        f"{entry.get('kind', '')!s:<8}",
        f"{entry.get('category', '')!s:<18}",
        f"{entry.get('tenant') or '-'}:{entry.get('user') or '-'}",
        f"request {entry.get('request') or '-'}",
        by,
    ]
    if entry.get("subject"):
        parts.append(str(entry["subject"]))
    if entry.get("text"):
        parts.append(repr(str(entry["text"])[:200]))
    return "  ".join(parts)
