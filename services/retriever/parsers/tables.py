"""Rows of cells to canonical blocks: Markdown rows for tables that stand in a text, `header: value` lines for sheets of data.

A line of a sheet says by itself what each of its values is, so that it can be found and quoted alone. Knows no format.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from services.retriever.canonical import BlockKind, CanonicalBuilder, DocumentRejected

MAX_CELLS = 2_000_000
MAX_COLUMNS = 4_096
_MAX_HEADER_CHARS = 120


def add_table(builder: CanonicalBuilder, rows: Iterable[Sequence[str]]) -> None:
    """A table that stands in a text: one line a row, with bars. Rows without any text are passed over."""
    tight = False
    for row in rows:
        cells = [" ".join(cell.split()) for cell in row]
        if any(cells):
            builder.add(BlockKind.LINE, "| " + " | ".join(cells) + " |", tight=tight)
            tight = True


def add_sheet(builder: CanonicalBuilder, rows: Iterable[Sequence[str]]) -> None:
    """A sheet of data: lines of `header: value; header: value`, or Markdown rows where its first row heads no columns.

    Raises:
        DocumentRejected: DOCUMENT_TOO_LARGE.
    """
    filled = _bounded(rows)
    first = next(filled, None)
    if first is None:
        return
    second = next(filled, None)
    rest = filled if second is None else chain([second], filled)
    if second is None or not _is_header(first, second):
        add_table(builder, chain([first], rest))
        return
    tight = False
    for row in rest:
        values = [
            f"{header}: {value}" if (header := first[column] if column < len(first) else "") else value
            for column, value in enumerate(row)
            if value
        ]
        builder.add(BlockKind.LINE, "; ".join(values), tight=tight)
        tight = True


def _bounded(rows: Iterable[Sequence[str]]) -> Iterator[list[str]]:
    cells = 0
    for row in rows:
        cells += len(row)
        if cells > MAX_CELLS or len(row) > MAX_COLUMNS:
            raise DocumentRejected(
                "DOCUMENT_TOO_LARGE", f"the table has more than {MAX_CELLS} cells or {MAX_COLUMNS} columns: split it"
            )
        cleaned = [" ".join(cell.split()) for cell in row]
        if any(cleaned):
            yield cleaned


def _is_header(first: Sequence[str], second: Sequence[str]) -> bool:
    """Whether the first row names the columns: short words without numbers, all different, over at least two columns."""
    named = [cell for cell in first if cell]
    return (
        len(named) >= 2
        and len(named) >= sum(1 for cell in second if cell)
        and len(set(named)) == len(named)
        and all(len(cell) <= _MAX_HEADER_CHARS and not _is_number(cell) for cell in named)
    )


def _is_number(cell: str) -> bool:
    return cell.replace(".", "").replace(",", "").replace("-", "").replace("%", "").strip().isdigit()
