"""The canonical text of a document: UTF-8, NFC, LF, made of blocks whose byte ranges are kept.

Every offset of the mesh that counts in a document counts in this text. Knows no input format.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

MAX_TITLE_BYTES = 1024
MAX_BLOCKS = 1_000_000
MAX_URI_CHARS = 2_000
MAX_WARNINGS = 16

# What no reader can see and no sentence needs: C0 and C1 controls but tab and line feed, byte order marks, non-characters.
_CONTROLS = dict.fromkeys([*range(0x09), *range(0x0B, 0x20), *range(0x7F, 0xA0), 0xFEFF, 0xFFFE, 0xFFFF])
_LINE_ENDS = re.compile("\r\n|\r|\x85|\u2028|\u2029|\x0b|\x0c")
_TRAILING = re.compile(r"[^\S\n]+$", re.MULTILINE)
_SPACES = re.compile(r"\s+")
_LANGUAGE = re.compile(r"^[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,3}$")


class DocumentRejected(Exception):
    """A document that cannot be stored, with the ErrorReason that says why.

    Args:
        reason: name of the reason without its prefix, for example `DOCUMENT_EMPTY`.
        message: for a person: what is wrong and what to do.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message


class BlockKind(StrEnum):
    """What a block of text is."""

    HEADING = "heading"
    PARAGRAPH = "paragraph"
    LINE = "line"
    """An item of a list, a row of a table, a piece of code: never cut into sentences unless it is too long."""


@dataclass(frozen=True, slots=True)
class Block:
    """A half-open byte range of the canonical text."""

    kind: BlockKind
    start: int
    end: int
    level: int = 0
    """Of a heading, 1 to 6."""


@dataclass(frozen=True, slots=True)
class CanonicalText:
    """A document as it is stored."""

    text: bytes
    blocks: tuple[Block, ...]
    title: str = ""
    topic: str = ""
    pages: tuple[int, ...] = ()
    """Where each page begins, in bytes of the text; empty for a format without pages."""
    language: str = ""
    """BCP 47, as the document says it."""
    published: str = ""
    """Date or time of ISO 8601, as the document says it."""
    uri: str = ""
    """Its canonical address, as a web page says it."""
    warnings: tuple[str, ...] = ()
    """What could not be read of it, for a person."""
    links: tuple[str, ...] = ()
    """Absolute addresses that a web page leads to."""
    feeds: tuple[str, ...] = ()
    """Absolute addresses of the feeds that a web page names."""
    listed: bool = True
    """Whether a web page allows to be found."""
    minhash: str = ""
    """Its signature among documents that may say the same; see `near_duplicates`."""

    def with_source(self, **values: object) -> CanonicalText:
        """The same text with what a web page says about itself."""
        return replace(self, **bounded_source(values))

    def page_of(self, at: int) -> int:
        """Number of the page, from 1, on which the byte `at` stands; 0 without pages."""
        return bisect_right(self.pages, at)

    def slice(self, start: int, end: int) -> str:
        """The text of a byte range that lies on code point boundaries."""
        return self.text[start:end].decode()


def clean(text: str) -> str:
    """NFC with LF line ends and without control characters."""
    return unicodedata.normalize("NFC", _LINE_ENDS.sub("\n", text).translate(_CONTROLS))


def one_line(text: str, max_bytes: int = MAX_TITLE_BYTES) -> str:
    """A title: one line, cut at a code point boundary so that it fits `max_bytes`."""
    return _SPACES.sub(" ", clean(text)).strip().encode()[:max_bytes].decode(errors="ignore")


def bounded_source(values: Mapping[str, object]) -> dict[str, Any]:
    """What a document says about itself, where it means something; nothing is believed for being written down."""
    known = dict(values)
    known["language"] = language if _LANGUAGE.match(language := str(values.get("language", "")).strip()) else ""
    known["published"] = _iso_time(str(values.get("published", "")).strip())
    known["uri"] = (
        uri if (uri := str(values.get("uri", ""))).startswith(("http://", "https://")) and len(uri) <= MAX_URI_CHARS else ""
    )
    return known


def _iso_time(text: str) -> str:
    try:
        return datetime.fromisoformat(text).isoformat()
    except ValueError:
        return ""


class CanonicalBuilder:
    """Collects blocks in reading order."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._blocks: list[Block] = []
        self._pages: list[int] = []
        self._length = 0

    @property
    def empty(self) -> bool:
        """Whether no block was added yet."""
        return not self._blocks

    def begin_page(self) -> None:
        """From here on blocks stand on the next page."""
        self._pages.append(self._length)

    def add(self, kind: BlockKind, text: str, *, level: int = 0, tight: bool = False) -> None:
        """Appends a block; white space alone is passed over.

        Args:
            level: of a heading.
            tight: whether it follows on the next line rather than after an empty one, as the items of a list do.
        """
        if kind is BlockKind.HEADING:
            text = one_line(text)
        cleaned = _TRAILING.sub("", clean(text)).strip("\n")
        if kind is BlockKind.PARAGRAPH:
            cleaned = cleaned.strip()
        if not cleaned.strip():
            return
        if len(self._blocks) >= MAX_BLOCKS:
            raise DocumentRejected("DOCUMENT_TOO_LARGE", f"the document has more than {MAX_BLOCKS} paragraphs: split it")
        if self._parts:
            separator = b"\n" if tight else b"\n\n"
            self._parts.append(separator)
            self._length += len(separator)
        data = cleaned.encode()
        self._parts.append(data)
        self._blocks.append(Block(kind, self._length, self._length + len(data), level))
        self._length += len(data)

    def first_heading(self) -> str:
        """The first heading of the highest level in use, or nothing."""
        headings = [block for block in self._blocks if block.kind is BlockKind.HEADING]
        if not headings:
            return ""
        top = min(headings, key=lambda block: (block.level, block.start))
        return b"".join(self._parts)[top.start : top.end].decode()

    def build(
        self, *, title: str = "", topic: str = "", language: str = "", published: str = "", warnings: Sequence[str] = ()
    ) -> CanonicalText:
        """The finished text.

        Args:
            title: as the document itself names it; empty: its first heading.
            language, published: as the document says them; what is no language or no time is passed over.
            warnings: what could not be read.

        Raises:
            DocumentRejected: DOCUMENT_EMPTY where no block holds text.
        """
        if not self._blocks:
            raise DocumentRejected("DOCUMENT_EMPTY", "the document holds no text that can be read")
        return CanonicalText(
            text=b"".join(self._parts),
            blocks=tuple(self._blocks),
            title=one_line(title) or self.first_heading(),
            topic=one_line(topic, 256),
            # A block begins behind the separator that comes after the end of the page before it.
            pages=tuple(self._pages),
            warnings=tuple(one_line(warning) for warning in warnings[:MAX_WARNINGS]),
            **bounded_source({"language": language, "published": published}),
        )
