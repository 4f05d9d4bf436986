"""`ragmesh eval pii`: how much of the personal data and secrets of a file of texts the guard finds, and what it takes for such.

Knows the row format and the counts; the finding is `services.guard.privacy`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import AliasChoices, ConfigDict, Field
from ragmesh.guard.v1.pii_pb2 import PiiKind

from cli.evaluation.guard import wilson
from cli.evaluation.rows import Row
from services.guard.privacy import PiiFinder

CHECKSUMMED = ("CARD", "IBAN", "NATIONAL_ID")
_WARM_UP = 20
# What the entities of Presidio's data sets are called here.
_KINDS = {
    "EMAIL_ADDRESS": "EMAIL",
    "PHONE_NUMBER": "PHONE",
    "CREDIT_CARD": "CARD",
    "IBAN_CODE": "IBAN",
    **dict.fromkeys(("US_SSN", "US_ITIN", "UK_NHS", "UK_NINO", "ES_NIF", "ES_NIE", "IT_FISCAL_CODE", "PL_PESEL"), "NATIONAL_ID"),
}
_MEASURED = {name.removeprefix("PII_KIND_") for name in PiiKind.keys()} - {"UNSPECIFIED"}  # noqa: SIM118 - an enum of protobuf, no dict


class Span(Row):
    """Where something stands in a text, in code points."""

    kind: Annotated[str, Field(max_length=64, validation_alias=AliasChoices("kind", "entity_type"))]
    start: Annotated[int, Field(ge=0, validation_alias=AliasChoices("start", "start_position"))]
    end: Annotated[int, Field(ge=0, validation_alias=AliasChoices("end", "end_position"))]


class PiiRow(Row):
    """A text, and all the personal data and secrets in it."""

    model_config = ConfigDict(str_strip_whitespace=False)

    text: Annotated[str, Field(max_length=64 * 1024, validation_alias=AliasChoices("text", "full_text"))]
    lang: Annotated[str, Field(max_length=35)] = "und"
    spans: Annotated[tuple[Span, ...], Field(max_length=1_000)] = ()


@dataclass(frozen=True)
class Kind:
    """What was found of one kind, or of several together."""

    kind: str
    wanted: int
    found: int
    right: int
    """Of the found those that overlap a wanted span of their kind."""
    exact: int
    """Of these the ones with the same two ends."""
    recalled: int
    """Of the wanted those that something found overlaps."""
    precision: float | None
    precision_low: float | None
    """Wilson's 95 % interval."""
    precision_high: float | None
    recall: float | None
    recall_low: float | None
    recall_high: float | None


@dataclass(frozen=True)
class PiiRun:
    """The figures of a file."""

    n: int
    us_p50: float
    us_p99: float
    kinds: list[Kind]
    not_measured: dict[str, int]
    """Spans of kinds that the guard does not look for: names, street addresses."""


def _share(part: int, whole: int) -> tuple[float | None, float | None, float | None]:
    return (part / whole, *wilson(part, whole)) if whole else (None, None, None)


def _kind(name: str, counts: Iterable[Counter[str]]) -> Kind:
    total: Counter[str] = sum(counts, Counter())
    wanted, found, right, recalled = (total[key] for key in ("wanted", "found", "right", "recalled"))
    return Kind(name, wanted, found, right, total["exact"], recalled, *_share(right, found), *_share(recalled, wanted))


def run_pii(rows: Sequence[PiiRow]) -> PiiRun:
    """Finds, in every row, and times each."""
    finder = PiiFinder()
    for row in rows[:_WARM_UP]:
        finder.find(row.text, row.lang)
    counts: dict[str, Counter[str]] = {name: Counter() for name in sorted(_MEASURED)}
    others: Counter[str] = Counter()
    times = []
    for row in rows:
        began = time.perf_counter_ns()
        matches = finder.find(row.text, row.lang)
        times.append((time.perf_counter_ns() - began) / 1_000)
        wanted = [(_KINDS.get(span.kind, span.kind), span.start, span.end) for span in row.spans]
        seen = [(PiiKind.Name(match.kind).removeprefix("PII_KIND_"), match.start, match.end) for match in matches]
        others.update(kind for kind, _, _ in wanted if kind not in _MEASURED)
        for kind, start, end in seen:
            right = any(kind == other and start < to and at < end for other, at, to in wanted)
            counts[kind].update(found=1, right=right, exact=(kind, start, end) in wanted)
        for kind, start, end in wanted:
            if kind in _MEASURED:
                counts[kind].update(wanted=1, recalled=any(kind == k and start < to and at < end for k, at, to in seen))
    p50, p99 = (float(np.percentile(times, share, method="inverted_cdf")) for share in (50, 99)) if times else (0.0, 0.0)
    kinds = [_kind(name, [count]) for name, count in counts.items() if count["wanted"] or count["found"]]
    kinds.append(_kind("checksummed", [counts[name] for name in CHECKSUMMED]))
    kinds.append(_kind("all", counts.values()))
    return PiiRun(len(rows), p50, p99, kinds, dict(others))


def as_json(run: PiiRun) -> dict[str, Any]:
    """The document of a run."""
    kinds = [{name: round(v, 6) if isinstance(v, float) else v for name, v in asdict(kind).items()} for kind in run.kinds]
    times = {"us_p50": round(run.us_p50, 1), "us_p99": round(run.us_p99, 1)}
    return {"n": run.n, **times, "kinds": kinds, "not_measured": run.not_measured}
