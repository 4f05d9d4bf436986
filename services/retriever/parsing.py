"""One document from its bytes to its canonical text, by media type. Pure: runs in the parser process and in tests alike.

A format's library is loaded when its first document comes: together they take longer to load than to parse most documents.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module

from services.retriever.canonical import CanonicalText, DocumentRejected
from services.retriever.near_duplicates import signature
from services.retriever.parsers.decoding import decode

PARSER_VERSION = 3
"""Moves when the same bytes get another canonical text, so that a document imported again is parsed again."""

_OFFICE = "application/vnd.openxmlformats-officedocument"
# Media type -> module of `parsers` and function in it, for what is text and for what is not.
_OF_TEXT: Mapping[str, tuple[str, str]] = {
    "text/plain": ("plain", "parse_plain"),
    "text/markdown": ("markdown", "parse_markdown"),
    "text/html": ("html", "parse_html"),
    "text/csv": ("sheets", "parse_csv"),
    "application/json": ("values", "parse_json"),
    "application/jsonl": ("values", "parse_json_lines"),
}
_OF_BYTES: Mapping[str, tuple[str, str]] = {
    "application/pdf": ("pdf", "parse_pdf"),
    f"{_OFFICE}.wordprocessingml.document": ("docx", "parse_docx"),
    f"{_OFFICE}.presentationml.presentation": ("pptx", "parse_pptx"),
    f"{_OFFICE}.spreadsheetml.sheet": ("sheets", "parse_xlsx"),
    "application/epub+zip": ("epub", "parse_epub"),
    "message/rfc822": ("mail", "parse_mail"),
}
MEDIA_TYPES = (*_OF_TEXT, *_OF_BYTES)
"""What can be read."""
LISTING = "application/x-listing"
"""Stands for sitemaps and feeds between a crawl and the parser process. No document: an import of it is refused."""


def media_type_of(announced: str) -> tuple[str, dict[str, str]]:
    """Media type in lower case, and its parameters.

    `charset` names the encoding of a text. `profile=page` of `text/html` takes the main text of a web page alone, instead of all
    that a reader would see.

    Raises:
        DocumentRejected: MEDIA_TYPE_UNSUPPORTED.
    """
    kind, *parameters = [part.strip() for part in announced.lower().split(";")]
    if kind not in _OF_TEXT and kind not in _OF_BYTES:
        raise DocumentRejected(
            "MEDIA_TYPE_UNSUPPORTED", f"documents of type {kind} cannot be read: use one of {', '.join(MEDIA_TYPES)}"
        )
    pairs = (value.partition("=") for value in parameters)
    return kind, {name.strip(): value.strip("\"' ") for name, _, value in pairs}


def parse(data: bytes, media_type: str, url: str = "") -> CanonicalText:
    """The canonical text of a document.

    Args:
        url: where a web page came from; its links are relative to it.

    Raises:
        DocumentRejected: DOCUMENT_EMPTY, DOCUMENT_ENCRYPTED, DOCUMENT_WITHOUT_TEXT, MEDIA_TYPE_UNSUPPORTED, DOCUMENT_UNREADABLE or
            DOCUMENT_TOO_LARGE.
    """
    if media_type == LISTING:
        return _function(("listing", "parse_listing"))(data)
    kind, parameters = media_type_of(media_type)
    if not data.strip():
        raise DocumentRejected("DOCUMENT_EMPTY", "the document holds no bytes but white space")
    try:
        parsed = _parsed(data, kind, parameters, url)
        return replace(parsed, minhash=signature(parsed.text.decode()))
    except (DocumentRejected, MemoryError):
        raise
    except Exception as error:  # whatever a parser raises on a hostile document, it is that document's defect
        raise DocumentRejected(
            "DOCUMENT_UNREADABLE", f"the document is no {kind} that can be parsed ({type(error).__name__})"
        ) from error


def _parsed(data: bytes, kind: str, parameters: Mapping[str, str], url: str) -> CanonicalText:
    if kind in _OF_BYTES:
        return _function(_OF_BYTES[kind])(data)
    text = decode(data, parameters.get("charset", ""))
    if kind == "text/html" and parameters.get("profile") == "page":
        return _function(("page", "parse_page"))(text, url)
    return _function(_OF_TEXT[kind])(text)


def _function(place: tuple[str, str]) -> Callable[..., CanonicalText]:
    found: Callable[..., CanonicalText] = getattr(import_module(f"services.retriever.parsers.{place[0]}"), place[1])
    return found
