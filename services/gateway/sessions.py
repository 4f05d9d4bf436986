"""Anonymous sessions: a JWT of the local issuer, which the edge verifies with the public half of the same key.

The key pair is made by `ragmesh up`. Knows nothing of what a session may do.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import jwt

from services.mesh.errors import MeshError

ISSUER = "ragmesh"
AUDIENCE = "ragmesh-gateway"
_ALGORITHM = "ES256"


@dataclass(frozen=True, slots=True)
class Session:
    """A session that was just made."""

    token: str
    subject: str
    expire_time: float


class SessionIssuer:
    """Makes sessions.

    Args:
        key_file: PEM of the private key.
        days: how long a session lasts.
    """

    def __init__(self, key_file: Path, days: int) -> None:
        self._key_file = key_file
        self._seconds = days * 86_400

    @cached_property
    def _key(self) -> str:
        return self._key_file.read_text()

    def ready(self) -> bool:
        """Whether the key is there."""
        return self._key_file.is_file()

    def issue(self) -> Session:
        """A new session of a new visitor.

        Raises:
            MeshError: STORE_UNAVAILABLE where there is no key.
        """
        now = int(time.time())
        subject = f"sessions/{secrets.token_hex(16)}"
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": subject, "iat": now, "exp": now + self._seconds}
        try:
            token = jwt.encode(claims, self._key, algorithm=_ALGORITHM)
        except OSError:
            raise MeshError("STORE_UNAVAILABLE", "sessions cannot be made here", metadata={"store": "keys"}) from None
        return Session(token, subject, float(now + self._seconds))
