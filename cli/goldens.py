"""Golden questions and how a turn is judged by them. Pure: asks nothing, prints nothing."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ragmesh.evidence.v1 import text_pb2
from ragmesh.gateway.v1 import turn_pb2 as pb

from cli.errors import EXIT_USAGE, CliError
from cli.evaluation.run import SYSTEM, EvalRun, Item

_INTENTS = {
    "greeting": text_pb2.INTENT_GREETING,
    "thanks": text_pb2.INTENT_THANKS,
    "goodbye": text_pb2.INTENT_GOODBYE,
    "who_are_you": text_pb2.INTENT_IDENTITY,
    "capabilities": text_pb2.INTENT_CAPABILITIES,
    "how_are_you": text_pb2.INTENT_WELLBEING,
}
_ANSWERS = (pb.OUTCOME_ANSWERED, pb.OUTCOME_PARTIAL)


class Accepted(BaseModel):
    """Another sentence of the corpus that answers a golden question as rightly as its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    document: Annotated[str, Field(min_length=1)]
    quote: Annotated[str, Field(min_length=1)]
    answers: Annotated[tuple[str, ...], Field(min_length=1)]
    why: Annotated[str, Field(min_length=1)]


class Golden(BaseModel):
    """One golden question; see goldens/README.md."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    kind: Literal["answerable", "unanswerable", "small_talk"]
    question: Annotated[str, Field(min_length=1)]
    answers: tuple[str, ...]
    document: str = ""
    quote: str = ""
    why: str = ""
    template: str = ""
    also: tuple[Accepted, ...] = ()

    def accepted_answers(self) -> set[str]:
        """Its own and those of the other sentences."""
        return {*self.answers, *(answer for one in self.also for answer in one.answers)}

    def accepted_quotes(self) -> set[str]:
        """Its own sentence and the others."""
        return {self.quote, *(one.quote for one in self.also)}

    def accepted_documents(self) -> set[str]:
        """Its own document and those of the other sentences."""
        return {self.document, *(one.document for one in self.also)}


@dataclass(frozen=True)
class Judgement:
    """What a turn was worth. A mark that does not apply is None."""

    golden: Golden
    outcome: str
    right_outcome: bool
    """Answered what can be answered, abstained from what cannot, recognised small talk."""
    shows_answer: bool | None = None
    """The released text holds an accepted answer."""
    shows_quote: bool | None = None
    """The released text holds an accepted sentence itself."""
    cites_document: bool | None = None
    """A claim cites an accepted document."""
    first_text_seconds: float | None = None
    total_seconds: float = 0.0


def read_goldens(paths: Iterable[Path]) -> list[Golden]:
    """All questions of some files, in order.

    Raises:
        CliError: a file cannot be read, a line is no golden question, or there is none at all.
    """
    found: list[Golden] = []
    for path in paths:
        try:
            lines = path.read_text(encoding="utf8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise CliError(f"{path} cannot be read.", "Name a .jsonl file; see goldens/README.md.", exit_code=EXIT_USAGE) from error
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    found.append(Golden.model_validate_json(line))
                except ValidationError as error:
                    first = error.errors()[0]
                    where = f"{path}:{number}: {'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
                    raise CliError(where, "See goldens/README.md.", exit_code=EXIT_USAGE) from error
    if not found:
        raise CliError("There are no golden questions.", "Name a .jsonl file; see goldens/README.md.", exit_code=EXIT_USAGE)
    return found


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def judge(golden: Golden, turn: pb.Turn, first_text: float | None, total: float) -> Judgement:
    """Judges the fold of a turn."""
    outcome = turn.finished.outcome
    name = pb.Outcome.Name(outcome).removeprefix("OUTCOME_")
    if golden.kind == "unanswerable":
        return Judgement(golden, name, outcome == pb.OUTCOME_ABSTAINED, first_text_seconds=first_text, total_seconds=total)
    if golden.kind == "small_talk":
        wanted = _INTENTS.get(golden.template)
        right = outcome == pb.OUTCOME_ANSWERED and turn.understood.intent == wanted
        return Judgement(golden, name, right, first_text_seconds=first_text, total_seconds=total)
    text = _plain(turn.text)
    cited = {ref.evidence for claim in turn.claims for ref in claim.refs}
    sources = {found.source_uri for found in turn.evidence if found.name in cited}
    return Judgement(
        golden,
        name,
        right_outcome=outcome in _ANSWERS,
        shows_answer=outcome in _ANSWERS and any(_plain(answer) in text for answer in golden.accepted_answers()),
        shows_quote=any(_plain(quote) in text for quote in golden.accepted_quotes()),
        cites_document=any(
            source == name or source.endswith(f"/{name}") for source in sources for name in golden.accepted_documents()
        ),
        first_text_seconds=first_text,
        total_seconds=total,
    )


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest-rank percentile; NaN of nothing."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def _share(marks: Iterable[bool | None]) -> float | None:
    known = [mark for mark in marks if mark is not None]
    return sum(known) / len(known) if known else None


def summary(judgements: Sequence[Judgement]) -> dict[str, dict[str, float | int | None]]:
    """Kind of question -> count and share of each mark; under `latency` the times of all, in seconds."""
    table: dict[str, dict[str, float | int | None]] = {}
    for kind in ("answerable", "unanswerable", "small_talk"):
        rows = [judgement for judgement in judgements if judgement.golden.kind == kind]
        if rows:
            table[kind] = {
                "count": len(rows),
                "right_outcome": _share(row.right_outcome for row in rows),
                "shows_answer": _share(row.shows_answer for row in rows),
                "shows_quote": _share(row.shows_quote for row in rows),
                "cites_document": _share(row.cites_document for row in rows),
            }
    first = [row.first_text_seconds for row in judgements if row.first_text_seconds is not None]
    total = [row.total_seconds for row in judgements]
    times = {"first_text": first, "total": total}
    table["latency"] = {f"{name}_p{share}": percentile(values, share / 100) for name, values in times.items() for share in (50, 95)}
    return table


def golden_files(folder: Path) -> list[Path]:
    """The files of golden questions in a folder."""
    return sorted(folder.glob("*.jsonl"))


_FIGURES = {
    "answerable": {
        "answered": "right_outcome",
        "shows_answer": "shows_answer",
        "shows_quote": "shows_quote",
        "cites_document": "cites_document",
    },
    "unanswerable": {"abstained": "right_outcome"},
    "small_talk": {"small_talk": "right_outcome"},
}
"""Kind of question -> figure -> mark."""


def golden_run(judgements: Sequence[Judgement], config: dict[str, Any], models: list[dict[str, Any]], seconds: float) -> EvalRun:
    """A run that can be kept and compared."""
    items = []
    for row in judgements:
        marks = {figure: getattr(row, name) for figure, name in _FIGURES[row.golden.kind].items()}
        numbers = {figure: None if value is None else float(value) for figure, value in marks.items()}
        items.append(Item(row.golden.id, {SYSTEM: numbers}, {"kind": row.golden.kind, "outcome": row.outcome}))
    return EvalRun("goldens", (SYSTEM,), config, models, items, seconds, extra=_extra(judgements))


def _extra(judgements: Sequence[Judgement]) -> dict[str, Any]:
    """Summary and every judgement, for a file."""
    rows = [
        {
            "id": row.golden.id,
            "kind": row.golden.kind,
            "outcome": row.outcome,
            "right_outcome": row.right_outcome,
            "shows_answer": row.shows_answer,
            "shows_quote": row.shows_quote,
            "cites_document": row.cites_document,
            "first_text_seconds": row.first_text_seconds,
            "total_seconds": row.total_seconds,
        }
        for row in judgements
    ]
    return {"summary": summary(judgements), "questions": rows}
