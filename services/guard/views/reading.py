"""Readings of a text: as it is, folded, and decoded. A rule that sees one of them sees what a model would see.

A view is built only when its trigger occurs, and decoding is capped in size, number and depth. Knows nothing of rules.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from services.guard.views import invisible

MAX_DECODED_CHARACTERS = 8_192
"""A decoded view is cut there."""
MAX_VIEWS = 12
MAX_DEPTH = 2
"""How often a decoded view is looked at for more encodings."""

ORIGINAL = "original"
FOLDED = "folded"


@dataclass(frozen=True, slots=True)
class View:
    """One reading of a text."""

    name: str
    """`original`, `folded`, or the encodings that were undone, outermost first: `base64`, `base64.hex`."""
    text: str


_BASE64 = re.compile(r"(?<![\w+/=-])[A-Za-z0-9+/_-]{16,}={0,2}(?![\w+/=-])")
_HEX = re.compile(r"(?<!\w)(?:0x)?(?:[0-9A-Fa-f]{2}[ :]?){8,}(?!\w)|(?:\\x[0-9A-Fa-f]{2}){4,}")
_ESCAPED = re.compile(r"\\u([0-9A-Fa-f]{4})")
_PERCENT = re.compile(r"(?:%[0-9A-Fa-f]{2}[^%]{0,8}){3,}")
_ENTITY = re.compile(r"(?:&#x?[0-9A-Fa-f]{2,6};.{0,4}){3,}")
_SPACED = re.compile(r"(?<!\w)(?:[^\W\d_][ .\-_*|]){5,}[^\W\d_](?!\w)")
_APART = re.compile(r"(?<!\w)(?:[^\W\d_][ .\-_*|])+[^\W\d_](?!\w)")
_LEET_WORD = re.compile(r"(?<![\w@$])(?=\w*[A-Za-z])[A-Za-z]*[013457@$][A-Za-z013457@$]*[A-Za-z][A-Za-z013457@$]*(?![\w@$])")
_LEET = str.maketrans("013457@$", "oieastas")
_ROTATED = re.compile(r"(?i)rot-?13|caesar")
_REVERSED = re.compile(r"(?i)revers|backward|umgekehrt|rückwärts|al rev[eé]s|à l'envers")
# What most words hold; a decoded byte string without any is no text.
_READABLE = re.compile(r"[^\W\d_]{3,}")


def fold(text: str) -> str:
    """The folded reading: compatibility forms, invisible characters, look-alikes, diacritics and case undone."""
    text = invisible.without_unreadable(invisible.decode_tags(text))
    text = unicodedata.normalize("NFKD", text).casefold()
    text = invisible.plain_letters(unicodedata.normalize("NFKD", text))
    return invisible.without_imitations(unicodedata.normalize("NFC", text))


def _as_text(data: bytes) -> str | None:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    printable = sum(character.isprintable() or character.isspace() for character in text)
    return text if printable == len(text) and _READABLE.search(text) else None


def _base64(text: str) -> str | None:
    found = []
    for match in _BASE64.finditer(text):
        run = match[0].rstrip("=").translate(str.maketrans("-_", "+/"))[: MAX_DECODED_CHARACTERS * 4 // 3]
        if run.isalpha() and (run.islower() or run.isupper() or run.istitle()):
            continue  # a long word
        try:
            decoded = _as_text(base64.b64decode(run + "=" * (-len(run) % 4), validate=True))
        except binascii.Error:
            continue
        if decoded:
            found.append(decoded)
    return " ".join(found) or None


def _hex(text: str) -> str | None:
    found = []
    for match in _HEX.finditer(text):
        digits = re.sub(r"0x|\\x|[ :]", "", match[0])[: MAX_DECODED_CHARACTERS * 2]
        if decoded := _as_text(bytes.fromhex(digits[: len(digits) // 2 * 2])):
            found.append(decoded)
    return " ".join(found) or None


def _escapes(text: str) -> str | None:
    if len(_ESCAPED.findall(text)) < 4:
        return None
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text).encode("utf-8", "replace").decode("utf-8")


def _url(text: str) -> str | None:
    return unquote(text, errors="replace") if "%" in text and _PERCENT.search(text) else None


def _entities(text: str) -> str | None:
    return html.unescape(text) if "&#" in text and _ENTITY.search(text) else None


def _spaced(text: str) -> str | None:
    """Letters set apart, `i g n o r e`: joined; two or more separators part words."""
    if not _SPACED.search(text):
        return None
    parted = re.sub(r"[ .\-_*|]{2,}", "\n", text)
    return " ".join(_APART.sub(lambda run: re.sub(r"[ .\-_*|]", "", run[0]), line) for line in parted.split("\n"))


def _leet(text: str) -> str | None:
    if len(_LEET_WORD.findall(text)) < 2:
        return None
    return _LEET_WORD.sub(lambda word: word[0].translate(_LEET), text)


def _rotated(text: str) -> str | None:
    return codecs.encode(text, "rot13") if _ROTATED.search(text) else None


def _reversed(text: str) -> str | None:
    return text[::-1] if _REVERSED.search(text) else None


_DECODERS: tuple[tuple[str, Callable[[str], str | None]], ...] = (
    ("selectors", invisible.decode_selectors),
    ("base64", _base64),
    ("hex", _hex),
    ("escapes", _escapes),
    ("url", _url),
    ("entities", _entities),
    ("spaced", _spaced),
    ("leet", _leet),
    ("rot13", _rotated),
    ("reversed", _reversed),
)


def _decoded(text: str, prefix: str, depth: int) -> Iterator[View]:
    for name, decode in _DECODERS:
        found = decode(text)
        if not found or found == text:
            continue
        found = fold(found[:MAX_DECODED_CHARACTERS]) if not found.isascii() else found[:MAX_DECODED_CHARACTERS]
        yield View(prefix + name, found)
        if depth < MAX_DEPTH:
            yield from _decoded(found, f"{prefix}{name}.", depth + 1)


def readings(text: str) -> list[View]:
    """The readings of `text`, the original (NFC) first; at most `MAX_VIEWS`.

    ASCII text needs no folding: the rules match without regard to case.
    """
    original = text if text.isascii() else unicodedata.normalize("NFC", text)
    found = [View(ORIGINAL, original)]
    folded = original
    if not original.isascii():
        folded = fold(original)
        found.append(View(FOLDED, folded))
    seen = {original, folded}
    for view in _decoded(original if original.isascii() else invisible.decode_tags(original), "", 1):
        if view.text not in seen:
            seen.add(view.text)
            found.append(view)
        if len(found) == MAX_VIEWS:
            break
    return found
