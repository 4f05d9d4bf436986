"""One text before the guard, for a person who wants to know why: by the guard that runs here, or by the same checks here.

Knows the guard's contract and its checks; prints what it is told as a table.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import grpc
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from ragmesh.evidence.v1.text_pb2 import ROLE_USER, Intent, Utterance
from ragmesh.guard.v1 import guard_service_pb2 as pb
from ragmesh.guard.v1.guard_service_pb2_grpc import GuardServiceStub
from ragmesh.identity.v1.principal_pb2 import Principal
from rich.markup import escape
from rich.table import Table

from cli.console import out
from cli.errors import EXIT_USAGE, CliError
from cli.settings import REPOSITORY
from services.guard import documents, explain
from services.guard.checks import CheckBuilder, Checks
from services.guard.detection.rules import Target
from services.guard.policy import PolicyStore
from services.guard.policy.policy import load
from services.guard.settings import GuardSettings
from services.guard.understanding.intent_model import Here
from services.mesh import context
from services.mesh.assistant import load_assistants
from services.mesh.channel import open_channel
from services.mesh.errors import from_rpc_error
from services.mesh.settings import MeshSettings

if TYPE_CHECKING:
    from ragmesh.guard.v1.guard_service_pb2_grpc import GuardServiceAsyncStub

Kind = Literal["question", "document"]

_LOCAL = Principal(tenant="default", subject="users/local", roles=["visitor", "editor"])
_SECONDS = 5.0
_EXCERPT = 96
_COLOURS = {"allow": "green", "flag": "yellow", "sanitise": "yellow", "block": "red"}


@dataclass(frozen=True, slots=True)
class Judged:
    """What was concluded about a text."""

    verdict: pb.Verdict
    explanation: pb.Explanation | None
    """None where the guard that runs was asked about a passage: it explains questions only."""
    understood: pb.CheckInputResponse | None
    """Of a question: what else the guard made of it."""
    by: str

    @property
    def blocked(self) -> bool:
        """Whether the text does not pass."""
        return self.verdict.action == pb.ACTION_BLOCK

    def as_json(self) -> dict[str, Any]:
        """The document that `--json` prints."""
        found: dict[str, Any] = {"verdict": _dict(self.verdict), "judged_by": self.by}
        if self.understood is not None:
            told = _dict(self.understood)
            found |= {
                name: told[name] for name in ("normalised", "intent", "language", "pii", "degraded", "models") if name in told
            }
        if self.explanation is not None:
            found["explanation"] = _dict(self.explanation)
        return found


def _dict(message: Message) -> dict[str, Any]:
    found: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return found


def checks_here(var: Path, assistant: str, policy: Path | None) -> Checks:
    """The guard's checks, built in this process.

    Args:
        var: compiled rules are kept in its data folder.
        assistant: whose policy counts.
        policy: a policy file to try instead.

    Raises:
        CliError: a file is wrong, or there is no such assistant.
    """
    settings = GuardSettings(assistant_dir=REPOSITORY / "corpus" / "assistants", data_dir=var / "data")
    try:
        assistants = load_assistants(settings.assistant_dir)
        builder = CheckBuilder(settings, assistants)
        if policy is not None:
            return builder(load(policy))
        return PolicyStore(settings.policy_dir, assistants, builder).built(assistant)
    except KeyError:
        raise CliError(f"There is no {assistant}.", f"There are: {', '.join(assistants)}.", exit_code=EXIT_USAGE) from None
    except ValueError as error:
        raise CliError(str(error), "Mend the file and try again.", exit_code=EXIT_USAGE) from None


def judge_here(checks: Checks, text: str, kind: Kind, history: Sequence[str]) -> Judged:
    """What the checks of this process say about `text`."""
    by = "this process, without the models of Triton"
    if kind == "document":
        verdict, seen = documents.judged(checks, text)
        explained = explain.explanation(checks.judge, checks.policy, text, verdict, seen, target=Target.DOCUMENT)
        return Judged(verdict, explained, None, by)
    found = checks.questions.check(text, history)
    here = Here(found.intent, True) if found.refused else checks.here.understand(found.normalised, found.intent)
    found = checks.questions.place(found, here.intent, history)
    explanation = explain.explanation(checks.judge, checks.policy, text, found.verdict, found.seen, (here.guess, found.guess))
    understood = pb.CheckInputResponse(normalised=found.normalised, intent=found.intent, language=found.language, pii=found.pii)
    return Judged(found.verdict, explanation, understood, by)


def judge_there(run_dir: Path, text: str, kind: Kind, history: Sequence[str], assistant: str) -> Judged:
    """What the guard whose socket lies in `run_dir` says about `text`.

    Raises:
        CliError: it refuses the call, or does not answer.
    """
    return asyncio.run(judged_there(run_dir, text, kind, history, assistant))


async def judged_there(run_dir: Path, text: str, kind: Kind, history: Sequence[str], assistant: str) -> Judged:
    """As `judge_there`, on a loop that runs."""
    by = "the guard that runs"
    settings = MeshSettings(_env_file=None, run_dir=run_dir)  # type: ignore[call-arg]  # pydantic-settings' own
    with context.as_principal(_LOCAL):
        async with open_channel(settings, "guard", caller="gateway") as channel:
            stub: GuardServiceAsyncStub = GuardServiceStub(channel)
            try:
                if kind == "document":
                    passage = pb.CheckDocumentRequest(
                        document="collections/-/documents/-", passages=[text], assistant=assistant, names=["ragmesh guard check"]
                    )
                    answer = await stub.CheckDocument(passage, timeout=_SECONDS)
                    return Judged(answer.verdicts[0], None, None, by)
                said = [Utterance(role=ROLE_USER, text=turn) for turn in history]
                question = pb.CheckInputRequest(text=text, history=said, assistant=assistant, explain=True)
                understood = await stub.CheckInput(question, timeout=_SECONDS)
            except grpc.aio.AioRpcError as failure:
                error = from_rpc_error(failure, service="guard")
                raise CliError(f"{error.message} [{error.reason}]", "`--here` judges without a running mesh.") from None
    return Judged(understood.verdict, understood.explanation, understood, by)


def show(judged: Judged, *, explained: bool) -> None:
    """Print `judged` for a person."""
    verdict = judged.verdict
    action = _word(pb.Action.Name(verdict.action))
    line = f"[bold {_COLOURS.get(action, 'red')}]{action}[/]"
    if verdict.category:
        line += f"  {_word(pb.Category.Name(verdict.category))}"
    if judged.explanation is not None:
        line += f"  score {judged.explanation.score:.2f}, blocked from {judged.explanation.threshold:.2f}"
    out.print(line)
    if judged.understood is not None:
        intent = _word(Intent.Name(judged.understood.intent))
        out.print(f"intent {intent}, language {judged.understood.language or 'und'}", markup=False)
        if verdict.HasField("sanitised"):
            out.print(f"asked as: {judged.understood.normalised}", markup=False)
    out.print(f"policy {verdict.policy_digest[:16]}, judged by {judged.by}", markup=False)
    if explained and judged.explanation is not None:
        _show_readings(judged.explanation)
        _show_intents(judged.explanation)
    hits = judged.explanation.hits if explained and judged.explanation is not None else verdict.findings
    if hits:
        _show_hits(hits)


def _show_readings(explanation: pb.Explanation) -> None:
    table = Table("view", "bytes", "text", box=None, pad_edge=False, title_justify="left", title="Readings")
    for reading in explanation.readings:
        table.add_row(escape(reading.name), str(reading.bytes), escape(_excerpt(reading.text)))
    out.print(table)


def _show_intents(explanation: pb.Explanation) -> None:
    if not explanation.intents:
        return
    table = Table("by", "intent", "nearest", "probability", "from", box=None, pad_edge=False, title_justify="left", title="Intents")
    for guess in explanation.intents:
        chances = (f"{guess.probability:.3f}", f"{guess.threshold:.3f}")
        table.add_row(*map(escape, (guess.by, guess.intent or "not sure", guess.nearest, *chances)))
    out.print(table)


def _show_hits(hits: Sequence[pb.Finding]) -> None:
    table = Table("rule or model", "category", "severity", "view", "bytes", "score", "from", box=None, pad_edge=False)
    table.title, table.title_justify = "Seen", "left"
    for hit in hits:
        table.add_row(
            escape(hit.rule or f"{hit.model.name} {hit.model.version}".strip() or "-"),
            _word(pb.Category.Name(hit.category)),
            _word(pb.Severity.Name(hit.severity)),
            escape(hit.view or "-"),
            f"{hit.range.start}-{hit.range.end}" if hit.HasField("range") else "all",
            f"{hit.score:.3f}" if hit.HasField("score") else "-",
            f"{hit.threshold:.3f}" if hit.HasField("threshold") else "-",
        )
    out.print(table)


def _excerpt(text: str) -> str:
    shown = text.encode("unicode_escape").decode() if any(not character.isprintable() for character in text) else text
    return shown if len(shown) <= _EXCERPT else f"{shown[: _EXCERPT - 1]}…"


def _word(name: str) -> str:
    return name.partition("_")[2].lower().replace("_", " ")
