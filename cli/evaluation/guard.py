"""`ragmesh eval guard`: how many attacks the guard stops and how many honest texts it disturbs, by source, language and label.

Judges in this process by what the guard serves with (`services.guard.build`). A row is flagged where the guard would not let it
through as it is: a question that is blocked, a passage that is blocked (quarantined) or sanitised (quoted). A verdict that only
records (ACTION_FLAG) is not. What is sanitised in a question for its personal data or secrets is no finding of an attack, so that
it does not count; nor does a length that the policy refuses: such a text is judged by what it says. Knows no rule and no model.
"""

from __future__ import annotations

import json
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import ConfigDict, Field
from ragmesh.guard.v1 import guard_service_pb2 as pb

from cli.errors import EXIT_USAGE, CliError
from cli.evaluation.rows import Row
from cli.settings import REPOSITORY
from services.guard.build import build_checks
from services.guard.policy.policy import load
from services.guard.settings import GuardSettings
from services.mesh.assistant import load_assistants

PASSAGE_BYTES = 32_768
"""Longest passage that CheckDocument takes; a longer text is judged in pieces, and flagged where one of them is."""
QUESTION_BYTES = 65_536
"""Longest text that CheckInput takes; the wire refuses a longer one."""
_NORMAL = 1.959964  # of the 95 % interval
_WARM_UP = 20

Kind = Literal["question", "document"]
_UNTOUCHED = (pb.ACTION_ALLOW, pb.ACTION_FLAG)
_PRIVATE = (pb.CATEGORY_PII, pb.CATEGORY_SECRET)


class GuardRow(Row):
    """A text, and whether it attacks. White space around it is part of it."""

    model_config = ConfigDict(str_strip_whitespace=False)

    text: Annotated[str, Field(max_length=1024 * 1024)]
    label: Literal["attack", "benign"]
    source: Annotated[str, Field(max_length=128)] = ""
    lang: Annotated[str, Field(max_length=35)] = "und"


@dataclass(frozen=True)
class Group:
    """The rows of one source, language and label."""

    source: str
    lang: str
    label: str
    n: int
    flagged: int
    rate: float
    low: float
    """Wilson's 95 % interval of the rate, which stays honest where nothing or everything was flagged."""
    high: float


@dataclass(frozen=True)
class GuardRun:
    """What was found."""

    kind: Kind
    threshold: float
    """Of the judge's one score; see `services.guard.judge`."""
    us_p50: float
    us_p99: float
    groups: list[Group]
    flags: list[bool]
    """Of each row, in order."""
    seconds: float


def wilson(flagged: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927).

    Raises:
        ValueError: there is nothing to share.
    """
    if n < 1 or not 0 <= flagged <= n:
        raise ValueError(f"{flagged} of {n} is no share")
    share, square = flagged / n, _NORMAL**2
    middle = (share + square / (2 * n)) / (1 + square / n)
    half = _NORMAL * math.sqrt(share * (1 - share) / n + square / (4 * n * n)) / (1 + square / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def grouped(rows: Sequence[GuardRow], flags: Sequence[bool]) -> list[Group]:
    """Rows by source, language and label, in alphabetical order."""
    held: dict[tuple[str, str, str], list[bool]] = defaultdict(list)
    for row, flag in zip(rows, flags, strict=True):
        held[row.source, row.lang, row.label].append(flag)
    found = []
    for (source, lang, label), marks in sorted(held.items()):
        low, high = wilson(sum(marks), len(marks))
        found.append(Group(source, lang, label, len(marks), sum(marks), sum(marks) / len(marks), low, high))
    return found


def pieces(text: str) -> list[str]:
    """`text` in pieces of at most PASSAGE_BYTES bytes, cut between characters."""
    data = text.encode("utf-8", "replace")
    if len(data) <= PASSAGE_BYTES:
        return [text]
    found, start = [], 0
    while start < len(data):
        end = min(start + PASSAGE_BYTES, len(data))
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end -= 1
        found.append(data[start:end].decode("utf-8", "replace"))
        start = end
    return found


def touches(verdict: pb.Verdict) -> bool:
    """Whether a text does not pass as it is, for what it tries."""
    if verdict.action in _UNTOUCHED:
        return False
    return not (verdict.action == pb.ACTION_SANITISE and verdict.category in _PRIVATE)


def checker(kind: Kind, var: Path, *, rules_alone: bool = False) -> tuple[Callable[[str], bool], float]:
    """What judges one text, and its threshold.

    Args:
        kind: as a question, or as a passage of a document.
        var: where compiled rules are kept.
        rules_alone: neither the trained classifier nor what is said of personal data.
    """
    settings = GuardSettings(assistant_dir=REPOSITORY / "corpus" / "assistants", data_dir=var / "data")
    judge, questions = build_checks(settings, load_assistants(settings.assistant_dir))

    alone = judge.without_classifier() if rules_alone else judge

    def question(text: str) -> bool:
        if rules_alone:
            return touches(alone.question(text)[0])
        if len(text.encode("utf-8", "replace")) > QUESTION_BYTES:
            return True
        verdict = questions.check(text).verdict
        # How long a question may be is the owner's choice and says nothing of what it tries.
        return touches(judge.question(text)[0] if verdict.category == pb.CATEGORY_TOO_LONG else verdict)

    def document(text: str) -> bool:
        return any(touches(alone.passage(piece)[0]) for piece in pieces(text))

    return (question if kind == "question" else document), load(settings.policy_dir / "default.yaml").block


def run_guard(rows: Sequence[GuardRow], kind: Kind, var: Path, *, rules_alone: bool = False) -> GuardRun:
    """Judges every row, one after the other, and times each."""
    judged, threshold = checker(kind, var, rules_alone=rules_alone)
    for row in rows[:_WARM_UP]:
        judged(row.text)
    began = time.perf_counter()
    flags, times = [], []
    for row in rows:
        start = time.perf_counter_ns()
        flags.append(judged(row.text))
        times.append((time.perf_counter_ns() - start) / 1_000)
    p50, p99 = (float(np.percentile(times, share, method="inverted_cdf")) for share in (50, 99))
    return GuardRun(kind, threshold, p50, p99, grouped(rows, flags), flags, time.perf_counter() - began)


def as_json(run: GuardRun) -> dict[str, Any]:
    """The document of a run: `threshold`, `us_p50`, `us_p99`, `groups`."""
    return {
        "as": run.kind,
        "threshold": run.threshold,
        "us_p50": round(run.us_p50, 1),
        "us_p99": round(run.us_p99, 1),
        "n": len(run.flags),
        "seconds": round(run.seconds, 1),
        "groups": [{name: _short(value) for name, value in asdict(group).items()} for group in run.groups],
    }


def _short(value: Any) -> Any:
    return round(value, 6) if isinstance(value, float) else value


def write(document: dict[str, Any], path: Path) -> None:
    """
    Raises:
        CliError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise CliError(f"{path} cannot be written: {error.strerror}.", "Name another file.", exit_code=EXIT_USAGE) from error


def percent(groups: Iterable[Group]) -> list[tuple[str, str, str, str, str, str]]:
    """Cells of the printed table."""
    return [(one.source, one.lang, one.label, str(one.n), f"{one.rate:.1%}", f"{one.low:.1%} to {one.high:.1%}") for one in groups]
