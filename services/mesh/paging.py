"""Page tokens (AIP-158): opaque to clients, bound to the listing, its filter and the principal.

A token that was made for another listing or another principal is refused. Knows nothing of what is listed.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import secrets
from pathlib import Path

import orjson
from ragmesh.identity.v1.principal_pb2 import Principal

from services.mesh.errors import MeshError

_MAC_BYTES = 16
_KEY_BYTES = 32


def load_key(path: Path) -> bytes:
    """The key of a service's page tokens, made on first use. Mode 0600. Processes that start together get the same one."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        draft.touch(mode=0o600, exist_ok=False)
        draft.write_bytes(secrets.token_bytes(_KEY_BYTES))
        # Whole or not there, and the first one counts: nobody reads half a key, and nobody replaces one that is in use.
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(draft)
        draft.unlink()
    return path.read_bytes()


class Pager:
    """Makes and reads page tokens.

    Args:
        key: secret of this service.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def _mac(self, listing: str, principal: Principal, position: bytes) -> bytes:
        bound = b"\0".join((listing.encode(), principal.tenant.encode(), principal.subject.encode(), position))
        return hmac.digest(self._key, bound, hashlib.sha256)[:_MAC_BYTES]

    def token(self, listing: str, principal: Principal, position: list[str | int]) -> str:
        """A token for the page of `listing` that begins after `position`."""
        packed = orjson.dumps(position)
        return base64.urlsafe_b64encode(self._mac(listing, principal, packed) + packed).decode().rstrip("=")

    def position(self, listing: str, principal: Principal, token: str) -> list[str | int] | None:
        """Where the page begins; None for the first.

        Raises:
            MeshError: PAGE_TOKEN_INVALID.
        """
        if not token:
            return None
        invalid = MeshError("PAGE_TOKEN_INVALID", "the page token is none of this listing", metadata={"field": "page_token"})
        try:
            raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except (binascii.Error, ValueError):
            raise invalid from None
        mac, packed = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(listing, principal, packed)):
            raise invalid
        found: list[str | int] = orjson.loads(packed)
        return found


def page_size(wanted: int, *, default: int, most: int) -> int:
    """How many entries a page has: `wanted`, `default` for 0, never more than `most`."""
    return min(wanted or default, most)
