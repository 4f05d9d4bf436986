"""Document ids from paths: stable, valid for the contract, and never the same for two paths. Knows no file system."""

from __future__ import annotations

import hashlib
import re

MAX_ID_LENGTH = 127
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
_HASH_LENGTH = 32
_VALID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._~-]{0,126}$")


def document_id(relative_path: bytes) -> str:
    """The id of a document that lies at `relative_path` (bytes of the file system, parts separated by `/`).

    Letters, digits, `.`, `_` and `-` stand for themselves, `~-` for `/`, `~` and two hex digits for any other byte. What would be
    too long is cut and ends with `~~` and a hash of the whole path; what would not begin with a letter or digit gets `0~~` in
    front. `~~` comes from nothing else, so that two paths never have one id.

    Raises:
        ValueError: the path is empty.
    """
    if not relative_path:
        raise ValueError("a document needs a path")
    text = "".join(_escape(byte) for byte in relative_path)
    if not text[0].isalnum():
        text = f"0~~{text}"
    if len(text) > MAX_ID_LENGTH:
        digest = hashlib.sha256(relative_path).hexdigest()[:_HASH_LENGTH]
        text = f"{text[: MAX_ID_LENGTH - _HASH_LENGTH - 2]}~~{digest}"
    assert _VALID.match(text), text
    return text


def _escape(byte: int) -> str:
    if byte in _PLAIN:
        return chr(byte)
    return "~-" if byte == ord("/") else f"~{byte:02x}"
