"""Twenty-four ways to write a text so that a filter does not know it and a model still may; `pairs` applies one on another.

They are what the views must undo: `test_guard_views_transforms.py` measures how much of what is caught in the clear is caught so.
"""

from __future__ import annotations

import base64
import codecs
import unicodedata
from collections.abc import Callable, Iterator
from urllib.parse import quote

from services.guard.views import morse
from services.guard.views.invisible import TAG_OFFSET

_HOMOGLYPHS = str.maketrans("aceopxyikABCEHKMOPTX", "асеорхуікАВСЕНКМОРТХ")
_GREEK = str.maketrans("aoivnkABEHIKMNOPTXYZ", "αοινηκΑΒΕΗΙΚΜΝΟΡΤΧΥΖ")
_CYRILLIC_TO_LATIN = str.maketrans("аеорсухАВЕКМНОРСТХ", "aeopcyxABEKMHOPCTX")
_LEET = str.maketrans("oOiIeEaAsStT", "001133445577")
_SMALL = str.maketrans("abcdefghijklmnoprtuvwyz", "ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀᴛᴜᴠᴡʏᴢ")
_MORSE = {letter: code for code, letter in morse.LETTERS.items()}


def _ascii(text: str) -> str:
    """Without diacritics, for what writes ASCII letters only."""
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))


def _shift(text: str, lower: int, upper: int) -> str:
    return "".join(
        chr(lower + ord(c) - 97) if "a" <= c <= "z" else chr(upper + ord(c) - 65) if "A" <= c <= "Z" else c for c in text
    )


def _between_letters(text: str, what: str) -> str:
    return "".join(c + what if c.isalnum() else c for c in text)


def _spread(text: str, separator: str, word_separator: str) -> str:
    return word_separator.join(separator.join(word) for word in text.split())


def _selector(byte: int) -> str:
    return chr(0xFE00 + byte) if byte < 16 else chr(0xE0100 + byte - 16)


def _alternating(text: str) -> str:
    return "".join(c.upper() if place % 2 else c.lower() for place, c in enumerate(text))


def _homoglyphs(text: str) -> str:
    cyrillic = sum("а" <= c.lower() <= "я" for c in text) * 2 > len(text)
    return text.translate(_CYRILLIC_TO_LATIN if cyrillic else _HOMOGLYPHS)


def _zalgo(text: str) -> str:
    marks = "\u0300\u0316\u0334\u0359\u0361"
    return "".join(c + marks[place % 5] + marks[(place * 3 + 1) % 5] if c.isalnum() else c for place, c in enumerate(text))


def _accents(text: str) -> str:
    return "".join(c + "\u0301\u0308\u0303"[place % 3] if c.isalpha() else c for place, c in enumerate(text))


TRANSFORMS: dict[str, Callable[[str], str]] = {
    # Letters that look alike.
    "fullwidth": lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
    "math_letters": lambda text: _shift(text, 0x1D41A, 0x1D400),
    "circled": lambda text: _shift(text, 0x24D0, 0x24B6),
    "small_capitals": lambda text: text.translate(_SMALL),
    "homoglyphs": _homoglyphs,
    "greek": lambda text: text.translate(_GREEK),
    "diacritics": _accents,
    "zalgo": _zalgo,
    "leet": lambda text: text.translate(_LEET),
    # Characters between the letters.
    "zero_width": lambda text: _between_letters(text, "\u200b"),
    "soft_hyphen": lambda text: _between_letters(text, "\u00ad"),
    "spaced": lambda text: _spread(text, " ", "   "),
    "dotted": lambda text: _spread(text, ".", " "),
    "hyphened": lambda text: _spread(text, "-", " "),
    "underscores": lambda text: "_".join(text.split()),
    # Bytes as something else.
    "tags": lambda text: "Hi! " + "".join(chr(TAG_OFFSET + ord(c)) if " " <= c <= "~" else c for c in text),
    "selectors": lambda text: "\U0001f600" + "".join(map(_selector, text.encode())),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "url": lambda text: quote(text, safe="") if not text.isascii() else "".join(f"%{byte:02X}" for byte in text.encode()),
    "entities": lambda text: "".join(f"&#{ord(c)};" for c in text),
    # Other orders and alphabets.
    "rot13": lambda text: codecs.encode(text, "rot13"),
    "reversed": lambda text: text[::-1],
    "morse": lambda text: " / ".join(" ".join(_MORSE[c] for c in _ascii(word).lower() if c in _MORSE) for word in text.split()),
}

LOSES = {
    # Writes other letters over digits and capitals, or has no way to write them, or the letters of a code in other ones.
    "leet": {"base64", "hex", "url", "entities", "morse", "selectors", "tags"},
    "morse": {
        "homoglyphs",
        "greek",
        "entities",
        "base64",
        "selectors",
        "tags",
        "fullwidth",
        "math_letters",
        "circled",
        "small_capitals",
        "zero_width",
        "soft_hyphen",
    },
    "rot13": {"homoglyphs", "greek", "small_capitals"},
}
"""Transforms that destroy what another has written before: nobody could undo the two."""

_LATIN_ONLY = {"fullwidth", "math_letters", "circled", "small_capitals", "greek", "leet", "rot13", "morse", "tags"}


def applicable(name: str, text: str) -> bool:
    """Whether the transform changes enough of `text`: Latin tricks leave Russian as it is."""
    return name not in _LATIN_ONLY or not any("а" <= c.lower() <= "я" for c in text)


def pairs() -> Iterator[tuple[str, str]]:
    """(first, then): every ordered pair of transforms that can be undone."""
    for first in TRANSFORMS:
        for then in TRANSFORMS:
            if first != then and first not in LOSES.get(then, set()):
                yield first, then
