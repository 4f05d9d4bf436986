"""Reads the row files of evaluations (JSON lines): each row checked, each error with its line. Knows no figure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cli.errors import EXIT_USAGE, CliError

MAX_FILE_BYTES = 1024 * 1024 * 1024
MAX_LINE_BYTES = 4 * 1024 * 1024
MAX_ROWS = 1_000_000
MAX_QUESTION_BYTES = 8 * 1024  # what the mesh takes of a question

Id = Annotated[str, Field(min_length=1, max_length=512)]
Ids = Annotated[tuple[Id, ...], Field(max_length=10_000)]
Asked = Annotated[str, Field(min_length=1, max_length=MAX_QUESTION_BYTES)]
Text = Annotated[str, Field(min_length=1, max_length=1024 * 1024)]


class Row(BaseModel):
    """A row; what else stands in it is passed over. A number counts as an id."""

    model_config = ConfigDict(frozen=True, coerce_numbers_to_str=True, str_strip_whitespace=True)


class CorpusRow(Row):
    """One document."""

    id: Id
    title: Annotated[str, Field(max_length=1024)] = ""
    text: Text


class QueryRow(Row):
    """One query and the documents that answer it."""

    id: Id
    text: Asked
    relevant: Annotated[Ids, Field(min_length=1)]


class QuestionRow(Row):
    """One question to the whole mesh; `answers` and `relevant` are empty where it cannot be answered."""

    id: Id
    question: Asked
    answers: Annotated[tuple[str, ...], Field(max_length=1_000)] = ()
    relevant: Ids = ()
    answerable: bool = True


class PairRow(Row):
    """A claim beside the evidence that supports it, contradicts it, or neither."""

    id: str = ""
    claim: Annotated[str, Field(min_length=1, max_length=8 * 1024)]
    evidence: Annotated[str, Field(min_length=1, max_length=64 * 1024)]
    label: Literal["supported", "contradicted", "unknown"]


AnyRow = TypeVar("AnyRow", bound=Row)


def refused(path: Path, words: str) -> CliError:
    """An error about a file that was given."""
    return CliError(f"{path}{words}", "`ragmesh eval COMMAND --help` says what its files look like.", exit_code=EXIT_USAGE)


def check_size(path: Path) -> None:
    """
    Raises:
        CliError: there is no such file, or it is too large.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise refused(path, f" cannot be read: {error.strerror}.") from error
    if size > MAX_FILE_BYTES:
        raise refused(path, f" has {size:,} bytes, at most {MAX_FILE_BYTES:,} are read.")


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of each line that is not empty."""
    check_size(path)
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(line) > MAX_LINE_BYTES:
                    raise refused(path, f":{number}: the line is longer than {MAX_LINE_BYTES:,} bytes.")
                if line.strip():
                    yield number, line
    except OSError as error:
        raise refused(path, f" cannot be read: {error.strerror}.") from error


def read_rows(path: Path, kind: type[AnyRow]) -> list[AnyRow]:
    """All rows, in order.

    Raises:
        CliError: the file cannot be read, a line is no such row, an id comes twice, or there is no row at all.
    """
    rows: list[AnyRow] = []
    seen: dict[str, int] = {}
    for number, line in _lines(path):
        if len(rows) >= MAX_ROWS:
            raise refused(path, f":{number}: there are more than {MAX_ROWS:,} rows.")
        try:
            row = kind.model_validate_json(line)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"])
            raise refused(path, f":{number}: {f'{field}: ' if field else ''}{first['msg']}.") from error
        name = getattr(row, "id", "")
        if name:
            if name in seen:
                raise refused(path, f":{number}: the id {name!r} stands in line {seen[name]} already.")
            seen[name] = number
        rows.append(row)
    if not rows:
        raise refused(path, " holds no rows.")
    return rows
