"""PDF files: lines back to paragraphs and headings, without what every page repeats. Pages that are images are named.

A PDF holds letters at places, so that all structure is told from sizes, lengths and repetition. Knows no OCR.
"""

from __future__ import annotations

import io
import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pypdf
from pypdf.errors import PyPdfError

from services.retriever.canonical import BlockKind, CanonicalBuilder, CanonicalText, DocumentRejected

MAX_PAGES = 10_000
MAX_TEXT_CHARS = 64 * 1024 * 1024
_REPEATED_FROM_PAGES = 4
_REPEATED_SHARE = 0.5
_MIN_PAGE_CHARS = 16
_HEADING_RATIO = 1.12
_MAX_HEADING_CHARS = 150
_SHORT_SHARE = 0.75
"""A line that ends a sentence this far left of the others ends its paragraph as well."""
_DIGITS = re.compile(r"\d+")
_BULLET = re.compile(r"^\s*(?:[•▪‣◦●○·–]|[-*](?=\s)|\(?\d{1,2}[.)](?=\s)|\(?[a-z][.)](?=\s))\s*")
_ENDS = re.compile(r"[.!?…:;][\"'”’)\]»]*$")
_BROKEN_WORD = re.compile(r"[^\W\d_]-$")

# What a damaged file makes it say goes nowhere: the document's fate is the answer.
logging.getLogger("pypdf").setLevel(logging.CRITICAL)


@dataclass(slots=True)
class _Line:
    text: str
    size: float
    """Of its letters, in points."""


@dataclass(slots=True)
class _Page:
    lines: list[_Line] = field(default_factory=list)
    """Empty ones stay: they divide paragraphs."""
    images: bool = False

    @property
    def chars(self) -> int:
        return sum(len(line.text.strip()) for line in self.lines)


def parse_pdf(data: bytes) -> CanonicalText:
    """Blocks of a PDF.

    Raises:
        DocumentRejected: DOCUMENT_ENCRYPTED, DOCUMENT_WITHOUT_TEXT for scans, DOCUMENT_EMPTY, DOCUMENT_TOO_LARGE,
            DOCUMENT_UNREADABLE, MEDIA_TYPE_UNSUPPORTED.
    """
    if b"%PDF-" not in data[:1024]:
        raise DocumentRejected("MEDIA_TYPE_UNSUPPORTED", "the bytes are no PDF")
    try:
        reader = pypdf.PdfReader(io.BytesIO(data), strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            raise DocumentRejected("DOCUMENT_ENCRYPTED", "the PDF opens with a password: save it without one")
        pages = _pages(reader)
        title = str((reader.metadata.title if reader.metadata is not None else "") or "")
    except PyPdfError as error:
        raise DocumentRejected("DOCUMENT_UNREADABLE", f"the PDF is damaged ({type(error).__name__}): save it again") from error
    bare = [number for number, page in enumerate(pages, 1) if page.chars < _MIN_PAGE_CHARS and page.images]
    if bare and all(page.chars < _MIN_PAGE_CHARS for page in pages):
        raise DocumentRejected(
            "DOCUMENT_WITHOUT_TEXT",
            f"all {len(pages)} pages are images without text: run a text recognition (OCR) over the file first",
        )
    _drop_repeated(pages)
    builder = CanonicalBuilder()
    _Writer(builder, pages).run()
    warnings = [f"{len(bare)} of {len(pages)} pages are images without text: {_ranges(bare)}"] if bare else []
    # Many programs write the name of their file there.
    named = title if " " in title.strip() and not title.lower().endswith((".doc", ".docx", ".indd", ".tex", ".pdf")) else ""
    return builder.build(title=named, warnings=warnings)


def _pages(reader: pypdf.PdfReader) -> list[_Page]:
    if len(reader.pages) > MAX_PAGES:
        raise DocumentRejected("DOCUMENT_TOO_LARGE", f"the PDF has more than {MAX_PAGES} pages: split it")
    found: list[_Page] = []
    chars = 0
    for page in reader.pages:
        made = _page(page)
        chars += made.chars
        if chars > MAX_TEXT_CHARS:
            raise DocumentRejected("DOCUMENT_TOO_LARGE", f"the PDF has more than {MAX_TEXT_CHARS} letters: split it")
        found.append(made)
    return found


def _page(page: Any) -> _Page:
    pieces: list[tuple[str, float]] = []

    def visit(text: str, _: Sequence[float], matrix: Sequence[float], __: Any, size: float | None) -> None:
        if text:
            scale = (matrix[0] ** 2 + matrix[1] ** 2) ** 0.5 or 1.0
            pieces.append((text, round(abs((size or 0.0) * scale), 1)))

    made = _Page()
    try:
        page.extract_text(visitor_text=visit)
        made.images = _has_images(page)
    except (PyPdfError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError):
        pass  # one page that pypdf stumbles over is not the document's end
    made.lines = list(_lines(pieces))
    return made


def _has_images(page: Any) -> bool:
    resources = page.get("/Resources")
    objects = resources.get_object().get("/XObject") if resources is not None else None
    if objects is None:
        return False
    return any(value.get_object().get("/Subtype") in ("/Image", "/Form") for value in objects.get_object().values())


def _lines(pieces: Sequence[tuple[str, float]]) -> Iterator[_Line]:
    text: list[str] = []
    sizes: Counter[float] = Counter()
    for piece, size in pieces:
        first, *rest = piece.split("\n")
        text.append(first)
        sizes[size] += len(first.strip())
        for line in rest:
            yield _Line("".join(text).rstrip(), _main(sizes))
            text, sizes = [line], Counter({size: len(line.strip())})
    yield _Line("".join(text).rstrip(), _main(sizes))


def _body_size(pages: Sequence[_Page]) -> float:
    sizes: Counter[float] = Counter()
    for line in (line for page in pages for line in page.lines):
        sizes[line.size] += len(line.text.strip())
    return _main(sizes)


def _main(sizes: Counter[float]) -> float:
    return sizes.most_common(1)[0][0] if sizes else 0.0


def _drop_repeated(pages: Sequence[_Page]) -> None:
    """Takes out the first and last two lines of pages where most pages have the same ones, whatever their numbers.

    What is larger than the body stays: chapters are numbered too.
    """
    if len(pages) < _REPEATED_FROM_PAGES:
        return
    largest = _body_size(pages) * _HEADING_RATIO
    seen: Counter[str] = Counter()
    edges: list[list[_Line]] = []
    for page in pages:
        filled = [line for line in page.lines if line.text.strip()]
        outer = [line for line in filled[:2] + filled[2:][-2:] if line.size <= largest]
        edges.append(outer)
        seen.update({_DIGITS.sub("#", line.text.strip()) for line in outer})
    for page, outer in zip(pages, edges, strict=True):
        repeated = {id(line) for line in outer if seen[_DIGITS.sub("#", line.text.strip())] > max(2, _REPEATED_SHARE * len(pages))}
        page.lines = [line for line in page.lines if id(line) not in repeated]


class _Writer:
    """Joins lines to blocks, over the ends of pages too."""

    def __init__(self, builder: CanonicalBuilder, pages: Sequence[_Page]) -> None:
        self._builder = builder
        self._pages = pages
        filled = [line for page in pages for line in page.lines if line.text.strip()]
        lengths = sorted(len(line.text.strip()) for line in filled)
        self._width = lengths[len(lengths) * 9 // 10] if lengths else 0
        body = _body_size(pages)
        larger = sorted({line.size for line in filled if line.size > body * _HEADING_RATIO}, reverse=True)
        self._levels = {size: min(level, 6) for level, size in enumerate(larger, 1)}
        self._paragraph: list[str] = []
        self._heading: list[str] = []
        self._heading_size = 0.0
        self._in_list = False
        self._last_bullet = False

    def run(self) -> None:
        for page in self._pages:
            # A paragraph that goes on belongs to the page on which it began.
            if not self._paragraph:
                self._builder.begin_page()
                pending = False
            else:
                pending = True
            for line in page.lines:
                self._line(line)
                if pending and not self._paragraph:
                    self._builder.begin_page()
                    pending = False
            if pending:
                self._builder.begin_page()
        self._end_heading()
        self._end_paragraph()

    def _line(self, line: _Line) -> None:
        text = line.text.strip()
        if not text:
            self._end_heading()
            if not self._paragraph or _ENDS.search(self._paragraph[-1]):
                self._end_paragraph()
            return
        if line.size in self._levels and len(text) <= _MAX_HEADING_CHARS:
            self._end_paragraph()
            if line.size != self._heading_size:
                self._end_heading()
            self._heading_size = line.size
            self._heading.append(text)
            return
        self._end_heading()
        bullet = _BULLET.match(line.text)
        if bullet is not None:
            self._end_paragraph()
            self._last_bullet = True
            mark = bullet.group().strip()
            text = f"{mark if mark[-1:] in '.)' else '-'} {line.text[bullet.end() :].strip()}"
        self._paragraph.append(text)
        if _ENDS.search(text) and len(text) < _SHORT_SHARE * self._width:
            self._end_paragraph()

    def _end_heading(self) -> None:
        if self._heading:
            self._builder.add(BlockKind.HEADING, " ".join(self._heading), level=self._levels[self._heading_size])
            self._heading = []
            self._in_list = False

    def _end_paragraph(self) -> None:
        if not self._paragraph:
            return
        text = self._paragraph[0]
        for line in self._paragraph[1:]:
            broken = _BROKEN_WORD.search(text) is not None and line[:1].islower()
            text = text[:-1] + line if broken else f"{text} {line}"
        kind = BlockKind.LINE if self._last_bullet else BlockKind.PARAGRAPH
        self._builder.add(kind, text, tight=self._last_bullet and self._in_list)
        self._in_list = self._last_bullet
        self._last_bullet = False
        self._paragraph = []


def _ranges(numbers: Sequence[int]) -> str:
    """`1-3, 7` of 1, 2, 3, 7; cut where it grows long."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    words = [f"{first}-{last}" if last > first else str(first) for first, last in spans]
    return ", ".join(words[:20]) + (", ..." if len(words) > 20 else "")
