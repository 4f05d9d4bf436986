"""Anonymous sessions and page tokens: what is signed, and what is refused."""

from __future__ import annotations

import base64
import stat
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from services.gateway.sessions import AUDIENCE, ISSUER, SessionIssuer
from services.mesh.errors import MeshError
from services.mesh.paging import Pager, load_key
from tests.unit.gateway.turn_events import visitor

LISTING = "conversations/c"


@pytest.fixture
def key(tmp_path: Path) -> Iterator[tuple[Path, ec.EllipticCurvePublicKey]]:
    private = ec.generate_private_key(ec.SECP256R1())
    path = tmp_path / "session.pem"
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    yield path, private.public_key()


def test_a_session_verifies_with_the_public_half(key: tuple[Path, ec.EllipticCurvePublicKey]) -> None:
    issuer = SessionIssuer(key[0], days=30)
    assert issuer.ready()
    made = issuer.issue()
    claims = jwt.decode(made.token, key[1], algorithms=["ES256"], audience=AUDIENCE, issuer=ISSUER)
    assert claims["sub"] == made.subject
    assert made.subject.startswith("sessions/") and len(made.subject) == len("sessions/") + 32
    assert claims["exp"] == made.expire_time
    assert abs(claims["exp"] - time.time() - 30 * 86_400) < 5
    assert issuer.issue().subject != made.subject


def test_another_key_does_not_verify_it(key: tuple[Path, ec.EllipticCurvePublicKey]) -> None:
    token = SessionIssuer(key[0], days=1).issue().token
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token, other, algorithms=["ES256"], audience=AUDIENCE)


def test_without_a_key_there_are_no_sessions(tmp_path: Path) -> None:
    issuer = SessionIssuer(tmp_path / "none.pem", days=1)
    assert not issuer.ready()
    with pytest.raises(MeshError) as caught:
        issuer.issue()
    assert caught.value.reason == "STORE_UNAVAILABLE"
    assert str(tmp_path) not in caught.value.message


def test_a_page_token_goes_on_where_it_was_made() -> None:
    pager = Pager(b"k" * 32)
    token = pager.token(LISTING, visitor("a"), ["1795234215.683727", "conversations/x"])
    assert pager.position(LISTING, visitor("a"), token) == ["1795234215.683727", "conversations/x"]
    assert pager.position(LISTING, visitor("a"), "") is None


@pytest.mark.parametrize("case", ["principal", "tenant", "listing", "key", "cut", "none", "text", "unicode", "empty"])
def test_a_page_token_of_anything_else_is_refused(case: str) -> None:
    pager, reader, owner, listing = Pager(b"k" * 32), Pager(b"k" * 32), visitor("a"), LISTING
    token = pager.token(LISTING, visitor("a"), ["1.5"])
    match case:
        case "principal":
            owner = visitor("b")
        case "tenant":
            owner.tenant = "other"
        case "listing":
            listing = "conversations/d"
        case "key":
            reader = Pager(b"l" * 32)
        case "cut":
            token = token[:-4]
        case "none":
            token = "AAAA"
        case "text":
            token = "!!!!"
        case "unicode":
            token = "ü" * 20
        case "empty":
            token = base64.urlsafe_b64encode(b"").decode() + "="
    with pytest.raises(MeshError) as caught:
        reader.position(listing, owner, token)
    assert caught.value.reason == "PAGE_TOKEN_INVALID"


def test_no_byte_of_a_page_token_can_be_changed() -> None:
    pager = Pager(b"k" * 32)
    token = pager.token(LISTING, visitor("a"), ["1.5"])
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    for index in range(len(raw)):
        changed = bytearray(raw)
        changed[index] ^= 1
        with pytest.raises(MeshError):
            pager.position(LISTING, visitor("a"), base64.urlsafe_b64encode(bytes(changed)).decode())


def test_all_who_start_together_get_one_key(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "pages.key"
    with ThreadPoolExecutor(16) as pool:
        keys = {future.result() for future in [pool.submit(load_key, path) for _ in range(64)]}
    assert len(keys) == 1 and len(keys.pop()) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["pages.key"]
    assert load_key(path) == path.read_bytes()
