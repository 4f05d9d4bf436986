"""Where crawling may go: addresses that are inside, names that change theirs, one form for each URL."""

from __future__ import annotations

import pytest

from services.retriever.canonical import CanonicalText, DocumentRejected
from services.retriever.parsing import parse
from services.retriever.sources import addresses as addresses_module
from services.retriever.sources.addresses import Addresses, is_public
from services.retriever.sources.crawling import Crawl
from services.retriever.sources.fetching import Fetcher
from services.retriever.sources.news import Limits
from services.retriever.sources.urls import may_hold_text, normal, site_of
from tests.unit.retriever.local_site import Answer, Site

LIMITS = Limits(delay=0.0)


async def read(data: bytes, media_type: str, url: str) -> CanonicalText:
    return parse(data, media_type, url)


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "240.0.0.1",
        ),
        *(
            "::1",
            "::",
            "fe80::1%eth0",
            "fc00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
        ),
        *("::7f00:1", "2001:db8::1"),
    ],
)
def test_private_addresses_are_told(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:93.184.216.34"])
def test_public_addresses_are_told(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://127.0.0.1/",
            "http://[::1]/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://localhost/",
            "http://169.254.169.254/latest",
        ),
        *("http://user@93.184.216.34/", "file:///etc/passwd", "gopher://93.184.216.34/", "http://93.184.216.34:22/", "http:///x"),
        "http://93.184.216.34:99999/",
    ],
)
async def test_no_address_inside_is_read_unless_it_is_allowed(url: str) -> None:
    with pytest.raises(DocumentRejected) as caught:
        await Addresses(allow_private=False).of(url)
    assert caught.value.reason in ("ADDRESS_NOT_ALLOWED", "SOURCE_UNREACHABLE")


async def test_a_site_on_this_machine_is_refused_before_anything_is_sent(site: Site) -> None:
    site.page("/", "Home")
    fetcher = Fetcher(Addresses(allow_private=False), max_bytes=1 << 20, delay=0.0)
    made = Crawl(fetcher, read, prefix="s", known={}, pipeline="p", limits=LIMITS)
    with pytest.raises(DocumentRejected) as caught:
        _ = [news async for news in made.site(site.url)]
    await fetcher.close()
    assert caught.value.reason == "ADDRESS_NOT_ALLOWED"
    assert site.asked == []


async def test_a_name_that_changes_its_address_gains_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: public at the check, loopback at the connection. The checked address is what is connected to."""
    answers = [["93.184.216.34"], ["127.0.0.1"]]

    async def resolve(self: Addresses, host: str, port: int) -> list[str]:
        return answers.pop(0)

    monkeypatch.setattr(Addresses, "_resolve", resolve)
    known = Addresses(allow_private=False)
    assert await known.of("http://rebind.example/") == "93.184.216.34"
    assert await known.of("http://rebind.example/again") == "93.184.216.34"
    with pytest.raises(DocumentRejected):
        await Addresses(allow_private=False).of("http://rebind.example/")


async def test_one_private_address_among_public_ones_is_enough_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(self: Addresses, host: str, port: int) -> list[str]:
        return ["93.184.216.34", "10.0.0.1"]

    monkeypatch.setattr(Addresses, "_resolve", resolve)
    with pytest.raises(DocumentRejected):
        await Addresses(allow_private=False).of("http://mixed.example/")


async def test_a_name_is_connected_to_at_the_checked_address_and_keeps_its_host(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def resolve(self: Addresses, host: str, port: int) -> list[str]:
        assert host == "docs.example"
        return ["127.0.0.1"]

    monkeypatch.setattr(Addresses, "_resolve", resolve)
    site.page("/", "Home")
    fetcher = Fetcher(Addresses(allow_private=True), max_bytes=1 << 20, delay=0.0)
    found = await fetcher.get(site.url.replace("127.0.0.1", "docs.example") + "/")
    await fetcher.close()
    assert found.status == 200
    assert found.url.startswith("http://docs.example:")


async def test_a_redirect_inside_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(self: Addresses, host: str, port: int) -> list[str]:
        return ["127.0.0.1"] if host == "docs.example" else ["10.0.0.1"]

    monkeypatch.setattr(Addresses, "_resolve", resolve)
    monkeypatch.setattr(addresses_module, "is_public", lambda address: address == "127.0.0.1")
    monkeypatch.setattr(addresses_module, "_PORTS", {int(site.url.rpartition(":")[2])})
    site.pages["/"] = Answer(status=302, headers={"Location": site.url.replace("127.0.0.1", "inside.example")})
    fetcher = Fetcher(Addresses(allow_private=False), max_bytes=1 << 20, delay=0.0)
    with pytest.raises(DocumentRejected) as caught:
        await fetcher.get(site.url.replace("127.0.0.1", "docs.example") + "/")
    await fetcher.close()
    assert caught.value.reason == "ADDRESS_NOT_ALLOWED"
    assert site.asked == ["/"]


def test_one_form_for_each_address() -> None:
    assert normal(" HTTP://Example.ORG:80/a b?utm_source=x&q=1#part ") == "http://example.org/a%20b?q=1"
    assert normal("https://example.org") == "https://example.org/"
    assert normal("http://bücher.example/") == "http://xn--bcher-kva.example/"
    assert [normal(url) for url in ("mailto:a@b.c", "http://", "//x", "http://[", "http://a:b/", "http://x/" + "a" * 3000)] == [
        ""
    ] * 6
    assert site_of("https://www.example.org/x") == site_of("http://example.org/")
    assert site_of("http://example.org:81/") != site_of("http://example.org/")
    assert not may_hold_text("http://x/a.JPG?x=1")
    assert may_hold_text("http://x/a.pdf")
