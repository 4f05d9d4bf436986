"""Markdown to canonical blocks: what a reader sees, without the marks of emphasis, links and code.

Items of lists keep their bullet or number, rows of tables their bars: both stay readable and tell the answerer what they are.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass, field

import frontmatter
import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from services.retriever.canonical import BlockKind, CanonicalBuilder, CanonicalText
from services.retriever.parsers.html import add_fragment

_MAX_FRONT_MATTER_CHARS = 64 * 1024
_PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def parse_markdown(text: str) -> CanonicalText:
    """Blocks of a Markdown text; title, topic, language and date come from its YAML front matter where it has one.

    Raises:
        DocumentRejected: DOCUMENT_EMPTY.
    """
    metadata, body = _front_matter(text)
    builder = CanonicalBuilder()
    _Walk(builder).run(_PARSER.parse(body))
    return builder.build(
        title=_scalar(metadata.get("title")),
        topic=_scalar(metadata.get("topic")),
        language=_scalar(metadata.get("language") or metadata.get("lang")),
        published=_scalar(metadata.get("date")),
    )


def _front_matter(text: str) -> tuple[dict[str, object], str]:
    text = text.removeprefix("\ufeff")
    if not text.startswith("---") or "\n---" not in text[:_MAX_FRONT_MATTER_CHARS]:
        return {}, text
    try:
        metadata, body = frontmatter.parse(text)
    except (yaml.YAMLError, ValueError, TypeError, AttributeError):
        # No YAML, so it is a rule and a paragraph like any other.
        return {}, text
    return dict(metadata), body


def _scalar(value: object) -> str:
    return str(value) if isinstance(value, (str, int, float, datetime.date)) else ""


@dataclass
class _List:
    ordered: bool
    number: int
    fresh: bool = True
    """Whether its next block is the first of an item."""


@dataclass
class _Walk:
    """Goes once through the flat token list of markdown-it."""

    builder: CanonicalBuilder
    lists: list[_List] = field(default_factory=list)
    row: list[str] | None = None
    tight: bool = False
    """Whether the next line belongs to the list or table of the line before."""

    def run(self, tokens: list[Token]) -> None:
        pending = iter(tokens)
        for token in pending:
            self._token(token, pending)

    def _token(self, token: Token, pending: Iterator[Token]) -> None:
        match token.type:
            case "heading_open":
                self._heading(int(token.tag[1]), _inline(next(pending)))
            case "inline" if self.row is not None:
                self.row.append(_inline(token).replace("\n", " "))
            case "inline":
                self._text(_inline(token), BlockKind.PARAGRAPH)
            case "fence" | "code_block":
                self._text(token.content, BlockKind.LINE)
            case "html_block":
                add_fragment(self.builder, token.content)
            case "bullet_list_open" | "ordered_list_open":
                start = token.attrGet("start")
                self.lists.append(_List(token.type.startswith("ordered"), int(start) if start is not None else 1))
            case "bullet_list_close" | "ordered_list_close":
                self.lists.pop()
                self.tight = bool(self.lists)
            case "list_item_open":
                self.lists[-1].fresh = True
            case "list_item_close":
                self.lists[-1].number += 1
            case "tr_open":
                self.row = []
            case "tr_close":
                self._row()
            case "table_close":
                self.tight = False
            case _:
                pass

    def _heading(self, level: int, text: str) -> None:
        if self.lists:
            self._text(text, BlockKind.PARAGRAPH)
        else:
            self.builder.add(BlockKind.HEADING, text, level=level)

    def _text(self, text: str, kind: BlockKind) -> None:
        if not self.lists:
            self.builder.add(kind, text)
            return
        top = self.lists[-1]
        indent = "  " * (len(self.lists) - 1)
        mark = (f"{top.number}. " if top.ordered else "- ") if top.fresh else "  "
        # A list that begins right below its introduction stays apart from it by an empty line; its items do not.
        self.builder.add(BlockKind.LINE, indent + mark + text, tight=self.tight)
        top.fresh = False
        self.tight = True

    def _row(self) -> None:
        cells = self.row or []
        self.row = None
        if any(cell.strip() for cell in cells):
            self.builder.add(BlockKind.LINE, "| " + " | ".join(cells) + " |", tight=self.tight)
            self.tight = True


def _inline(token: Token) -> str:
    parts: list[str] = []
    for child in token.children or ():
        if child.type in ("text", "code_inline"):
            parts.append(child.content)
        elif child.type == "softbreak":
            parts.append(" ")
        elif child.type == "hardbreak" or (child.type == "html_inline" and child.content.lower().startswith("<br")):
            parts.append("\n")
        elif child.type == "image":
            parts.append(_inline(child))
    return "".join(parts)
