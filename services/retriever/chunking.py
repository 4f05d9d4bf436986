"""Chunks: stretches of the canonical text under one path of headings, about as long as the embedder likes them.

A chunk never crosses a heading, and never cuts a sentence unless that alone is too long. A list, a table or a piece of code that
fits stays whole, with the sentence that leads to it; a longer table is cut between rows, and each further part has its header row
at the end of its path. Knows no tokenizer: token offsets come in.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from services.retriever.canonical import Block, BlockKind, CanonicalText, DocumentRejected, one_line
from services.retriever.sentences import sentences

Span: TypeAlias = tuple[int, int]
Offsets: TypeAlias = NDArray[np.int32]
"""(tokens, 2): half-open byte ranges in the text that was tokenised."""

CHUNKER_VERSION = 3
"""Moves when the same canonical text gets other chunks."""
MAX_PATH = 16
MAX_CHUNK_BYTES = 16 * 1024
MAX_CHUNKS = 65_536
_MAX_HEADER_BYTES = 200


@dataclass(frozen=True, slots=True)
class ChunkSizes:
    """How long chunks are, in tokens of the mesh's tokenizer."""

    target: int
    maximum: int


@dataclass(frozen=True, slots=True)
class Run:
    """Blocks that belong together, such as the items of a list, the rows of a table, or one paragraph; for each its sentences."""

    blocks: tuple[tuple[Span, ...], ...]
    whole: bool = False
    """Whether it is rather kept in one chunk than cut at an even length."""
    header: str = ""
    """First row of a table."""


@dataclass(frozen=True, slots=True)
class Section:
    """What stands under one heading."""

    path: tuple[str, ...]
    runs: tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stretch of the canonical text: `text` is its bytes, decoded."""

    uid: str
    ordinal: int
    start: int
    end: int
    title_path: tuple[str, ...]
    text: str
    tokens: int
    page: int = 0
    """Number of the page on which it begins, from 1; 0 in a document without pages."""


@dataclass(frozen=True, slots=True)
class _Unit:
    """What is never divided: a short block, or a sentence, or a piece of one that is too long."""

    start: int
    end: int
    tokens: int
    header: str = ""
    """Of the table in whose middle it stands."""


def sections(document: CanonicalText, title: str) -> list[Section]:
    """The document by headings; one that is nothing but headings is a section of them.

    Args:
        title: title of the document, first in every path.
    """
    found: list[Section] = []
    stack: list[Block] = []
    body: list[Block] = []

    def close() -> None:
        if body:
            found.append(Section(_path(document, title, stack), _runs(document, body)))
            body.clear()

    for block in document.blocks:
        if block.kind is BlockKind.HEADING:
            close()
            while stack and stack[-1].level >= block.level:
                stack.pop()
            stack.append(block)
        else:
            body.append(block)
    close()
    if not found:
        found.append(Section((title,), tuple(Run((((block.start, block.end),),)) for block in document.blocks)))
    return found


def _runs(document: CanonicalText, blocks: Sequence[Block]) -> tuple[Run, ...]:
    """Lines that follow each other without an empty one between are one run, and so is the paragraph that leads to them."""
    groups: list[list[Block]] = []
    for block in blocks:
        last = groups[-1][-1] if groups else None
        tight = last is not None and last.kind is block.kind and block.start - last.end == 1
        leads = (
            last is not None
            and block.kind is BlockKind.LINE
            and last.kind is BlockKind.PARAGRAPH
            and document.text[last.end - 1 : last.end] == b":"
        )
        if tight or leads:
            groups[-1].append(block)
        else:
            groups.append([block])
    return tuple(_run(document, group) for group in groups)


def _run(document: CanonicalText, group: Sequence[Block]) -> Run:
    lines = [block for block in group if block.kind is BlockKind.LINE]
    first = document.slice(lines[0].start, lines[0].end) if len(lines) > 1 else ""
    header = one_line(first, _MAX_HEADER_BYTES) if first.startswith("| ") else ""
    return Run(tuple(tuple(sentences(document, block)) for block in group), whole=bool(lines), header=header)


def _path(document: CanonicalText, title: str, stack: Sequence[Block]) -> tuple[str, ...]:
    headings = [one_line(document.slice(block.start, block.end)) for block in stack]
    if headings and headings[0].casefold() == title.casefold():
        headings = headings[1:]
    return (title, *headings)[:MAX_PATH]


def spans(planned: Sequence[Section]) -> list[Span]:
    """Byte ranges of all sentences, in the order in which `pack` wants their token offsets."""
    return [span for section in planned for run in section.runs for block in run.blocks for span in block]


def pack(document: CanonicalText, planned: Sequence[Section], offsets: Sequence[Offsets], sizes: ChunkSizes) -> list[Chunk]:
    """Chunks of the planned sections.

    Args:
        offsets: for each of `spans(planned)` its token offsets, relative to the sentence.

    Raises:
        DocumentRejected: DOCUMENT_TOO_LARGE for more than `MAX_CHUNKS`.
    """
    chunks: list[Chunk] = []
    at = 0
    for section in planned:
        units: list[_Unit] = []
        for run in section.runs:
            blocks: list[list[_Unit]] = []
            for block in run.blocks:
                pieces = [
                    piece
                    for number, span in enumerate(block, at)
                    for piece in _pieces(document.text, span, offsets[number], sizes.maximum)
                ]
                at += len(block)
                if pieces:
                    blocks.append(pieces)
            units.extend(_kept_together(blocks, run, sizes))
        for group in _groups(units, sizes):
            chunks.append(_chunk(document, section.path, group, len(chunks)))
            if len(chunks) > MAX_CHUNKS:
                raise DocumentRejected("DOCUMENT_TOO_LARGE", f"the document has more than {MAX_CHUNKS} passages: split it")
    if not chunks:
        raise DocumentRejected("DOCUMENT_EMPTY", "the document holds no text that can be read")
    return chunks


def _groups(units: Sequence[_Unit], sizes: ChunkSizes) -> list[list[_Unit]]:
    """Units of one section, shared out evenly: three chunks of 180 tokens rather than two of 220 and one of 100."""
    total = sum(unit.tokens for unit in units)
    aim = total / max(1, math.ceil(total / sizes.target))
    groups: list[list[_Unit]] = []
    filled = 0
    for unit in units:
        size = filled + unit.tokens
        too_long = size > sizes.maximum or bool(groups and groups[-1] and unit.end - groups[-1][0].start > MAX_CHUNK_BYTES)
        # Nearer to the aim without the unit than with it.
        far = filled > 0 and size - aim > aim - filled
        if not groups or too_long or far:
            groups.append([])
            filled = 0
        groups[-1].append(unit)
        filled += unit.tokens
    return groups


def _kept_together(blocks: Sequence[Sequence[_Unit]], run: Run, sizes: ChunkSizes) -> list[_Unit]:
    """A run that fits into a chunk stays whole; a longer one may be cut between its blocks, and these between their sentences."""
    most = sizes.maximum if run.whole else sizes.target
    whole = _joined([unit for block in blocks for unit in block], most)
    if len(whole) <= 1:
        return whole
    units = [unit for block in blocks for unit in _joined(block, most)]
    return [units[0], *(replace(unit, header=run.header) for unit in units[1:])] if run.header else units


def _joined(units: Sequence[_Unit], most: int) -> list[_Unit]:
    tokens = sum(unit.tokens for unit in units)
    if units and tokens <= most and units[-1].end - units[0].start <= MAX_CHUNK_BYTES:
        return [_Unit(units[0].start, units[-1].end, tokens)]
    return list(units)


def _pieces(text: bytes, span: Span, offsets: Offsets, maximum: int) -> list[_Unit]:
    """A sentence as it is, or cut at white space where it alone is longer than a chunk may be."""
    if len(offsets) <= maximum:
        return [_Unit(*span, len(offsets))]
    pieces: list[_Unit] = []
    starts = offsets[:, 0]
    begin, end = span
    while begin < end:
        first = int(np.searchsorted(starts, begin - span[0], side="left"))
        last = first + maximum
        stop = end if last >= len(starts) else _boundary(text, begin, span[0] + int(starts[last]))
        tokens = int(np.searchsorted(starts, stop - span[0], side="left")) - first
        pieces.append(_Unit(begin, stop, max(1, tokens)))
        begin = stop
    return _trimmed(text, pieces)


def _boundary(text: bytes, begin: int, stop: int) -> int:
    """Behind the last white space in the second half before `stop`, or else the code point boundary at or before it."""
    piece = text[begin:stop]
    for mark in (b"\n", b" "):
        found = piece.rfind(mark, len(piece) // 2)
        if found > 0:
            return begin + found + 1
    # Tokens are made of bytes, so that one may begin inside a code point.
    while stop > begin + 1 and text[stop] & 0xC0 == 0x80:
        stop -= 1
    return stop


def _trimmed(text: bytes, pieces: Sequence[_Unit]) -> list[_Unit]:
    kept: list[_Unit] = []
    for piece in pieces:
        data = text[piece.start : piece.end]
        left = len(data) - len(data.lstrip())
        right = len(data) - len(data.rstrip())
        if left < len(data):
            kept.append(_Unit(piece.start + left, piece.end - right, piece.tokens))
    return kept


def _chunk(document: CanonicalText, path: tuple[str, ...], group: Sequence[_Unit], ordinal: int) -> Chunk:
    start, end = group[0].start, group[-1].end
    if group[0].header:
        path = (*path[: MAX_PATH - 1], group[0].header)
    data = document.text[start:end]
    mark = "\x1f".join([*path, str(start), str(end)]).encode() + b"\x1e" + data
    return Chunk(
        uid=hashlib.sha256(mark).hexdigest()[:24],
        ordinal=ordinal,
        start=start,
        end=end,
        title_path=path,
        text=data.decode(),
        tokens=sum(unit.tokens for unit in group),
        page=document.page_of(start),
    )
