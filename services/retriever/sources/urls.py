"""One form for each address, so that a page is read once however it is linked. Knows no network."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit, urlunsplit

# Marks of campaigns and sessions, which change nothing of what a page says.
_TRACKING = re.compile(
    r"^(?:utm_\w+|gclid|fbclid|msclkid|mc_[ce]id|igshid|ref_src|phpsessid|jsessionid|sid|_ga|yclid)$", re.IGNORECASE
)
_DEFAULT_PORTS = {"http": 80, "https": 443}
# Endings of what no text is read from; asking for it would only cost both sides.
_NO_TEXT = re.compile(
    r"\.(?:jpe?g|png|gif|webp|svg|ico|bmp|tiff?|avif|mp[34]|m4[av]|avi|mov|mkv|webm|ogg|wav|flac|zip|gz|tgz|bz2|xz|7z|rar|tar|exe|dmg"
    r"|iso|apk|deb|rpm|msi|css|js|mjs|map|woff2?|ttf|otf|eot|swf|wasm|jar|bin)$",
    re.IGNORECASE,
)
MAX_CHARS = 2_000


def normal(url: str) -> str:
    """The one form of an address; empty for one that is none of the web."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port
        host = (parts.hostname or "").rstrip(".").encode("idna").decode("ascii") if parts.hostname else ""
    except (ValueError, UnicodeError):
        return ""
    if parts.scheme.lower() not in _DEFAULT_PORTS or not host or len(url) > MAX_CHARS:
        return ""
    scheme = parts.scheme.lower()
    place = f"[{host}]" if ":" in host else host
    if port is not None and port != _DEFAULT_PORTS[scheme]:
        place = f"{place}:{port}"
    # As it was written: to some servers `?a` and `?a=` are two pages.
    kept = [pair for pair in parts.query.split("&") if pair and not _TRACKING.match(pair.partition("=")[0])]
    query = quote("&".join(kept), safe="/%:@!$&'()*+,;=~-._?[]{}|")
    return urlunsplit((scheme, place, quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._"), query, ""))


def site_of(url: str) -> str:
    """What a site is told by: host and port, with or without `www.`, over http or https."""
    parts = urlsplit(url)
    port = parts.port if parts.port not in (None, 80, 443) else None
    host = (parts.hostname or "").removeprefix("www.")
    return f"{host}:{port}" if port else host


def may_hold_text(url: str) -> bool:
    """Whether it is worth asking for what lies there."""
    return not _NO_TEXT.search(urlsplit(url).path)
