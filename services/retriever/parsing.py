"""One document from its bytes to its canonical text, by media type. Pure: runs in the parser process and in tests alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from services.retriever.canonical import CanonicalText, DocumentRejected
from services.retriever.parsers.decoding import decode
from services.retriever.parsers.html import parse_html
from services.retriever.parsers.markdown import parse_markdown
from services.retriever.parsers.plain import parse_plain

PARSER_VERSION = 1
"""Moves when the same bytes get another canonical text, so that a document imported again is parsed again."""

_PARSERS: Mapping[str, Callable[[str], CanonicalText]] = {
    "text/plain": parse_plain,
    "text/markdown": parse_markdown,
    "text/html": parse_html,
}


def media_type_of(announced: str) -> tuple[str, str]:
    """Media type in lower case, and the encoding that its `charset` parameter names, or nothing.

    Raises:
        DocumentRejected: MEDIA_TYPE_UNSUPPORTED.
    """
    kind, *parameters = [part.strip() for part in announced.lower().split(";")]
    if kind not in _PARSERS:
        raise DocumentRejected(
            "MEDIA_TYPE_UNSUPPORTED", f"documents of type {kind} cannot be read: use one of {', '.join(_PARSERS)}"
        )
    charset = next((value.partition("=")[2].strip("\"' ") for value in parameters if value.startswith("charset=")), "")
    return kind, charset


def parse(data: bytes, media_type: str) -> CanonicalText:
    """The canonical text of a document.

    Raises:
        DocumentRejected: DOCUMENT_EMPTY, MEDIA_TYPE_UNSUPPORTED, DOCUMENT_UNREADABLE or DOCUMENT_TOO_LARGE.
    """
    kind, charset = media_type_of(media_type)
    if not data.strip():
        raise DocumentRejected("DOCUMENT_EMPTY", "the document holds no bytes but white space")
    text = decode(data, charset)
    try:
        return _PARSERS[kind](text)
    except (DocumentRejected, MemoryError):
        raise
    except Exception as error:  # whatever a parser raises on a hostile document, it is that document's defect
        raise DocumentRejected(
            "DOCUMENT_UNREADABLE", f"the document is no {kind} that can be parsed ({type(error).__name__})"
        ) from error
