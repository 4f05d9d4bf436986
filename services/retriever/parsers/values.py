"""JSON and JSON Lines: each record a section, each value a line that says where it stands. Nesting and sizes are bounded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import orjson

from services.retriever.canonical import BlockKind, CanonicalBuilder, CanonicalText, DocumentRejected, one_line

MAX_VALUES = 1_000_000
_LONG_CHARS = 200
"""A text from this length on is a paragraph of its own."""
_TITLES = ("title", "name", "question", "headline", "subject")


def parse_json(text: str) -> CanonicalText:
    """Blocks of a JSON document.

    Raises:
        DocumentRejected: DOCUMENT_EMPTY, DOCUMENT_TOO_LARGE, DOCUMENT_UNREADABLE.
    """
    value = _load(text.removeprefix("\ufeff"), 0)
    records = value if isinstance(value, list) else [value]
    title = _title(value)[1] if isinstance(value, dict) else ""
    return _build(records, title, sections=isinstance(value, list))


def parse_json_lines(text: str) -> CanonicalText:
    """Blocks of JSON Lines: one record a line.

    Raises:
        DocumentRejected: as `parse_json`.
    """
    lines = text.removeprefix("\ufeff").split("\n")
    return _build([_load(line, number) for number, line in enumerate(lines, 1) if line.strip()], "", sections=True)


def _load(text: str, line: int) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        where = f"line {line}" if line else f"line {error.lineno}"
        raise DocumentRejected("DOCUMENT_UNREADABLE", f"the document is no JSON: {where}: {error.msg}") from error


def _build(records: list[object], title: str, *, sections: bool) -> CanonicalText:
    builder = CanonicalBuilder()
    seen = 0
    for number, record in enumerate(records, 1):
        key = ""
        if sections and isinstance(record, dict):
            key, heading = _title(record)
            builder.add(BlockKind.HEADING, heading or f"Record {number}", level=2)
        tight = False
        for path, value in _leaves(record):
            if key and path == key:
                continue  # it stands above
            seen += 1
            if seen > MAX_VALUES:
                raise DocumentRejected("DOCUMENT_TOO_LARGE", f"the document has more than {MAX_VALUES} values: split it")
            long = len(value) >= _LONG_CHARS
            kind = BlockKind.PARAGRAPH if long else BlockKind.LINE
            builder.add(kind, f"{path}: {value}" if path else value, tight=tight and not long)
            tight = not long
    return replace(builder.build(), title=one_line(title))  # the first record's name is no title


def _title(record: dict[str, object]) -> tuple[str, str]:
    """The key and the text of what names a record; nothing and nothing without one."""
    for key in _TITLES:
        value = record.get(key)
        if isinstance(value, str) and value.strip() and len(value) < _LONG_CHARS:
            return key, value
    return "", ""


def _leaves(record: object) -> Iterator[tuple[str, str]]:
    """Path and text of each value, in order. Without recursion: the parser of JSON bounds nesting, the stack must not."""
    stack: list[tuple[str, object]] = [("", record)]
    while stack:
        path, value = stack.pop()
        if isinstance(value, dict):
            stack.extend((f"{path}.{key}" if path else key, below) for key, below in reversed(value.items()))
        elif isinstance(value, list):
            if value and all(not isinstance(below, (dict, list)) for below in value):
                yield path, ", ".join(_text(below) for below in value)
            else:
                stack.extend((path, below) for below in reversed(value))
        elif value is not None and _text(value).strip():
            yield path, _text(value)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)
