"""Signatures of calls that refresh a source: made with its secret, good for five minutes, and once. Knows no store."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time

from services.mesh.errors import MeshError

WINDOW_SECONDS = 300
_PURPOSE = "ragmesh.retriever.v1.Refresh"


def make_secret() -> str:
    """A new secret: 256 random bits as hex."""
    return secrets.token_hex(32)


def sign(secret: str, name: str, seconds: int, nonce: str) -> str:
    """HMAC-SHA256 as `RefreshSignature.hmac_sha256` says it."""
    text = "\n".join((_PURPOSE, name, str(seconds), nonce))
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def check(secret: str, name: str, seconds: int, nonce: str, given: str) -> None:
    """Looks whether a signature is right and of now. Whether its nonce was used is the caller's to ask.

    Raises:
        MeshError: SIGNATURE_INVALID. It does not say which of its parts is wrong.
    """
    right = hmac.compare_digest(sign(secret, name, seconds, nonce), given)
    if not secret or not right or abs(time.time() - seconds) > WINDOW_SECONDS:
        raise invalid(name)


def invalid(name: str) -> MeshError:
    """The one error for a wrong, an old and a used signature."""
    return MeshError("SIGNATURE_INVALID", "the signature is wrong, too old or was used before", metadata={"source": name})
