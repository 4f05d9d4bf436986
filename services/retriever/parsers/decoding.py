"""Bytes to text: byte order marks, UTF-8, announced and guessed encodings, and what is no text at all.

Knows nothing of markup beyond the line in which HTML names its encoding.
"""

from __future__ import annotations

import codecs
import re

import charset_normalizer

from services.retriever.canonical import DocumentRejected

_SAMPLE_BYTES = 256 * 1024
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# First bytes of formats that people mistake for text.
_BINARY = (
    *(b"%PDF-", b"PK\x03\x04", b"\x1f\x8b", b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"\x7fELF", b"\xd0\xcf\x11\xe0"),
    *(b"Rar!", b"7z\xbc\xaf", b"{\\rtf"),
)
_META_CHARSET = re.compile(rb"<meta[^>]{0,256}charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]{1,40})", re.IGNORECASE)
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_MAX_CONTROL_SHARE = 0.01
_STRAY_CONTROLS = 4


def decode(data: bytes, charset: str = "") -> str:
    """The text of `data`.

    Args:
        charset: encoding that the media type names; believed where the bytes are no UTF-8.

    Raises:
        DocumentRejected: MEDIA_TYPE_UNSUPPORTED for bytes that are no text, DOCUMENT_UNREADABLE for an unknown encoding.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _strict(data, encoding)
    _refuse_binary(data)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    named = charset or _named_in_markup(data)
    if named and _known(named):
        return _strict(data, named)
    return _guess(data)


def _refuse_binary(data: bytes) -> None:
    sample = data[:_SAMPLE_BYTES]
    controls = len(_CONTROL.findall(sample))
    if data.startswith(_BINARY) or b"\0" in sample or controls > max(_STRAY_CONTROLS, len(sample) * _MAX_CONTROL_SHARE):
        raise DocumentRejected("MEDIA_TYPE_UNSUPPORTED", "the bytes are not text: convert the document to text, Markdown or HTML")


def _named_in_markup(data: bytes) -> str:
    found = _META_CHARSET.search(data[:4096])
    return found.group(1).decode("ascii") if found else ""


def _known(name: str) -> bool:
    try:
        # Codecs such as `rot13` or `base64` are there, but not from bytes to text.
        b"ab".decode(name)
    except UnicodeError:
        return True
    except (LookupError, ValueError):
        return False
    return True


def _strict(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeError:
        raise DocumentRejected("DOCUMENT_UNREADABLE", f"the bytes are no valid {encoding}: save the document as UTF-8") from None


def _guess(data: bytes) -> str:
    best = charset_normalizer.from_bytes(data[:_SAMPLE_BYTES]).best()
    if best is None:
        raise DocumentRejected("DOCUMENT_UNREADABLE", "the encoding of the document cannot be told: save it as UTF-8")
    return _strict(data, best.encoding)
