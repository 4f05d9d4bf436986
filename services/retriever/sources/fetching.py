"""Fetches pages as a guest should: one connection to a host, pauses, a name of its own, limits on size, time and redirects.

Each address on the way is checked before it is connected to; see `addresses`. Knows no document.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import httpx2

from services.retriever.canonical import DocumentRejected
from services.retriever.sources.addresses import Addresses
from services.retriever.sources.urls import normal

USER_AGENT = "ragmesh/0.1 (self-hosted assistant; reads what its owner names)"
ROBOT = "ragmesh"
"""What robots.txt may call us."""
MAX_REDIRECTS = 5
_CONNECT_SECONDS = 10.0
_READ_SECONDS = 20.0
_WHOLE_SECONDS = 60.0
MAX_RETRY_AFTER_SECONDS = 30.0
_BUSY = (429, 503)


@dataclass(frozen=True, slots=True)
class Fetched:
    """What an address answered."""

    url: str
    """Where it lies after redirects."""
    status: int
    media_type: str
    data: bytes
    etag: str = ""
    last_modified: str = ""
    robots: str = ""
    """Of the header X-Robots-Tag."""


class _Checked(httpx2.AsyncBaseTransport):
    """Connects to the checked address of each host, and to nothing else; proxies of the environment are passed over."""

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses
        self._hosts: dict[str, httpx2.AsyncHTTPTransport] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        host = request.url.host
        address = await self._addresses.of(str(request.url))
        if host not in self._hosts:
            # One for each name: two names at one address must not share a connection that was made for one of them.
            limits = httpx2.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=30.0)
            self._hosts[host] = httpx2.AsyncHTTPTransport(trust_env=False, limits=limits)
        checked = httpx2.Request(
            request.method,
            request.url.copy_with(host=address),
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": host},
        )
        return await self._hosts[host].handle_async_request(checked)

    async def aclose(self) -> None:
        for transport in self._hosts.values():
            await transport.aclose()


class Fetcher:
    """Fetches for one reading of a source, one request at a time.

    Args:
        addresses: what may be connected to.
        max_bytes: largest answer, unpacked.
        delay: pause between two requests to a host, in seconds.
        sleep: how to wait.
    """

    def __init__(
        self,
        addresses: Addresses,
        *,
        max_bytes: int,
        delay: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._max_bytes = max_bytes
        self._delay = delay
        self._sleep = sleep
        self._turn = asyncio.Lock()
        self._next: dict[str, float] = {}
        self._client = httpx2.AsyncClient(
            transport=_Checked(addresses),
            follow_redirects=False,
            trust_env=False,
            timeout=httpx2.Timeout(_READ_SECONDS, connect=_CONNECT_SECONDS),
            headers={"User-Agent": USER_AGENT, "Accept": "text/html,application/xhtml+xml,*/*;q=0.5"},
        )

    def slow_down(self, delay: float) -> None:
        """Keeps to a longer pause than was asked for, as a robots.txt may wish."""
        self._delay = max(self._delay, delay)

    async def get(
        self, url: str, *, etag: str = "", last_modified: str = "", allowed: Callable[[str], bool] = lambda _: True
    ) -> Fetched:
        """What lies at `url`, whatever its status.

        Args:
            etag, last_modified: of what is known; the answer is 304 where it did not change.
            allowed: asked about each address that a redirect leads to.

        Raises:
            DocumentRejected: ADDRESS_NOT_ALLOWED, SOURCE_UNREACHABLE, DOCUMENT_TOO_LARGE.
        """
        headers = {name: value for name, value in (("If-None-Match", etag), ("If-Modified-Since", last_modified)) if value}
        async with self._turn:
            try:
                async with asyncio.timeout(_WHOLE_SECONDS + MAX_RETRY_AFTER_SECONDS + self._delay * (MAX_REDIRECTS + 2)):
                    return await self._follow(url, headers, allowed)
            except TimeoutError:
                raise DocumentRejected("SOURCE_UNREACHABLE", "the page did not come in time") from None
            except httpx2.HTTPError as error:
                raise DocumentRejected("SOURCE_UNREACHABLE", f"the page cannot be read ({type(error).__name__})") from error

    async def _follow(self, url: str, headers: dict[str, str], allowed: Callable[[str], bool]) -> Fetched:
        retried = False
        for _ in range(MAX_REDIRECTS + 1):
            found, target, wait = await self._once(url, headers)
            if wait is not None and not retried:
                retried = True
                await self._sleep(wait)
                found, target, wait = await self._once(url, headers)
            if not target:
                return found
            url = normal(urljoin(url, target))
            if not url or not allowed(url):
                raise DocumentRejected("ADDRESS_NOT_ALLOWED", "the page leads out of the site")
        raise DocumentRejected("SOURCE_UNREACHABLE", f"the page leads on more than {MAX_REDIRECTS} times")

    async def _once(self, url: str, headers: dict[str, str]) -> tuple[Fetched, str, float | None]:
        """One answer; where it leads, if anywhere; how long to wait before asking again, if that is wished."""
        await self._pause(urlsplit(url).netloc)
        async with self._client.stream("GET", url, headers=headers) as response:
            target = response.headers.get("location", "") if response.is_redirect else ""
            wait = _seconds(response.headers.get("retry-after", "")) if response.status_code in _BUSY else None
            data = b"" if target or response.status_code == 304 else await self._body(response)
            found = Fetched(
                url=url,
                status=response.status_code,
                media_type=response.headers.get("content-type", "").lower(),
                data=data,
                etag=response.headers.get("etag", "")[:512],
                last_modified=response.headers.get("last-modified", "")[:128],
                robots=response.headers.get("x-robots-tag", "").lower(),
            )
            return found, target, wait

    async def _body(self, response: httpx2.Response) -> bytes:
        pieces: list[bytes] = []
        size = 0
        async for piece in response.aiter_bytes(64 * 1024):
            size += len(piece)
            if size > self._max_bytes:
                raise DocumentRejected("DOCUMENT_TOO_LARGE", f"the page is larger than {self._max_bytes} bytes")
            pieces.append(piece)
        return b"".join(pieces)

    async def _pause(self, host: str) -> None:
        wait = self._next.get(host, 0.0) - time.monotonic()
        if wait > 0:
            await self._sleep(wait)
        self._next[host] = time.monotonic() + self._delay

    async def close(self) -> None:
        """Ends all connections."""
        await self._client.aclose()


def _seconds(retry_after: str) -> float:
    return min(float(retry_after), MAX_RETRY_AFTER_SECONDS) if retry_after.isdecimal() else 1.0
