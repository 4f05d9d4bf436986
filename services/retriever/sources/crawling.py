"""Reads a web site or a feed: from sitemap, feeds and links to pages, within the site, robots.txt and the limits.

Decides which addresses are asked and in which order. Knows neither store nor sockets.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from protego import Protego

from services.retriever.canonical import CanonicalText, DocumentRejected
from services.retriever.parsing import LISTING, MEDIA_TYPES
from services.retriever.sources.fetching import ROBOT, Fetched, Fetcher
from services.retriever.sources.naming import document_id
from services.retriever.sources.news import Ended, Limits, News, Page, Parse, Passed, Unread
from services.retriever.sources.urls import may_hold_text, normal, site_of
from services.retriever.truth_sources import Known

MAX_WAITING = 100_000
MAX_LISTINGS = 200
MAX_UNREACHABLE = 10
"""Pages in a row that cannot be reached: then the site is away."""
_MAX_ROBOTS_CHARS = 512 * 1024
_MAX_DELAY = 60.0
_GONE = (404, 410)
# Where sites keep what their front page does not lead to.
_INDEXES = ("/blog", "/news", "/articles", "/posts", "/docs", "/feed", "/rss.xml", "/atom.xml", "/feed.xml", "/index.xml")
_HTML = ("text/html", "application/xhtml+xml")
_LISTINGS = ("application/rss+xml", "application/atom+xml", "application/xml", "text/xml")


@dataclass(frozen=True, slots=True)
class _Wanted:
    url: str
    depth: int
    guessed: bool = False
    """Nobody has said that it is there."""


class Crawl:
    """One reading of a site or a feed.

    Args:
        prefix: first part of the documents' names.
        known: what was known of addresses after the reading before.
        pipeline: how documents are cut today; what was cut otherwise is parsed again.
    """

    def __init__(
        self, fetcher: Fetcher, parse: Parse, *, prefix: str, known: Mapping[str, Known], pipeline: str, limits: Limits
    ) -> None:
        self._fetcher = fetcher
        self._parse = parse
        self._prefix = prefix
        self._known = known
        self._pipeline = pipeline
        self._limits = limits
        self._waiting: deque[_Wanted] = deque()
        self._seen: set[str] = set()
        self._documents: set[str] = set()
        self._robots: dict[str, Protego] = {}
        self._listings = 0
        self._site = ""
        self._first: dict[str, Fetched] = {}
        """The first page, which was fetched to see where it leads."""

    @property
    def waiting(self) -> int:
        """Addresses that were not asked for yet."""
        return len(self._waiting)

    async def site(self, start: str) -> AsyncGenerator[News, None]:
        """All of a site that can be found from its first page.

        Raises:
            DocumentRejected: SOURCE_UNREACHABLE, ADDRESS_NOT_ALLOWED for the first page.
        """
        start = normal(start)
        self._site = site_of(start)
        robots = await self._robots_of(start)
        first = await self._fetcher.get(start)
        # A site that moved to another name is that other name's.
        self._site = site_of(first.url)
        if first.status >= 400:
            raise DocumentRejected("SOURCE_UNREACHABLE", f"the first page answers with status {first.status}")
        self._first[first.url] = first
        self._want(first.url, 0)
        for sitemap in [*robots.sitemaps, urljoin(first.url, "/sitemap.xml")]:
            await self._listing(sitemap)
        for index in _INDEXES:
            self._want(urljoin(first.url, index), 1, guessed=True)
        async for news in self._run():
            yield news

    async def feed(self, start: str) -> AsyncGenerator[News, None]:
        """The pages that a feed names, wherever they lie.

        Raises:
            DocumentRejected: as `site`, and DOCUMENT_UNREADABLE where it is no feed.
        """
        found = await self._fetcher.get(normal(start))
        if found.status >= 400:
            raise DocumentRejected("SOURCE_UNREACHABLE", f"the feed answers with status {found.status}")
        for link in (await self._parse(found.data, LISTING, found.url)).links:
            self._want(link, self._limits.depth)
        async for news in self._run():
            yield news

    async def _run(self) -> AsyncGenerator[News, None]:
        asked = unreachable = 0
        while self._waiting:
            if asked >= self._limits.pages:
                yield Ended("max_pages")
                return
            wanted = self._waiting.popleft()
            asked += 1
            try:
                news = await self._page(wanted)
                unreachable = 0
            except DocumentRejected as rejected:
                if wanted.guessed:
                    continue
                unreachable += rejected.reason == "SOURCE_UNREACHABLE"
                if unreachable >= MAX_UNREACHABLE:
                    raise DocumentRejected(
                        "SOURCE_UNREACHABLE", f"{MAX_UNREACHABLE} pages in a row could not be read"
                    ) from rejected
                news = Unread(wanted.url, rejected.reason, rejected.message)
            if news is not None:
                yield news

    async def _page(self, wanted: _Wanted) -> News | None:
        url = wanted.url
        if not (await self._robots_of(url)).can_fetch(url, ROBOT):
            return None if wanted.guessed else Passed(None, url)
        known = self._known.get(url)
        # What an older release cut is asked for whole.
        fresh = known is not None and known.pipeline == self._pipeline
        etag, modified = (known.etag, known.last_modified) if known is not None and fresh else ("", "")
        found = self._first.pop(url, None) or await self._fetcher.get(url, etag=etag, last_modified=modified, allowed=self._allowed)
        if found.status == 304 and known is not None:
            return self._unchanged(wanted, known)
        if found.status in _GONE:
            return None if wanted.guessed else Passed(None, url)
        if found.status != 200:
            raise DocumentRejected("SOURCE_UNREACHABLE", f"the page answers with status {found.status}")
        if found.url != url:
            if found.url in self._seen:
                return None if wanted.guessed else Passed(None, url)
            self._seen.add(found.url)
        digest = hashlib.sha256(found.data).hexdigest()
        if known is not None and fresh and known.sha256 == digest:
            return self._unchanged(wanted, known)
        return await self._changed(wanted, found, digest)

    def _unchanged(self, wanted: _Wanted, known: Known) -> News:
        self._follow(known.links, wanted)
        if not known.document or known.document in self._documents:
            return Passed(known, wanted.url)
        self._documents.add(known.document)
        return Page(known, wanted.url, None)

    async def _changed(self, wanted: _Wanted, found: Fetched, digest: str) -> News | None:
        kind = found.media_type.partition(";")[0].strip()
        if kind in _LISTINGS:
            await self._take_listing(found)
            return None if wanted.guessed else Passed(None, wanted.url)
        media_type = f"{found.media_type}; profile=page" if kind == "text/html" else found.media_type
        if kind == "application/xhtml+xml":
            media_type = "text/html; profile=page"
        elif kind not in MEDIA_TYPES:
            return Passed(None, wanted.url)
        parsed = await self._parse(found.data, media_type, found.url)
        links = tuple(link for link in map(normal, parsed.links) if link and self._allowed(link))
        for feed in parsed.feeds:
            await self._listing(feed)
        self._follow(links, wanted)
        uri = self._own_uri(found.url, parsed)
        name = document_id(f"{self._prefix}/{uri.partition('://')[2]}".encode())
        bare = not parsed.blocks or not parsed.listed or "noindex" in found.robots
        known = Known(wanted.url, "" if bare else name, found.etag, found.last_modified, digest, self._pipeline, links)
        if bare or name in self._documents:
            return Passed(known, wanted.url)
        self._documents.add(name)
        return Page(known, uri, parsed, media_type, len(found.data))

    def _own_uri(self, url: str, parsed: CanonicalText) -> str:
        """The address that the page calls its own, where that is one of the same site; a page speaks for no other site."""
        own = normal(parsed.uri) if parsed.uri else ""
        front = urlsplit(own).path in ("", "/") and urlsplit(url).path not in ("", "/")
        return own if own and site_of(own) == site_of(url) and not front else url

    def _want(self, url: str, depth: int, *, guessed: bool = False) -> None:
        found = normal(url)
        if not found or found in self._seen or len(self._waiting) >= MAX_WAITING or not may_hold_text(found):
            return
        if not self._allowed(found):
            return
        self._seen.add(found)
        self._waiting.append(_Wanted(found, depth, guessed))

    def _follow(self, links: tuple[str, ...], wanted: _Wanted) -> None:
        if wanted.depth < self._limits.depth:
            for link in links:
                self._want(link, wanted.depth + 1)

    def _allowed(self, url: str) -> bool:
        return not self._site or site_of(url) == self._site

    async def _listing(self, url: str) -> None:
        """Wants what a sitemap or feed names; one that cannot be read is none."""
        found = normal(url)
        if not found or found in self._seen or not self._allowed(found) or self._listings >= MAX_LISTINGS:
            return
        self._seen.add(found)
        self._listings += 1
        try:
            if not (await self._robots_of(found)).can_fetch(found, ROBOT):
                return
            fetched = await self._fetcher.get(found, allowed=self._allowed)
            if fetched.status == 200:
                await self._take_listing(fetched)
        except DocumentRejected:
            return

    async def _take_listing(self, fetched: Fetched) -> None:
        listing = await self._parse(fetched.data, LISTING, fetched.url)
        for link in listing.links:
            self._want(link, 1)
        for below in listing.feeds:
            await self._listing(below)

    async def _robots_of(self, url: str) -> Protego:
        """The rules of the host of `url`; none where it has none.

        Raises:
            DocumentRejected: SOURCE_UNREACHABLE where they cannot be read, for then nothing is allowed (RFC 9309).
        """
        parts = urlsplit(url)
        place = f"{parts.scheme}://{parts.netloc}"
        if place not in self._robots:
            found = await self._fetcher.get(f"{place}/robots.txt")
            if found.status >= 500:
                raise DocumentRejected("SOURCE_UNREACHABLE", f"robots.txt answers with status {found.status}")
            text = found.data[:_MAX_ROBOTS_CHARS].decode("utf-8", "replace") if found.status == 200 else ""
            self._robots[place] = Protego.parse(text)
            self._fetcher.slow_down(min(self._robots[place].crawl_delay(ROBOT) or 0.0, _MAX_DELAY))
        return self._robots[place]
