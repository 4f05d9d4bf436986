"""Excel workbooks and CSV files: each sheet under its name, each row a line that says what its values are. No hidden sheets."""

from __future__ import annotations

import csv
import datetime
import io
import re
from collections.abc import Iterator
from dataclasses import replace

import openpyxl

from services.retriever.canonical import BlockKind, CanonicalBuilder, CanonicalText, DocumentRejected, one_line
from services.retriever.parsers.archive import open_archive
from services.retriever.parsers.tables import add_sheet

_SNIFFED_CHARS = 64 * 1024
_DELIMITERS = ",;\t|"
_MAX_FIELD_CHARS = 1024 * 1024
_UNNAMED = re.compile(r"^(?:sheet|tabelle|feuil|hoja|foglio|лист) ?\d*$", re.IGNORECASE)


def parse_xlsx(data: bytes) -> CanonicalText:
    """Blocks of a workbook. Values as they were last calculated; formulas are not run.

    Raises:
        DocumentRejected: DOCUMENT_EMPTY, DOCUMENT_ENCRYPTED, DOCUMENT_TOO_LARGE, MEDIA_TYPE_UNSUPPORTED.
    """
    open_archive(data, "Excel workbook").close()
    workbook = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
    builder = CanonicalBuilder()
    try:
        for sheet in workbook.worksheets:
            if sheet.sheet_state != "visible":
                continue
            sheet.reset_dimensions()  # what the file says about them may be wrong
            if len(workbook.worksheets) > 1 or not _UNNAMED.match(sheet.title):
                builder.add(BlockKind.HEADING, sheet.title, level=2)
            add_sheet(builder, ([_cell(value) for value in row] for row in sheet.iter_rows(values_only=True)))
        # The first sheet's name is no title of a workbook.
        return replace(builder.build(), title=one_line(workbook.properties.title or ""))
    finally:
        workbook.close()


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.12g}"
    if isinstance(value, datetime.datetime):
        midnight = (value.hour, value.minute, value.second) == (0, 0, 0)
        return value.date().isoformat() if midnight else value.isoformat(" ", "seconds")
    return str(value)


def parse_csv(text: str) -> CanonicalText:
    """Blocks of separated values; the separator is told by looking.

    Raises:
        DocumentRejected: DOCUMENT_EMPTY, DOCUMENT_TOO_LARGE, DOCUMENT_UNREADABLE.
    """
    builder = CanonicalBuilder()
    add_sheet(builder, _rows(text))
    return builder.build()


def _rows(text: str) -> Iterator[list[str]]:
    csv.field_size_limit(_MAX_FIELD_CHARS)
    sample = text[:_SNIFFED_CHARS]
    try:
        dialect: type[csv.Dialect] = csv.Sniffer().sniff(sample.rpartition("\n")[0] or sample, _DELIMITERS)
    except csv.Error:
        dialect = csv.excel
    try:
        yield from csv.reader(io.StringIO(text, newline=""), dialect)
    except csv.Error as error:
        raise DocumentRejected("DOCUMENT_UNREADABLE", f"the file is no table of separated values ({error})") from error
