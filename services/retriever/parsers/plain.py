"""Plain text to canonical blocks: paragraphs by empty lines, hard-wrapped lines joined, underlined and capital headings kept."""

from __future__ import annotations

import re

from services.retriever.canonical import BlockKind, CanonicalBuilder, CanonicalText, clean

_EMPTY_LINES = re.compile(r"\n[^\S\n]*\n\s*?(?=\S|$)|\n[^\S\n]*(?:\n[^\S\n]*)+")
_UNDERLINE = re.compile(r"^(=|-|~)\1{2,}$")
_ENDS_SENTENCE = re.compile(r"[.!?…:;,。！？][\"'”’)\]]*$")
_MAX_HEADING_CHARS = 80
# A paragraph whose lines all come near the same width was wrapped by a program; shorter lines were broken on purpose.
_WRAPPED_MIN_CHARS = 45
_WRAPPED_MAX_CHARS = 110


def parse_plain(text: str) -> CanonicalText:
    """Blocks of a plain text; its title is its first line where that stands alone and ends no sentence.

    Raises:
        DocumentRejected: DOCUMENT_EMPTY.
    """
    builder = CanonicalBuilder()
    add_plain(builder, text)
    return builder.build()


def add_plain(builder: CanonicalBuilder, text: str) -> None:
    """Adds the blocks of a plain text."""
    groups = [group for group in _EMPTY_LINES.split(clean(text)) if group.strip()]
    for number, group in enumerate(groups):
        lines = [line.rstrip() for line in group.strip("\n").split("\n")]
        if len(lines) > 1 and _UNDERLINE.match(lines[1].strip()) and _may_be_heading(lines[0]):
            builder.add(BlockKind.HEADING, lines[0], level=1 if lines[1].strip()[0] == "=" else 2)
            lines = lines[2:]
        elif len(lines) == 1 and _may_be_heading(lines[0]) and len(groups) > 1:
            if number == 0:
                builder.add(BlockKind.HEADING, lines[0], level=1)
                continue
            if lines[0].isupper():
                builder.add(BlockKind.HEADING, lines[0], level=2)
                continue
        if lines:
            _add_lines(builder, lines)


def _may_be_heading(line: str) -> bool:
    stripped = line.strip()
    return 0 < len(stripped) <= _MAX_HEADING_CHARS and not _ENDS_SENTENCE.search(stripped)


def _add_lines(builder: CanonicalBuilder, lines: list[str]) -> None:
    if _wrapped(lines):
        builder.add(BlockKind.PARAGRAPH, " ".join(line.strip() for line in lines))
        return
    for number, line in enumerate(lines):
        builder.add(BlockKind.PARAGRAPH, line, tight=number > 0)


def _wrapped(lines: list[str]) -> bool:
    return len(lines) > 1 and all(_WRAPPED_MIN_CHARS <= len(line) <= _WRAPPED_MAX_CHARS for line in lines[:-1])
