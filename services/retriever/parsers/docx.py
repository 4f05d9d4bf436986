"""Word documents: headings by style, lists, tables in their place, without what is hidden or struck out by a revision."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any

import docx
from docx.document import Document
from docx.opc.exceptions import OpcError
from docx.table import Table
from docx.text.paragraph import Paragraph

from services.retriever.canonical import BlockKind, CanonicalBuilder, CanonicalText, DocumentRejected
from services.retriever.parsers.archive import open_archive
from services.retriever.parsers.tables import add_table

_HEADING = re.compile(r"^(?:heading|überschrift|titre|título) ?([1-9])$", re.IGNORECASE)
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"


def parse_docx(data: bytes) -> CanonicalText:
    """Blocks of a Word document; its title is the property, else the paragraph of the style Title, else the first heading.

    Raises:
        DocumentRejected: DOCUMENT_EMPTY, DOCUMENT_ENCRYPTED, DOCUMENT_TOO_LARGE, DOCUMENT_UNREADABLE, MEDIA_TYPE_UNSUPPORTED.
    """
    open_archive(data, "Word document").close()
    try:
        document: Document = docx.Document(io.BytesIO(data))
    except (OpcError, KeyError, ValueError) as error:
        raise DocumentRejected("MEDIA_TYPE_UNSUPPORTED", "the zip file holds no Word document") from error
    builder = CanonicalBuilder()
    title = ""
    in_list = False
    for part in document.iter_inner_content():
        if isinstance(part, Table):
            add_table(builder, _rows(part))
            in_list = False
            continue
        style = (part.style.name or "") if part.style is not None else ""
        text = _text(part)
        if (heading := _HEADING.match(style)) is not None:
            builder.add(BlockKind.HEADING, text, level=min(6, int(heading.group(1))))
            in_list = False
        elif style == "Title":
            title = title or text
            builder.add(BlockKind.HEADING, text, level=1)
        elif (depth := _list_depth(part, style)) is not None:
            builder.add(BlockKind.LINE, f"{'  ' * depth}- {text}" if text.strip() else "", tight=in_list)
            in_list = in_list or bool(text.strip())
        else:
            builder.add(BlockKind.PARAGRAPH, text)
            in_list = in_list and not text.strip()
    return builder.build(title=document.core_properties.title or title)


def _rows(table: Table) -> Iterator[list[str]]:
    for row in table.rows:
        seen: set[int] = set()
        cells: list[str] = []
        for cell in row.cells:
            # A merged cell comes once for each column that it spans.
            if id(cell._tc) not in seen:
                seen.add(id(cell._tc))
                cells.append(" ".join(_text(paragraph) for paragraph in cell.paragraphs))
        yield cells


def _text(paragraph: Paragraph) -> str:
    """Words of a paragraph with its links, fields and insertions; deleted and hidden runs are left out."""
    parts: list[str] = []
    for node in paragraph._p.iter():
        if node.tag == f"{_W}t":
            if not _hidden(node.getparent()):
                parts.append(node.text or "")
        elif node.tag in (f"{_W}tab", f"{_W}br", f"{_W}cr") and node.getparent().tag == f"{_W}r":
            parts.append("\t" if node.tag == f"{_W}tab" else "\n")
    return "".join(parts)


def _hidden(run: object) -> bool:
    properties = run.find(f"{_W}rPr") if run is not None else None  # type: ignore[attr-defined]
    if properties is None:
        return False
    mark = properties.find(f"{_W}vanish")
    return mark is not None and mark.get(f"{_W}val", "1") not in ("0", "false", "off")


def _list_depth(paragraph: Paragraph, style: str) -> int | None:
    properties = paragraph._p.pPr
    numbering: Any = properties.numPr if properties is not None else None
    if numbering is not None and (numbering.numId is None or numbering.numId.val != 0):
        return min(8, numbering.ilvl.val) if numbering.ilvl is not None else 0
    if style.startswith("List"):
        return max(0, int(style[-1]) - 1) if style[-1:].isdecimal() else 0
    return None
