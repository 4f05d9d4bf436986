"""A run of an evaluation: figures, baselines, configuration, digests, and a row of marks for each item; written and read back.

`FILE.json` holds the figures under their own names, `baselines` beside them, and `run`; `FILE.items.jsonl` holds the items. Knows
no model.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.table import Table

from cli.console import err, out
from cli.errors import EXIT_USAGE, CliError
from cli.evaluation.figures import AT_THRESHOLD, KINDS, at_threshold, summarise
from cli.evaluation.rows import check_size, refused

SYSTEM = "system"
"""Name of the row of what is evaluated, where there is one such row only."""
BASELINES = {"first_sentence": "first sentence", "idf_overlap": "IDF overlap", "feature_scorer": "feature scorer"}
UNITS = "shares in percent; AUROC, MRR, nDCG and ECE from 0 to 1; times in milliseconds; null where a figure does not apply"
ITEMS_SUFFIX = ".items.jsonl"


@dataclass(frozen=True)
class Item:
    """One question, query or claim: its marks by row of the table, and what was seen, for a person."""

    id: str
    marks: dict[str, dict[str, Any]]
    seen: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class EvalRun:
    """What a run found."""

    kind: str
    rows: tuple[str, ...]
    """Rows of what is evaluated: `system`, or several configurations."""
    config: dict[str, Any]
    models: list[dict[str, Any]]
    items: list[Item]
    seconds: float
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    drawing: bytes | None = None
    """A PNG that goes with it."""
    extra: dict[str, Any] = field(default_factory=dict)
    """What stands in its file beside the figures."""

    def table(self) -> dict[str, dict[str, float | int | None]]:
        """Row -> figures, baselines last; a row that nothing was measured for holds None."""
        return {name: summarise(self.kind, marks) for name, marks in self._marks().items()}

    def at_threshold(self) -> dict[str, dict[str, float | int | None]]:
        """Row -> what the shipped thresholds make of it; empty where the kind has none, or nothing could be left unanswered."""
        found = {name: at_threshold(self.kind, marks) for name, marks in self._marks().items()}
        return found if any(value is not None for row in found.values() for value in row.values()) else {}

    def _marks(self) -> dict[str, list[dict[str, Any]]]:
        names = (*self.rows, *(name for name in BASELINES if name not in self.rows))
        return {name: [item.marks.get(name, {}) for item in self.items] for name in names}


def as_json(run: EvalRun, items_file: str) -> dict[str, Any]:
    """The document of a run."""
    table = run.table()
    measured = {name for item in run.items for name in item.marks}
    baselines = {name: table[name] if name in measured else None for name in BASELINES} if run.kind != "goldens" else {}
    figures: dict[str, Any] = dict(table[SYSTEM]) if run.rows == (SYSTEM,) else {name: table[name] for name in run.rows}
    described = {
        "kind": run.kind, "rows": run.rows, "created": run.created, "seconds": round(run.seconds, 1), "count": len(run.items),
        "units": UNITS, "config": run.config, "models": run.models, "items": items_file,
    }  # fmt: skip
    thresholds = {"at_threshold": found} if (found := run.at_threshold()) else {}
    return {**figures, "baselines": baselines, **thresholds, **run.extra, "run": described}


def keep(run: EvalRun, json_file: Path | None, var: Path) -> Path:
    """Writes the run to `json_file`, or to a new file below `{var}/evals`; its items and its drawing beside it.

    Raises:
        CliError: it cannot be written.
    """
    stamp = run.created.replace(":", "").replace("-", "").removesuffix("+0000")
    path = json_file or var / "evals" / f"{stamp}-{run.kind}.json"
    items = path.with_name(path.name.removesuffix(".json") + ITEMS_SUFFIX)
    rows = [{"id": item.id, "marks": item.marks, "seen": item.seen} for item in run.items]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        items.write_text("".join(json.dumps(_plain(row), ensure_ascii=False) + "\n" for row in rows), encoding="utf8")
        path.write_text(json.dumps(_plain(as_json(run, items.name)), indent=1, ensure_ascii=False) + "\n", encoding="utf8")
        if run.drawing is not None:
            path.with_name(path.name.removesuffix(".json") + ".png").write_bytes(run.drawing)
    except OSError as error:
        raise CliError(f"{path} cannot be written: {error.strerror}.", "Name another file.", exit_code=EXIT_USAGE) from error
    return path


def _plain(value: Any) -> Any:
    """Without NaN, which JSON does not have, and with six digits, which is more than any figure means."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return None if math.isnan(value) else float(f"{value:.6g}")
    return value


@dataclass(frozen=True)
class StoredRun:
    """A run that was read back."""

    kind: str
    rows: tuple[str, ...]
    models: list[dict[str, Any]]
    marks: dict[str, dict[str, dict[str, Any]]]
    """Row -> id of an item -> marks."""


def read_run(path: Path) -> StoredRun:
    """
    Raises:
        CliError: it is no run, or its items lack.
    """
    check_size(path)
    try:
        described = json.loads(path.read_bytes())["run"]
        kind, names, models = described["kind"], tuple(described["rows"]), described["models"]
        items = path.with_name(Path(described["items"]).name)
        if kind not in KINDS:
            raise ValueError(kind)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise refused(path, " is no run of `ragmesh eval`.") from error
    check_size(items)
    marks: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in names}
    with items.open(encoding="utf8") as file:
        for number, line in enumerate(file, 1):
            try:
                row = json.loads(line)
                for name in names:
                    marks[name][row["id"]] = row["marks"].get(name, {})
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise refused(items, f":{number} is no item of a run.") from error
    return StoredRun(kind, names, models, marks)


def show(run: EvalRun, path: Path) -> None:
    """The table, and where everything else is."""
    rows = {name: row for name, row in run.table().items() if any(name in item.marks for item in run.items)}
    table = Table("", *(BASELINES.get(name, name if name != SYSTEM else "as served") for name in rows), box=None)
    for figure in KINDS[run.kind]:
        table.add_row(figure.name, *(_cell(row[figure.name]) for row in rows.values()))
    if found := run.at_threshold():
        table.add_section()
        table.add_row("at threshold:")
        for figure in AT_THRESHOLD[run.kind]:
            table.add_row(f"  {figure.name}", *(_cell(found[name][figure.name]) for name in rows))
    out.print(table)
    err.print(f"{len(run.items)} items in {run.seconds:.0f} s; kept in {path}", markup=False)


def _cell(value: float | int | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.3f}" if abs(value) < 1 else f"{value:.1f}"


def only(values: Sequence[str]) -> str:
    """A short list, for a message."""
    return ", ".join(values[:5]) + (", ..." if len(values) > 5 else "")
