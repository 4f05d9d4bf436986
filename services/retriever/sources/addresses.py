"""Which addresses a source may lead to. A name is resolved once, checked, and connected to at that very address.

So a name that changes its address between check and connection (DNS rebinding) gains nothing. Knows no protocol.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from urllib.parse import urlsplit

from services.retriever.canonical import DocumentRejected

SECONDS = 10.0
MAX_HOSTS = 1_000
_PORTS = frozenset({80, 443, 8000, 8008, 8080, 8443})
"""Of web servers. Others belong to databases, mail and the like; a private network may be asked for any."""
# Networks whose addresses hold an IPv4 address: what they lead to is decided by a translator elsewhere.
_WRAPPED = tuple(map(ipaddress.ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96")))


def is_public(address: str) -> bool:
    """Whether an address is one of the public internet."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        elif any(found in network for network in _WRAPPED):
            return False
    return found.is_global and not found.is_multicast


class Addresses:
    """Resolves the hosts of one reading of a source.

    Args:
        allow_private: whether they may lie in a private network or on this machine.
    """

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._known: dict[tuple[str, int], str] = {}

    async def of(self, url: str) -> str:
        """The address to connect to for `url`.

        Raises:
            DocumentRejected: ADDRESS_NOT_ALLOWED, SOURCE_UNREACHABLE where the name has no address.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError:
            raise DocumentRejected("ADDRESS_NOT_ALLOWED", "this is no address of the web") from None
        if parts.scheme not in ("http", "https") or not host or parts.username is not None:
            raise DocumentRejected("ADDRESS_NOT_ALLOWED", "only http and https addresses without a user name are read")
        if not self._allow_private and port not in _PORTS:
            raise DocumentRejected("ADDRESS_NOT_ALLOWED", f"port {port} is none of a public web server")
        known = self._known.get((host, port))
        if known is not None:
            return known
        if len(self._known) >= MAX_HOSTS:
            raise DocumentRejected("ADDRESS_NOT_ALLOWED", f"the source leads to more than {MAX_HOSTS} hosts")
        found = await self._resolve(host, port)
        if not self._allow_private and not all(is_public(address) for address in found):
            raise DocumentRejected(
                "ADDRESS_NOT_ALLOWED", f"{host} lies in a private network or on this machine: allow it, if it should"
            )
        self._known[(host, port)] = found[0]
        return found[0]

    async def _resolve(self, host: str, port: int) -> list[str]:
        try:
            async with asyncio.timeout(SECONDS):
                rows = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError, TimeoutError):
            raise DocumentRejected("SOURCE_UNREACHABLE", f"the name {host} has no address") from None
        found = list(dict.fromkeys(str(row[4][0]) for row in rows))
        if not found:
            raise DocumentRejected("SOURCE_UNREACHABLE", f"the name {host} has no address")
        return found
