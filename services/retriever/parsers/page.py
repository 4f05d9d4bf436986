"""Web pages as a crawl finds them: the main text by trafilatura, with title, date, language, canonical address and links.

What a browser hides is taken out first. Never fetches anything.
"""

from __future__ import annotations

import html
import logging
import re
from urllib.parse import urljoin

import trafilatura
from selectolax.lexbor import LexborHTMLParser

from services.retriever.canonical import CanonicalBuilder, CanonicalText, DocumentRejected
from services.retriever.parsers.html import add_fragment, page_language, parse_html, remove_hidden

MAX_LINKS = 5_000
MAX_LINK_CHARS = 2_000
_NO_INDEX = re.compile(r"\bnoindex\b", re.IGNORECASE)
_NO_FOLLOW = re.compile(r"\bnofollow\b", re.IGNORECASE)
_FEEDS = ("application/rss+xml", "application/atom+xml")

logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
logging.getLogger("htmldate").setLevel(logging.CRITICAL)


def parse_page(text: str, url: str = "") -> CanonicalText:
    """Blocks of the main text of a page; where it has none, of all that a reader would see.

    Args:
        url: where the page came from; its links are relative to it.

    Raises:
        DocumentRejected: DOCUMENT_EMPTY, DOCUMENT_TOO_LARGE.
    """
    tree = LexborHTMLParser(text)
    links, feeds = _links(tree, url)
    robots = " ".join((node.attributes.get("content") or "") for node in tree.css("meta[name=robots], meta[name=ROBOTS]"))
    language = page_language(tree)
    remove_hidden(tree)
    for node in tree.css("pre"):
        if node.css_first("code") is None:  # without it trafilatura takes code for a quote and joins its lines
            marked = LexborHTMLParser(f"<pre><code>{html.escape(node.text())}</code></pre>").css_first("pre")
            node.replace_with(marked if marked is not None else "")
    visible = tree.html or ""
    found = trafilatura.bare_extraction(visible, url=url or None, with_metadata=True, include_comments=False, include_tables=True)
    metadata = found.as_dict() if found is not None and not isinstance(found, dict) else found or {}
    main = trafilatura.extract(visible, url=url or None, output_format="html", include_comments=False, include_tables=True)
    values = {
        "language": language or str(metadata.get("language") or ""),
        "published": str(metadata.get("date") or ""),
        "uri": str(metadata.get("url") or ""),
        "links": () if _NO_FOLLOW.search(robots) else links,
        "feeds": feeds,
        "listed": not _NO_INDEX.search(robots),
    }
    builder = CanonicalBuilder()
    title = str(metadata.get("title") or "")
    if main:
        add_fragment(builder, main)
    if builder.empty:
        whole = _whole(text)
        return whole.with_source(**values) if whole is not None else CanonicalText(b"", (), title).with_source(**values)
    return builder.build(title=title or builder.first_heading()).with_source(**values)


def _whole(text: str) -> CanonicalText | None:
    try:
        return parse_html(text)
    except DocumentRejected as rejected:
        if rejected.reason != "DOCUMENT_EMPTY":
            raise
        return None


def _links(tree: LexborHTMLParser, url: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    base = tree.css_first("base[href]")
    root = urljoin(url, base.attributes.get("href") or "") if base is not None else url
    links: dict[str, None] = {}
    for node in tree.css("a[href], area[href]"):
        if "nofollow" in (node.attributes.get("rel") or "").lower().split():
            continue
        _keep(links, root, node.attributes.get("href"))
    feeds: dict[str, None] = {}
    for node in tree.css("link[rel~=alternate][href]"):
        if (node.attributes.get("type") or "").lower() in _FEEDS:
            _keep(feeds, root, node.attributes.get("href"))
    return tuple(links), tuple(feeds)


def _keep(found: dict[str, None], root: str, target: str | None) -> None:
    if not target or len(found) >= MAX_LINKS:
        return
    try:
        joined = urljoin(root, target.strip()).partition("#")[0]
    except ValueError:
        return
    if joined.startswith(("http://", "https://")) and len(joined) <= MAX_LINK_CHARS:
        found[joined] = None
