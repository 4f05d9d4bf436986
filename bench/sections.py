"""Sections of RESULTS.md that are measured each by a command of its own. Knows none of them by name."""

from __future__ import annotations

import re

_SECTION = re.compile(r"<!-- ([\w ]+): begin -->\n(.*?)<!-- \1: end -->\n", re.DOTALL)


def replaced(page: str, name: str, text: str) -> str:
    """`page` with `text` as its section `name`; added at the end where there is none."""
    block = f"<!-- {name}: begin -->\n{text}<!-- {name}: end -->\n"
    for found in _SECTION.finditer(page):
        if found[1] == name:
            return page[: found.start()] + block + page[found.end() :]
    return f"{page.rstrip()}\n\n{block}"


def carried(old: str, page: str) -> str:
    """`page`, a new one, with every section that `old` has."""
    for found in _SECTION.finditer(old):
        page = replaced(page, found[1], found[2])
    return page
