"""Presentations: each slide under its title, its shapes in reading order, with tables and notes; without hidden slides."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import Any

import pptx
from pptx.exc import PythonPptxError
from pptx.util import Length

from services.retriever.canonical import BlockKind, CanonicalBuilder, CanonicalText, DocumentRejected
from services.retriever.parsers.archive import open_archive
from services.retriever.parsers.tables import add_table

MAX_SLIDES = 5_000
_MAX_SHAPES = 20_000
_MAX_DEPTH = 16


def parse_pptx(data: bytes) -> CanonicalText:
    """Blocks of a presentation; its pages are its slides.

    Raises:
        DocumentRejected: DOCUMENT_EMPTY, DOCUMENT_ENCRYPTED, DOCUMENT_TOO_LARGE, MEDIA_TYPE_UNSUPPORTED.
    """
    open_archive(data, "presentation").close()
    try:
        presentation = pptx.Presentation(io.BytesIO(data))
    except (PythonPptxError, KeyError, ValueError) as error:
        raise DocumentRejected("MEDIA_TYPE_UNSUPPORTED", "the zip file holds no presentation") from error
    builder = CanonicalBuilder()
    for number, slide in enumerate(presentation.slides, 1):
        if number > MAX_SLIDES:
            raise DocumentRejected("DOCUMENT_TOO_LARGE", f"the presentation has more than {MAX_SLIDES} slides: split it")
        builder.begin_page()
        if slide._element.get("show") == "0":
            continue
        title = slide.shapes.title
        heading = title.text_frame.text if title is not None else ""
        builder.add(BlockKind.HEADING, heading.strip() or f"Slide {number}", level=2)
        rest = (shape for shape in slide.shapes if title is None or shape.shape_id != title.shape_id)
        for count, shape in enumerate(_flat(rest, 0)):
            if count > _MAX_SHAPES:
                raise DocumentRejected("DOCUMENT_TOO_LARGE", f"slide {number} has more than {_MAX_SHAPES} shapes")
            _add(builder, shape)
        if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
            builder.add(BlockKind.PARAGRAPH, slide.notes_slide.notes_text_frame.text)
    return builder.build(title=presentation.core_properties.title or _first_title(presentation))


def _first_title(presentation: Any) -> str:
    for slide in presentation.slides:
        return slide.shapes.title.text_frame.text if slide.shapes.title is not None else ""
    return ""


def _flat(shapes: Iterable[Any], depth: int) -> Iterator[Any]:
    """Shapes from top to bottom, left to right; those of a group in the place of the group."""
    for shape in sorted(shapes, key=lambda shape: (shape.top or Length(0), shape.left or Length(0))):
        if hasattr(shape, "shapes") and depth < _MAX_DEPTH:
            yield from _flat(shape.shapes, depth + 1)
        else:
            yield shape


def _add(builder: CanonicalBuilder, shape: Any) -> None:
    if getattr(shape, "has_table", False):
        add_table(builder, ([cell.text for cell in row.cells if not cell.is_spanned] for row in shape.table.rows))
    elif getattr(shape, "has_text_frame", False):
        paragraphs = [paragraph for paragraph in shape.text_frame.paragraphs if paragraph.text.strip()]
        if len(paragraphs) < 2:
            builder.add(BlockKind.PARAGRAPH, shape.text_frame.text.replace("\x0b", "\n"))
            return
        for number, paragraph in enumerate(paragraphs):
            text = paragraph.text.replace("\x0b", " ")
            builder.add(BlockKind.LINE, f"{'  ' * paragraph.level}- {text}", tight=number > 0)
