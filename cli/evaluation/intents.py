"""`ragmesh eval intents`: learns intents from one file of examples, and measures on another what is understood and what refused.

Knows the row format and the counts; the learning is `services.guard.understanding.classifier`, as the guard learns at load.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import AliasChoices, Field

from cli.errors import EXIT_USAGE, CliError
from cli.evaluation.guard import wilson
from cli.evaluation.rows import Row
from services.guard.understanding.classifier import OUT_OF_SCOPE, IntentClassifier, IntentError
from services.guard.understanding.words import WordVectors

_OUTSIDE = {"oos", "ood", "out_of_scope", "out-of-scope", "none"}
_QUESTION = "question"
_WARM_UP = 20


class IntentRow(Row):
    """A text and what it is for."""

    text: Annotated[str, Field(min_length=1, max_length=8 * 1024)]
    intent: Annotated[str, Field(min_length=1, max_length=128, validation_alias=AliasChoices("intent", "label"))]

    @property
    def wanted(self) -> str:
        """Its intent, or OUT_OF_SCOPE under any of its usual names."""
        return OUT_OF_SCOPE if self.intent.lower() in _OUTSIDE else self.intent


@dataclass(frozen=True)
class Share:
    """How many of some rows came out right."""

    n: int
    right: int
    rate: float | None
    low: float | None
    """Wilson's 95 % interval."""
    high: float | None

    @classmethod
    def of(cls, right: int, n: int) -> Share:
        return cls(n, right, right / n, *wilson(right, n)) if n else cls(0, 0, None, None, None)


@dataclass(frozen=True)
class IntentRun:
    """The figures of a file."""

    threshold: float
    intents: int
    in_scope: Share
    """Rows whose intent was named; a row that was refused counts as wrong."""
    in_scope_unrefused: Share
    """The same without a threshold: whether the likeliest intent is the right one."""
    out_of_scope: Share
    """Rows out of scope that were refused."""
    auroc: float | None
    """Of the surest probability, in scope over out of scope."""
    us_p50: float
    us_p99: float
    train_seconds: float
    by_intent: dict[str, Share]


def run_intents(train: Sequence[IntentRow], rows: Sequence[IntentRow], save: Path | None = None) -> IntentRun:
    """Learns, then understands each row and times it.

    Args:
        save: where the weights are kept.

    Raises:
        CliError: nothing can be learnt from the examples.
    """
    began = time.perf_counter()
    try:
        # Where to ask is an intent of its own, questions about anything belong to it.
        apart = all(row.intent != _QUESTION for row in train)
        classifier = IntentClassifier.learn([(row.text, row.wanted) for row in train], WordVectors.load(), apart=apart)
    except IntentError as error:
        raise CliError(f"The examples cannot be learnt from: {error}.", exit_code=EXIT_USAGE) from error
    seconds = time.perf_counter() - began
    if save is not None:
        classifier.save(save)
    for row in rows[:_WARM_UP]:
        classifier.understand(row.text)
    found, times = [], []
    for row in rows:
        start = time.perf_counter_ns()
        found.append(classifier.understand(row.text))
        times.append((time.perf_counter_ns() - start) / 1_000)
    pairs = list(zip(rows, found, strict=True))
    inside = [(row.wanted, one) for row, one in pairs if row.wanted != OUT_OF_SCOPE]
    outside = [one for row, one in pairs if row.wanted == OUT_OF_SCOPE]
    total, right = Counter(wanted for wanted, _ in inside), Counter(wanted for wanted, one in inside if one.intent == wanted)
    auroc = None
    if inside and outside:
        low = np.sort([one.probability for one in outside])
        auroc = float(np.mean([np.searchsorted(low, one.probability) / len(low) for _, one in inside]))
    p50, p99 = (float(np.percentile(times, share, method="inverted_cdf")) for share in (50, 99)) if times else (0.0, 0.0)
    return IntentRun(
        classifier.threshold,
        sum(label != OUT_OF_SCOPE for label in classifier.labels),
        Share.of(right.total(), len(inside)),
        Share.of(sum(one.nearest == wanted for wanted, one in inside), len(inside)),
        Share.of(sum(one.intent == OUT_OF_SCOPE for one in outside), len(outside)),
        auroc,
        p50,
        p99,
        seconds,
        {intent: Share.of(right[intent], n) for intent, n in sorted(total.items())},
    )


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _short(item) for name, item in value.items()}
    return round(value, 6) if isinstance(value, float) else value


def as_json(run: IntentRun) -> dict[str, Any]:
    """The document of a run."""
    found: dict[str, Any] = _short(asdict(run))
    return found
