"""Lists of addresses: sitemaps, and RSS and Atom feeds. No documents, so no media type that is imported stands for them."""

from __future__ import annotations

import zlib
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from services.retriever.canonical import CanonicalText, DocumentRejected

MAX_LINKS = 50_000
MAX_INFLATED_BYTES = 50 * 1024 * 1024
"""As sitemaps.org says."""


def parse_listing(data: bytes) -> CanonicalText:
    """Links of a listing, in its order, without text: `links` of pages, `feeds` of further listings.

    Raises:
        DocumentRejected: DOCUMENT_UNREADABLE, DOCUMENT_TOO_LARGE.
    """
    if data.startswith(b"\x1f\x8b"):
        data = _inflated(data)
    if not data.lstrip().startswith(b"<"):
        lines = data.decode("utf-8", "replace").split()
        return CanonicalText(b"", (), links=_web(lines))
    try:
        root: Element = fromstring(data)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise DocumentRejected("DOCUMENT_UNREADABLE", "the listing is no XML that may be read") from error
    kind = _tag(root)
    if kind == "sitemapindex":
        return CanonicalText(b"", (), feeds=_web(_texts(root, "loc")))
    if kind == "urlset":
        return CanonicalText(b"", (), links=_web(_texts(root, "loc")))
    entries = [node for node in root.iter() if _tag(node) in ("item", "entry")]
    if not entries:
        raise DocumentRejected("DOCUMENT_UNREADABLE", "the listing is neither a sitemap nor a feed with entries")
    return CanonicalText(b"", (), links=_web([link for entry in entries if (link := _link(entry))]))


def _link(entry: Element) -> str:
    """RSS has the address as text of `link`, Atom as its `href`."""
    for node in entry:
        found = (node.get("href") or node.text or "").strip()
        if found and _tag(node) == "link" and node.get("rel", "alternate") == "alternate":
            return found
    guid = next((node for node in entry if _tag(node) in ("guid", "id")), None)
    return (guid.text or "").strip() if guid is not None and guid.get("isPermaLink", "true") == "true" else ""


def _inflated(data: bytes) -> bytes:
    inflater = zlib.decompressobj(wbits=31)
    try:
        found = inflater.decompress(data, MAX_INFLATED_BYTES)
    except zlib.error as error:
        raise DocumentRejected("DOCUMENT_UNREADABLE", "the listing is damaged") from error
    if inflater.unconsumed_tail:
        raise DocumentRejected("DOCUMENT_TOO_LARGE", f"the listing inflates to more than {MAX_INFLATED_BYTES} bytes")
    return found


def _texts(root: Element, tag: str) -> list[str]:
    return [(node.text or "").strip() for node in root.iter() if _tag(node) == tag]


def _web(links: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(link for link in links if link.startswith(("http://", "https://"))))[:MAX_LINKS]


def _tag(node: Element) -> str:
    return str(node.tag).rpartition("}")[2]
