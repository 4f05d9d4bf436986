"""The local issuer's key pair: the gateway signs session tokens with it, Envoy checks them. Knows nothing of sessions.

`session.pem` is the private key (ES256, mode 0600), `jwks.json` the public one as Envoy's jwt_authn reads it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cli.parts.files import write_atomically

ISSUER = "ragmesh"
AUDIENCE = "ragmesh-gateway"


class KeyFileError(Exception):
    """The private key file exists but holds no ES256 key."""


@dataclass(frozen=True)
class SessionKeys:
    """Where the two halves of the issuer's key are."""

    private_key: Path
    jwks: Path


def ensure_session_keys(data_dir: Path) -> SessionKeys:
    """Makes the key pair in `{data_dir}/keys` where it is not there yet. Sessions survive a restart because the key does.

    Raises:
        KeyFileError: the file of the private key holds something else.
    """
    folder = data_dir / "keys"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    keys = SessionKeys(folder / "session.pem", folder / "jwks.json")
    if not keys.private_key.exists():
        made = ec.generate_private_key(ec.SECP256R1())
        pem = made.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        write_atomically(keys.private_key, pem)
    keys.private_key.chmod(0o600)
    write_atomically(keys.jwks, json.dumps(_jwks(keys.private_key)).encode(), mode=0o644)
    return keys


def _jwks(private_key: Path) -> dict[str, Any]:
    try:
        key = serialization.load_pem_private_key(private_key.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise KeyFileError(f"{private_key} holds no private key; delete it to get a new one (sessions end)") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise KeyFileError(f"{private_key} holds no ES256 key; delete it to get a new one (sessions end)")
    public = key.public_key()
    jwk: dict[str, Any] = jwt.algorithms.ECAlgorithm.to_jwk(public, as_dict=True)
    point = public.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)
    digest = hashes.Hash(hashes.SHA256())
    digest.update(point)
    return {"keys": [jwk | {"use": "sig", "alg": "ES256", "kid": digest.finalize().hex()[:16]}]}
