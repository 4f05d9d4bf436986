"""The section of RESULTS.md about claims beside their evidence: what the check of drafts verifies, marks and withholds.

    python -m training.output_claims DATA claims.jsonl
    python -m bench.guard_claims --claims claims.jsonl [--print]

judges the `test` halves of tests/data/guard/output/pairs.jsonl and of claims of people (FEVER, Fool Me Twice: not committed, not
trained on), one composed claim each, through the shipped verifier in this process. No threshold was chosen on them. Beside the
shipped thresholds it shows what others would do. Knows no method and no model.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.sections import replaced
from cli.evaluation.guard import wilson
from cli.evaluation.output import InProcess, Judged, OutputRow, OutputRun, checker, figures
from cli.evaluation.rows import read_rows
from services.guard.output.thresholds import Thresholds, shipped

RESULTS = Path(__file__).with_name("RESULTS.md")
PAIRS = Path(__file__).resolve().parents[1] / "tests" / "data" / "guard" / "output" / "pairs.jsonl"
NAME = "guard claims"
SOURCES = {"own": "own answers, a fact changed", "fever": "FEVER", "foolmetwice": "Fool Me Twice"}
SUPPORTED = (0.1, 0.2, 0.3, 0.45, 0.6)
CONTRADICTED = (0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class Claims:
    """What became of the claims of one source that are right, or wrong."""

    n: int
    verified: int
    withheld: int

    @property
    def marked(self) -> int:
        """Shown as not verified, where the policy lets such out; else a copy takes their place."""
        return self.n - self.verified - self.withheld


def source_of(row: OutputRow) -> str:
    """A key of SOURCES."""
    return row.kind if row.kind in SOURCES else "own"


def counted(rows: Sequence[OutputRow], judged: Sequence[Judged]) -> dict[tuple[str, bool], Claims]:
    """By source, and whether the claims are right."""
    found = {}
    for source in SOURCES:
        for right in (True, False):
            own = [
                one for row, one in zip(rows, judged, strict=True) if (source_of(row), row.label == "faithful") == (source, right)
            ]
            if own:
                found[source, right] = Claims(len(own), sum(one.verified for one in own), sum(one.held_back for one in own))
    return found


def _share(count: int, n: int) -> str:
    low, high = wilson(count, n)
    return f"{count / n:.1%} ({low:.1%} to {high:.1%})"


def _shipped_table(found: dict[tuple[str, bool], Claims]) -> Iterator[str]:
    yield "| claims | they are | n | shown as verified | marked or replaced | withheld |"
    yield "|---|---|---|---|---|---|"
    for (source, right), one in found.items():
        cells = (_share(one.verified, one.n), _share(one.marked, one.n), _share(one.withheld, one.n))
        yield f"| {SOURCES[source]} | {'right' if right else 'wrong'} | {one.n} | {' | '.join(cells)} |"


def _others(title: str, tried: dict[float, dict[tuple[str, bool], Claims]], *, withheld: bool) -> Iterator[str]:
    sources = [source for source in SOURCES if any((source, True) in found for found in tried.values())]
    yield f"| {title} | {' | '.join(f'{SOURCES[source]}: right | wrong' for source in sources)} |"
    yield "|---|" + "---|---|" * len(sources)
    for value, found in tried.items():
        cells = []
        for source in sources:
            for one in (found[source, True], found[source, False]):
                cells.append(f"{(one.withheld if withheld else one.n - one.verified) / one.n:.1%}")
        yield f"| {value:g} | {' | '.join(cells)} |"


def section(rows: Sequence[OutputRow], var: Path) -> str:
    """What is measured, as Markdown."""
    client = InProcess()

    def judged(thresholds: Thresholds) -> list[Judged]:
        one = checker(var, client, thresholds)
        return [one(row) for row in rows]

    at = shipped()
    now = judged(at)
    ms = client.seconds / client.claims * 1e3
    told = figures(OutputRun([row for row in rows if source_of(row) == "own"],
                             [one for row, one in zip(rows, now, strict=True) if source_of(row) == "own"], None, None))  # fmt: skip
    against = {value: counted(rows, judged(Thresholds(at.supported, value))) for value in CONTRADICTED}
    held = {value: counted(rows, judged(Thresholds(value, at.contradicted))) for value in SUPPORTED}
    lines = [
        "## Claims beside their evidence",
        "",
        "`python -m bench.guard_claims`, test halves: one claim a draft, composed, citing its evidence, through the shipped",
        f"verifier. Supported from {at.supported:g}, contradicted from {at.contradicted:g}: fitted on the other halves, the second",
        "so that the verifier withholds at most 5 % of the right claims of each source that it is asked about. Withheld are also",
        "claims with a fact (number, date, unit, address) that the evidence lacks.",
        f"A claim takes {ms:.1f} ms of the processor in batches of one draft (asked: 5 ms).",
        f"Own answers: AUROC of the confidence {told['auroc'] or 0:.3f}, its expected calibration error {told['ece'] or 0:.3f}.",
        "Intervals are Wilson's, 95 %.",
        "",
        *_shipped_table(counted(rows, now)),
        "",
        "Withheld, by the probability from which a claim counts as contradicted:",
        "",
        *_others("contradicted from", against, withheld=True),
        "",
        "Not shown as verified (marked, replaced or withheld), by the probability from which a claim counts as supported:",
        "",
        *_others("supported from", held, withheld=False),
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, and write the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--claims", type=Path, help="what training.output_claims wrote")
    parser.add_argument("--print", action="store_true", help="print the section, do not write it")
    asked = parser.parse_args()
    rows = [row for path in (PAIRS, asked.claims) if path is not None for row in read_rows(path, OutputRow)]
    rows = [row for row in rows if row.half == "test" and row.label in ("faithful", "corrupted")]
    with tempfile.TemporaryDirectory(prefix="ragmesh-") as var:
        text = section(rows, Path(var))
    if asked.print:
        print(text)
    else:
        RESULTS.write_text(replaced(RESULTS.read_text(encoding="utf-8"), NAME, text), encoding="utf-8")


if __name__ == "__main__":
    main()
