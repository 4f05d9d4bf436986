"""Crawling a real site on loopback: what is found, what is asked for again, what is refused, and where it ends."""

from __future__ import annotations

import asyncio
import gzip
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from services.retriever.canonical import CanonicalText, DocumentRejected
from services.retriever.parsing import parse
from services.retriever.sources.addresses import Addresses
from services.retriever.sources.crawling import MAX_UNREACHABLE, Crawl
from services.retriever.sources.fetching import MAX_REDIRECTS, Fetcher
from services.retriever.sources.news import Ended, Limits, News, Page, Passed, Unread
from services.retriever.sources.repository import read_repository
from services.retriever.truth_sources import Known
from tests.unit.retriever import document_samples as samples
from tests.unit.retriever.local_site import WORDS, Answer, Site, local_site

LIMITS = Limits(delay=0.0)


async def read(data: bytes, media_type: str, url: str) -> CanonicalText:
    return parse(data, media_type, url)


async def crawl(
    site: Site,
    known: dict[str, Known] | None = None,
    limits: Limits = LIMITS,
    start: str = "/",
    feed: bool = False,
    pipeline: str = "p",
) -> list[News]:
    site.asked.clear()
    fetcher = Fetcher(Addresses(allow_private=True), max_bytes=limits.page_bytes, delay=limits.delay)
    made = Crawl(fetcher, read, prefix="s", known=known or {}, pipeline=pipeline, limits=limits)
    reading = made.feed if feed else made.site
    try:
        return [news async for news in reading(site.url + start)]
    finally:
        await fetcher.close()


def paths(news: list[News], site: Site) -> list[str]:
    return sorted(one.uri.removeprefix(site.url) for one in news if isinstance(one, Page))


def known_of(news: list[News]) -> dict[str, Known]:
    return {one.known.uri: one.known for one in news if isinstance(one, (Page, Passed)) and one.known is not None}


def small_site(site: Site) -> None:
    site.page("/", "Home", links={"/a": "A", "/b?utm_source=x": "B", "https://elsewhere.example/": "away", "/photo.jpg": "photo"})
    site.page("/a", "Alpha", links={"/a/deep": "deeper", "/": "back"})
    site.page("/b", "Beta")
    site.page("/a/deep", "Deep")


async def test_all_that_links_lead_to_is_found_once_and_nothing_outside(site: Site) -> None:
    small_site(site)
    news = await crawl(site)
    assert paths(news, site) == ["/", "/a", "/a/deep", "/b"]
    asked = [path for path in site.asked if path in site.pages]
    assert sorted(asked) == ["/", "/a", "/a/deep", "/b"]
    assert site.most_open == 1
    assert all("ragmesh" in agent for agent in site.agents)
    (alpha,) = [one for one in news if isinstance(one, Page) and one.uri.endswith("/a")]
    assert alpha.parsed is not None
    assert alpha.parsed.title == "Alpha"
    assert alpha.parsed.language == "en"
    assert not [one for one in news if isinstance(one, Unread)]


async def test_what_did_not_change_is_neither_sent_nor_parsed_again(site: Site) -> None:
    small_site(site)
    site.pages["/b"] = replace(site.pages["/b"], etag=False)
    known = known_of(await crawl(site))
    site.page("/a", "Alpha, changed", links={"/a/deep": "deeper"})
    second = await crawl(site, known)
    assert paths(second, site) == ["/", "/a", "/a/deep", "/b"]
    assert [one.uri.removeprefix(site.url) for one in second if isinstance(one, Page) and one.parsed is not None] == ["/a"]
    # Another release cuts otherwise: all of it is read again.
    third = await crawl(site, known, pipeline="q")
    assert all(one.parsed is not None for one in third if isinstance(one, Page))


async def test_sitemaps_feeds_and_indexes_lead_to_what_no_link_does(site: Site) -> None:
    site.page("/", "Home", head='<link rel="alternate" type="application/atom+xml" href="/updates">')
    for name in ("one", "two", "three", "four"):
        site.page(f"/{name}", name.title())
    site.page("/blog", "The blog", links={"/four": "Four"})
    index = f"<sitemapindex><sitemap><loc>{site.url}/more.xml.gz</loc></sitemap></sitemapindex>"
    site.pages["/robots.txt"] = Answer(f"User-agent: *\nSitemap: {site.url}/index.xml.map".encode(), "text/plain")
    site.pages["/index.xml.map"] = Answer(index.encode(), "application/xml")
    more = f"<urlset><url><loc>{site.url}/one</loc></url><url><loc>https://elsewhere.example/</loc></url></urlset>"
    site.pages["/more.xml.gz"] = Answer(gzip.compress(more.encode()), "application/gzip")
    feed = f'<feed xmlns="http://www.w3.org/2005/Atom"><entry><link href="{site.url}/two"/></entry></feed>'
    site.pages["/updates"] = Answer(feed.encode(), "application/atom+xml")
    rss = f"<rss><channel><link>{site.url}/</link><item><link>{site.url}/three</link></item></channel></rss>"
    site.pages["/rss.xml"] = Answer(rss.encode(), "application/rss+xml")
    assert paths(await crawl(site), site) == ["/", "/blog", "/four", "/one", "/three", "/two"]


async def test_a_feed_is_the_pages_that_it_names(site: Site) -> None:
    small_site(site)
    rss = f"<rss><channel><item><link>{site.url}/a</link></item><item><guid>{site.url}/b</guid></item></channel></rss>"
    site.pages["/feed"] = Answer(rss.encode(), "application/rss+xml")
    assert paths(await crawl(site, start="/feed", feed=True), site) == ["/a", "/b"]
    site.pages["/feed"] = Answer(b"<html><body>no feed</body></html>")
    with pytest.raises(DocumentRejected) as caught:
        await crawl(site, start="/feed", feed=True)
    assert caught.value.reason == "DOCUMENT_UNREADABLE"


async def test_robots_are_obeyed(site: Site) -> None:
    small_site(site)
    site.page("/a/open", "Open")
    site.pages["/robots.txt"] = Answer(b"User-agent: ragmesh\nDisallow: /a/*\nAllow: /a/open$\nDisallow: /*?", "text/plain")
    site.page("/", "Home", links={"/a": "A", "/a/deep": "D", "/a/open": "O", "/b?x=1": "B"})
    assert paths(await crawl(site), site) == ["/", "/a", "/a/open"]
    assert "/a/deep" not in site.asked
    site.pages["/robots.txt"] = Answer(b"", status=500)
    with pytest.raises(DocumentRejected) as caught:
        await crawl(site)
    assert caught.value.reason == "SOURCE_UNREACHABLE"


async def test_pages_may_ask_not_to_be_kept_or_followed(site: Site) -> None:
    site.page("/", "Home", links={"/hidden": "h", "/header": "x"})
    site.page("/hidden", "Hidden", links={"/behind": "b"}, head='<meta name="robots" content="noindex">')
    site.page("/behind", "Behind")
    site.page("/header", "Header")
    site.pages["/header"] = replace(site.pages["/header"], headers={"X-Robots-Tag": "noindex"})
    assert paths(await crawl(site), site) == ["/", "/behind"]


async def test_pages_that_call_themselves_the_same_are_one(site: Site) -> None:
    own = f'<link rel="canonical" href="{site.url}/a">'
    site.page("/", "Home", links={"/a?sort=up": "A", "/a?sort=down": "A again"})
    for query in ("up", "down"):
        site.page(f"/a?sort={query}", "Alpha", head=own)
    news = await crawl(site)
    assert paths(news, site) == ["/", "/a"]
    assert len([one for one in news if isinstance(one, Passed)]) == 1
    # A page speaks for no other site.
    site.page("/b", "Beta", head='<link rel="canonical" href="https://elsewhere.example/b">')
    assert paths(await crawl(site, start="/b"), site) == ["/b"]


async def test_documents_of_other_kinds_are_read_and_programs_are_not(site: Site) -> None:
    site.page("/", "Home", links={"/paper.pdf": "p", "/tool": "t", "/empty": "e"})
    pdf = samples.pdf([[(11.0, 700.0, "A paper about the keeping of zebras.")]])
    site.pages["/paper.pdf"] = Answer(pdf, "application/pdf")
    site.pages["/tool"] = Answer(b"\x7fELF", "application/octet-stream")
    site.pages["/empty"] = Answer(b"<html><body></body></html>")
    news = await crawl(site)
    assert paths(news, site) == ["/", "/paper.pdf"]
    assert not [one for one in news if isinstance(one, Unread)]


async def test_what_cannot_be_read_is_named_and_stops_nothing(site: Site) -> None:
    site.page("/", "Home", links={"/broken": "1", "/large": "2", "/loop": "3", "/away": "4", "/gone": "5", "/fine": "6"})
    site.pages["/broken"] = Answer(b"oops", status=500)
    site.pages["/large"] = Answer(b"<p>" + b"x" * 70_000)
    site.pages["/loop"] = Answer(status=302, headers={"Location": "/loop?again"})
    site.pages["/loop?again"] = Answer(status=302, headers={"Location": "/loop"})
    site.pages["/away"] = Answer(status=301, headers={"Location": "https://elsewhere.example/"})
    site.page("/fine", "Fine")
    news = await crawl(site, limits=replace(LIMITS, page_bytes=65_536))
    assert paths(news, site) == ["/", "/fine"]
    assert {one.uri.removeprefix(site.url): one.reason for one in news if isinstance(one, Unread)} == {
        "/broken": "SOURCE_UNREACHABLE",
        "/large": "DOCUMENT_TOO_LARGE",
        "/loop": "SOURCE_UNREACHABLE",
        "/away": "ADDRESS_NOT_ALLOWED",
    }
    assert site.asked.count("/loop") + site.asked.count("/loop?again") == MAX_REDIRECTS + 1


async def test_a_bomb_of_compressed_bytes_is_cut_off(site: Site) -> None:
    bomb = gzip.compress(b"<p>" + b"a" * (64 * 1024 * 1024))
    site.page("/", "Home", links={"/bomb": "b"})
    site.pages["/bomb"] = Answer(bomb, headers={"Content-Encoding": "gzip"})
    news = await crawl(site)
    assert [one.reason for one in news if isinstance(one, Unread)] == ["DOCUMENT_TOO_LARGE"]


async def test_limits_end_it_and_say_so(site: Site) -> None:
    site.page("/", "Home", links={f"/{number}": f"{number}" for number in range(9)})
    for number in range(9):
        site.page(f"/{number}", f"Page {number}", links={f"/{number}/below": "below"})
        site.page(f"/{number}/below", f"Below {number}")
    news = await crawl(site, limits=replace(LIMITS, pages=4))
    assert news[-1] == Ended("max_pages")
    assert len(paths(news, site)) <= 4
    shallow = await crawl(site, limits=replace(LIMITS, depth=1))
    assert len(paths(shallow, site)) == 10


async def test_a_site_that_goes_away_in_the_middle_is_unreachable_not_empty(site: Site) -> None:
    site.page("/", "Home", links={f"/{number}": f"{number}" for number in range(30)})
    for number in range(30):
        site.pages[f"/{number}"] = Answer(b"", status=502)
    with pytest.raises(DocumentRejected) as caught:
        await crawl(site)
    assert caught.value.reason == "SOURCE_UNREACHABLE"
    assert len([path for path in site.asked if path.strip("/").isdigit()]) <= MAX_UNREACHABLE


async def test_pauses_are_kept_to() -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    with local_site() as site:
        site.page("/", "Home", links={"/a": "A"})
        site.page("/a", "Alpha")
        site.pages["/robots.txt"] = Answer(b"User-agent: *\nCrawl-delay: 7", "text/plain")
        fetcher = Fetcher(Addresses(allow_private=True), max_bytes=1 << 20, delay=3.0, sleep=sleep)
        made = Crawl(fetcher, read, prefix="s", known={}, pipeline="p", limits=LIMITS)
        assert len([news async for news in made.site(site.url)]) == 2
        await fetcher.close()
    assert waited
    assert 6.0 < waited[-1] <= 7.0


async def test_a_site_that_is_busy_is_asked_again_once() -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    with local_site() as site:
        site.pages["/"] = Answer(b"busy", status=503, headers={"Retry-After": "9"})
        fetcher = Fetcher(Addresses(allow_private=True), max_bytes=1 << 20, delay=0.0, sleep=sleep)
        assert (await fetcher.get(f"{site.url}/")).status == 503
        await fetcher.close()
    assert site.asked == ["/", "/"]
    assert waited == [9.0]


# --- Git -----------------------------------------------------------------------------------------------------------------------


async def test_a_repository_is_read_at_its_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work, bare = tmp_path / "work", tmp_path / "site" / "docs.git"
    (work / "guide").mkdir(parents=True)
    (work / "README.md").write_text(f"# Read me\n\n{WORDS}\n")
    (work / "guide" / "use.rst").write_text(f"Use\n===\n\n{WORDS}\n")
    (work / "code.py").write_text("print()\n")
    (work / "outside.md").symlink_to("/etc/hostname")

    def git(*arguments: str, cwd: Path = work) -> None:
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *identity, *arguments], cwd=cwd, check=True, capture_output=True)  # noqa: S607 - of the machine

    await asyncio.to_thread(git, "init", "-q", "-b", "main")
    await asyncio.to_thread(git, "add", ".")
    await asyncio.to_thread(git, "commit", "-q", "-m", "docs")
    await asyncio.to_thread(git, "clone", "-q", "--bare", str(work), str(bare), cwd=tmp_path)
    await asyncio.to_thread(git, "update-server-info", cwd=bare)
    with local_site() as site:
        for path in bare.rglob("*"):
            if path.is_file():
                name = "/docs.git/" + path.relative_to(bare).as_posix()
                site.pages[name] = Answer(path.read_bytes(), "application/octet-stream", etag=False)
        url = f"{site.url}/docs.git"
        monkeypatch.setattr("services.retriever.sources.repository._DEPTH", ())  # files served as they lie know no depth

        async def bring(known: dict[str, Known]) -> list[News]:
            reading = read_repository(
                url, read, addresses=Addresses(allow_private=True), prefix="s", known=known, pipeline="p", limits=LIMITS
            )
            return [news async for news in reading]

        site.pages["/docs.git/info/refs?service=git-upload-pack"] = site.pages["/docs.git/info/refs"]
        first = await bring({})
        second = await bring(known_of(first))
        del site.pages["/docs.git/info/refs"], site.pages["/docs.git/info/refs?service=git-upload-pack"]
        with pytest.raises(
            DocumentRejected, match=f"git could not clone the repository: repository '{site.url}/docs.git/' not found"
        ):
            await bring({})
        with pytest.raises(DocumentRejected) as refused:
            reading = read_repository(
                url, read, addresses=Addresses(allow_private=False), prefix="s", known={}, pipeline="p", limits=LIMITS
            )
            _ = [news async for news in reading]
    found = [one.uri.rpartition("/HEAD/")[2] for one in first if isinstance(one, Page)]
    assert found == ["README.md", "guide/use.rst"]
    assert all(one.parsed is None for one in second if isinstance(one, Page))
    assert refused.value.reason == "ADDRESS_NOT_ALLOWED"
