"""EPUB books: the pages of the spine, in order, as one document. Knows of XHTML what `html` knows."""

from __future__ import annotations

import posixpath
import zipfile
from urllib.parse import unquote
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from services.retriever.canonical import CanonicalBuilder, CanonicalText, DocumentRejected
from services.retriever.parsers.archive import entry, open_archive
from services.retriever.parsers.decoding import decode
from services.retriever.parsers.html import add_fragment

MAX_PAGES = 10_000
_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
_PAGE_TYPES = ("application/xhtml+xml", "text/html")
# Fonts are scrambled, which hides no text.
_FONTS_ONLY = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")


def parse_epub(data: bytes) -> CanonicalText:
    """Blocks of a book; title, language and date come from its package.

    Raises:
        DocumentRejected: DOCUMENT_EMPTY, DOCUMENT_ENCRYPTED, DOCUMENT_TOO_LARGE, DOCUMENT_UNREADABLE, MEDIA_TYPE_UNSUPPORTED.
    """
    with open_archive(data, "EPUB book") as archive:
        if _CONTAINER not in archive.namelist():
            raise DocumentRejected("MEDIA_TYPE_UNSUPPORTED", "the zip file holds no EPUB book")
        _refuse_protected(archive)
        root = next((node for node in _xml(archive, _CONTAINER).iter() if _tag(node) == "rootfile"), None)
        place = root.get("full-path", "") if root is not None else ""
        package = _xml(archive, place)
        builder = CanonicalBuilder()
        for name in _spine(package, posixpath.dirname(place)):
            add_fragment(builder, decode(entry(archive, name)))
    return builder.build(title=_meta(package, "title"), language=_meta(package, "language"), published=_meta(package, "date"))


def _refuse_protected(archive: zipfile.ZipFile) -> None:
    if _ENCRYPTION not in archive.namelist():
        return
    methods = [node.get("Algorithm", "") for node in _xml(archive, _ENCRYPTION).iter() if _tag(node) == "EncryptionMethod"]
    if any(method not in _FONTS_ONLY for method in methods):
        raise DocumentRejected("DOCUMENT_ENCRYPTED", "the book is protected against copying and cannot be read")


def _xml(archive: zipfile.ZipFile, name: str) -> Element:
    try:
        parsed: Element = fromstring(entry(archive, name), forbid_dtd=False)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise DocumentRejected("DOCUMENT_UNREADABLE", f"the book's {name[:100]!r} is no XML that may be read") from error
    return parsed


def _spine(package: Element, folder: str) -> list[str]:
    items = {node.get("id", ""): node for node in package.iter() if _tag(node) == "item"}
    wanted = [items.get(node.get("idref", "")) for node in package.iter() if _tag(node) == "itemref"]
    pages = [
        posixpath.normpath(posixpath.join(folder, unquote(node.get("href", ""))))
        for node in wanted
        # The navigation repeats every heading.
        if node is not None and node.get("media-type") in _PAGE_TYPES and "nav" not in node.get("properties", "").split()
    ]
    if len(pages) > MAX_PAGES:
        raise DocumentRejected("DOCUMENT_TOO_LARGE", f"the book has more than {MAX_PAGES} pages: split it")
    return pages


def _meta(package: Element, name: str) -> str:
    return next((" ".join(node.itertext()).strip() for node in package.iter() if _tag(node) == name), "")


def _tag(node: Element) -> str:
    return str(node.tag).rpartition("}")[2]
