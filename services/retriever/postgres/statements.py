"""The SQL of the store of truth as PostgreSQL takes it. It is written for SQLite; this is all that has to be called otherwise:

- places of values: `?` and `:name`
- `json_each(X)`, which lists a JSON array: numbers, but for `json_each(:labels)`
- `json_group_array(X)`
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from psycopg.rows import RowMaker

_LISTED = re.compile(r"json_each\((\?|:\w+)\)( AS \w+)?")
_GROUPED = re.compile(r"json_group_array\((\w+)\)")
_ONE_ROW = re.compile(r"(INSERT INTO [^?]* VALUES )(\([?, ]+\))", re.DOTALL)
_PLACES = re.compile(r"'[^']*'|::|%|\?|:(\w+)")


@lru_cache(maxsize=512)
def translated(sql: str) -> bytes:
    """The statement with psycopg's places. Those of one statement are few and never made from a caller's text."""
    sql = _LISTED.sub(_list, sql)
    sql = _GROUPED.sub(r"coalesce(json_agg(\1)::text, '[]')", sql)
    return _PLACES.sub(_place, sql).encode()


@lru_cache(maxsize=512)
def widened(sql: str, rows: int) -> bytes | None:
    """An INSERT of one row as one of `rows` rows, so that one answer is waited for instead of many.

    Returns:
        None for another statement, also for one that says what to do with a row that is there.
    """
    found = _ONE_ROW.fullmatch(sql)
    if found is None:
        return None
    return translated(found[1] + ", ".join([found[2]] * rows))


def _list(found: re.Match[str]) -> str:
    values, alias = found[1], found[2] or " AS listed"
    if values == ":labels":
        return f"(SELECT value FROM json_array_elements_text({values}::json)){alias}"
    return f"(SELECT value::bigint FROM json_array_elements_text({values}::json)){alias}"


def _place(found: re.Match[str]) -> str:
    text = found[0]
    if text == "?":
        return "%s"
    if text == "%":
        return "%%"
    if found[1]:
        return f"%({found[1]})s"
    return text.replace("%", "%%")


class Row(tuple[Any, ...]):
    """A row whose columns are read by name or by place, as SQLite's are."""

    __slots__ = ()
    places: dict[str, int] = {}  # noqa: RUF012  # each class of rows has its own

    def __getitem__(self, key: Any) -> Any:
        return tuple.__getitem__(self, self.places[key] if isinstance(key, str) else key)


@lru_cache(maxsize=512)
def _row_class(names: tuple[str, ...]) -> type[Row]:
    return type("Row", (Row,), {"places": {name: place for place, name in enumerate(names)}, "__slots__": ()})


def row_maker(cursor: Any) -> RowMaker[Row]:
    """For psycopg's `row_factory`."""
    made = _row_class(tuple(column.name for column in cursor.description or ()))

    def make(values: Sequence[Any]) -> Row:
        return made(values)

    return make


class IteratedRows:
    """What a statement brought, one row after the other."""

    def __init__(self, rows: Iterator[Row], rowcount: int) -> None:
        self._rows = rows
        self._rowcount = rowcount

    @property
    def rowcount(self) -> int:
        """Rows that were changed."""
        return self._rowcount

    def fetchone(self) -> Row | None:
        """The next row, or None."""
        return next(self._rows, None)

    def fetchall(self) -> list[Row]:
        """All that are left."""
        return list(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return self._rows
