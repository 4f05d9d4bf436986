"""The canonical text of a document: UTF-8, NFC, LF, made of blocks whose byte ranges are kept.

Every offset of the mesh that counts in a document counts in this text. Knows no input format.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum

MAX_TITLE_BYTES = 1024
MAX_BLOCKS = 1_000_000

# What no reader can see and no sentence needs: C0 and C1 controls but tab and line feed, byte order marks, non-characters.
_CONTROLS = dict.fromkeys([*range(0x09), *range(0x0B, 0x20), *range(0x7F, 0xA0), 0xFEFF, 0xFFFE, 0xFFFF])
_LINE_ENDS = re.compile("\r\n|\r|\x85|\u2028|\u2029|\x0b|\x0c")
_TRAILING = re.compile(r"[^\S\n]+$", re.MULTILINE)
_SPACES = re.compile(r"\s+")


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

    def slice(self, start: int, end: int) -> str:
        """The text of a byte range that lies on code point boundaries."""
        return self.text[start:end].decode()


def clean(text: str) -> str:
    """NFC with LF line ends and without control characters."""
    return unicodedata.normalize("NFC", _LINE_ENDS.sub("\n", text).translate(_CONTROLS))


def one_line(text: str, max_bytes: int = MAX_TITLE_BYTES) -> str:
    """A title: one line, cut at a code point boundary so that it fits `max_bytes`."""
    return _SPACES.sub(" ", clean(text)).strip().encode()[:max_bytes].decode(errors="ignore")


class CanonicalBuilder:
    """Collects blocks in reading order."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._blocks: list[Block] = []
        self._length = 0

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

    def build(self, *, title: str = "", topic: str = "") -> CanonicalText:
        """The finished text.

        Args:
            title: as the document itself names it; empty: its first heading.

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
        )
