"""`make bench`: measure, print, and write bench/RESULTS.md and bench/results.json.

Knows what was asked for beside what is measured; not how it is measured.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import platform
from pathlib import Path
from typing import Any

from bench.sections import carried
from bench.turns import run

FOLDER = Path(__file__).resolve().parent


def _machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown CPU")
    python = platform.python_version()
    return f"{os.cpu_count()} cores of {model}, Python {python}, load average {os.getloadavg()[0]:.1f} at the end"


def rows(figures: dict[str, Any]) -> list[tuple[str, str, str]]:
    """What was measured, the figure, and the figure asked for."""
    one, many, mesh, idle = (figures[name] for name in ("one_stream", "many_streams", "mesh", "idle_memory"))
    loaded = figures["memory_after_load"]
    return [
        ("time to first released text, p50, one stream", f"{one['first_text_p50_ms']:.0f} ms", "<= 350 ms"),
        ("time to first released text, p95, one stream", f"{one['first_text_p95_ms']:.0f} ms", "<= 600 ms"),
        ("whole turn, p50, one stream", f"{one['turn_p50_ms']:.0f} ms", ""),
        ("what the mesh adds to a turn, p50", f"{mesh['mesh_adds_p50_ms']:.1f} ms of {mesh['root_p50_ms']:.1f} ms", "<= 10 ms"),
        (f"{many['streams']} streams at once: turns that failed", f"{many['errors']} of {many['n']}", "0"),
        (f"{many['streams']} streams at once: turns a second", f"{many['turns_per_second']:.0f}", ""),
        (f"{many['streams']} streams at once: first released text, p50", f"{many['first_text_p50_ms']:.0f} ms", ""),
        ("idle memory of everything (sum of PSS)", f"{idle['total_mib']:.0f} MiB", "<= 1,536 MiB"),
        ("the same after the load above", f"{loaded['total_mib']:.0f} MiB", ""),
        ("first start on an empty folder, with the sample corpus", f"{figures['first_start_s']:.1f} s", "<= 60 s"),
        ("second start", f"{figures['second_start_s']:.1f} s", "<= 10 s"),
    ]


def quality_rows(goldens: dict[str, dict[str, float | None]]) -> str:
    """A row a kind of golden question: count, and the share of each mark."""

    def share(value: float | None) -> str:
        return "" if value is None else f"{value:.1%}"

    marks = ("right_outcome", "shows_answer", "shows_quote", "cites_document")
    rows = []
    for kind, shares in goldens.items():
        cells = [kind.replace("_", " "), f"{shares['count']:.0f}", *(share(shares[mark]) for mark in marks)]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def report(figures: dict[str, Any]) -> str:
    """The figures as a page."""
    table = "\n".join(f"| {what} | {figure} | {asked} |" for what, figure, asked in rows(figures))
    return f"""# What was measured

`make bench` writes this page; every figure is from one run on one machine, the mesh and whoever asks it sharing its cores.
{dt.date.today().isoformat()}, {_machine()}.

| what | figure | asked |
|---|---|---|
{table}

The questions are the {figures["one_stream"]["n"]} answerable golden questions of the sample corpus, over gRPC through Envoy.
Percentiles are nearest rank. *What the mesh adds* is Envoy's span of a turn less the union of the spans of calls to
Triton and of the stores, from traces of every turn. Memory is the proportional set size of all processes, Triton and
Envoy included.

## How good the answers are

The golden questions (`goldens/`), judged as `ragmesh eval goldens` judges them. They were never trained on; the weight of the
dense leg in the fusion and the phrases of small talk were chosen with them in sight, and some of them accept other true sentences
of the corpus too (`also`), which were written after it was seen what is shown: these figures flatter.

| kind | questions | right outcome | shows the answer | shows the very sentence | cites the document |
|---|---|---|---|---|---|
{quality_rows(figures["goldens"])}

Each model's own figures on held-out data are in its card in `deploy/triton/model_repository`.
"""


def main() -> None:
    """Measure and write down."""
    figures = asyncio.run(run())
    # What other commands measured stays as it is.
    kept = {**json.loads((FOLDER / "results.json").read_text()), **figures}
    (FOLDER / "results.json").write_text(json.dumps(kept, indent=2) + "\n")
    page = carried((FOLDER / "RESULTS.md").read_text(), report(figures))
    (FOLDER / "RESULTS.md").write_text(page)
    print(page)


if __name__ == "__main__":
    main()
