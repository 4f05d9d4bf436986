"""The folded reading: compatibility forms, invisible characters, diacritics and letters that look like others undone.

One pass over one table, filled as characters are met. Sources of the table: NFKD, the blocks Tags and Combining Marks, Unicode
Technical Standard 39 (confusables) restricted to letters that imitate ASCII ones.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from services.guard.views import invisible

# Letters and signs without a decomposition that read as ASCII ones in every language.
_LETTERS = {
    **dict(zip("łøđħıŧŀĸɑɡɩʏɢɪɴʀʜʟᴀᴄᴅᴇᴊᴋᴍᴏᴘᴛᴜᴠᴡᴢꜱʙᴠꞯꜰ", "lodhitlkagiyginrhlacdejkmoptuvwzsbvqf", strict=True)),
    # Turned letters.
    **dict(zip("ɐɔǝɟƃᴉɾʞɯɹʇʌʍʎɥ", "acefgijkmrtvwyh", strict=True)),
    **{"æ": "ae", "œ": "oe", "þ": "th", "ð": "d", "ß": "ss", "ẞ": "SS", "Æ": "AE", "Œ": "OE", "Þ": "Th", "Ð": "D"},
    **dict(zip("ŁØĐĦŦ", "LODHT", strict=True)),
    **dict.fromkeys("‘’‚‛′", "'"),
    **dict.fromkeys("“”„‟«»″", '"'),
    **dict.fromkeys("‐‑‒–—―−", "-"),
    **dict.fromkeys("•·∙⋅", "."),
    **dict.fromkeys("∕⁄", "/"),
    **{"؟": "?", "¿": "?", "¡": "!", "\u2028": "\n", "\u2029": "\n", "\x85": "\n"},
    # Letters on tiles, in black circles and in squares; regional indicators, which are flags in pairs only.
    **{chr(first + place): chr(ord("a") + place) for first in (0x1F150, 0x1F170, 0x1F1E6) for place in range(26)},
}
# Braille, the letters of grade one.
_LETTERS.update(zip("⠁⠃⠉⠙⠑⠋⠛⠓⠊⠚⠅⠇⠍⠝⠕⠏⠟⠗⠎⠞⠥⠧⠺⠭⠽⠵⠀", "abcdefghijklmnopqrstuvwxyz ", strict=True))

# Cyrillic, Greek and Armenian letters that imitate Latin ones, lower case and capital.
_IMITATORS = {
    **dict(
        zip(
            "авеікмнорстухѕјһԁԛԝьгпбзчёӏүөαβγεηικνορτυχωѵղհոսցⅼ",
            "abeikmhopctyxsjhdqwbrnb3yelyoabyenikvoptuxwvnhnugl",
            strict=True,
        )
    ),
    **dict(zip("АВЕІКМНОРСТУХЅЈҺԚԜӀΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEIKMHOPCTYXSJHQWlABEZHIKMNOPTYX", strict=True)),
}
_IMITATE = str.maketrans(_IMITATORS)
# The other way about: Latin letters between Cyrillic ones.
_TO_CYRILLIC = str.maketrans("aeiokmhpctyxABEKMHOPCTYX3", "аеіокмнрстухАВЕКМНОРСТУХз")
_CYRILLIC_ONLY = re.compile("[дёжийлфцчшщъыэюяДЖИЙЛФЦЧШЩЪЫЭЮЯ]")
_CYRILLIC = re.compile("[а-яёА-ЯЁ]")
_LEFT = 8
"""Of so many Cyrillic letters one at least looks like no Latin one where Russian is written with Latin letters in between."""
# Latin letters that no Cyrillic one looks like.
_LATIN_ONLY = re.compile("[bdfgjlnqrsuvwzDFGIJLNQRSUVWYZ]")
_ALL_IMITATORS = re.compile(f"[0-9{''.join(_IMITATORS)}]+")
# Digits for letters, or the codes of a URL, may stand between.
_MIXED = re.compile(f"[A-Za-z][0-9%]*[{''.join(_IMITATORS)}]|[{''.join(_IMITATORS)}][0-9%]*[A-Za-z]")
# A word that is not all ASCII; others imitate nothing.
_WORD = re.compile(r"(?<![^\W_])[0-9A-Za-z]*+[^\W_0-9A-Za-z][^\W_]*+")
_LETTERED = re.compile(r"[^\W_]*[^\W\d_][^\W_]*")
_MAX_TABLE = 20_000
"""Characters that the table remembers; a text of many scripts costs time, not memory."""


class _Table(dict[int, str | None]):
    """What each character becomes, its case kept."""

    def __missing__(self, code: int) -> str | None:
        found = _plain_character(code)
        if len(self) < _MAX_TABLE:
            self[code] = found
        return found


def _plain_character(code: int) -> str | None:
    character = chr(code)
    if (tagged := invisible.tag(code)) is not None:
        return tagged
    if code in invisible.UNREADABLE or code in invisible.COMBINING:
        return None
    if code < 0x80 or 0xAC00 <= code <= 0xD7A3:  # ASCII, Hangul syllables
        return character
    if character in _LETTERS:
        return _LETTERS[character]
    parts = unicodedata.normalize("NFKD", character)
    if parts == character:
        return character
    plain = "".join(_LETTERS.get(part, part) for part in parts if ord(part) not in invisible.COMBINING)
    return unicodedata.normalize("NFC", plain)


_TABLE = _Table({code: None if code in invisible.UNREADABLE else chr(code) for code in range(0x80)})


def _without_flags(text: str) -> str:
    # As many invisible characters, so that places stay the same.
    return invisible.FLAG.sub(lambda flag: "\u200b" * len(flag[0]), text) if "\U0001f3f4" in text else text


def plain(text: str) -> str:
    """`text` as a reader would type it on an English or a Russian keyboard, its case kept."""
    if text.isascii():
        return text
    return _without_imitations(_without_flags(text).translate(_TABLE))


def fold(text: str) -> str:
    """The folded reading: `plain`, in lower case."""
    return plain(text).casefold()


def fold_of_parts(text: str) -> Callable[[str], str]:
    """What folds parts of `text`, and parts of it joined by a space, as `fold` does; quicker where no word mixes scripts."""
    if text.isascii():
        return str.lower
    # A part of a flag is none; and what mixes scripts somewhere is folded by all that stands around it.
    return fold if "\U0001f3f4" in text or _MIXED.search(text.translate(_TABLE)) else _fold_unmixed


def _fold_unmixed(text: str) -> str:
    return text.translate(_TABLE).casefold()


def where(text: str) -> list[int]:
    """For each character of `fold(text)`, and for its end, the place in `text` that it comes from."""
    places: list[int] = []
    for place, character in enumerate(_without_flags(text)):
        made = _TABLE[ord(character)]
        places += [place] * len((made or "").casefold())
    places.append(len(text))
    return places


def _without_imitations(text: str) -> str:
    """`text` with letters of one script that imitate another's replaced, in words that mix scripts.

    Where there is such a word, also in words made of imitators alone: honest Russian stays Russian, and gets its own letters back
    where Latin ones stand between them.
    """
    if text.isascii() or not _MIXED.search(text):
        return text
    own = len(_CYRILLIC_ONLY.findall(text))
    cyrillic = own * 4 > len(text)
    # Whoever imitates Latin letters takes the letters that look like some; in Russian text the others are left.
    left = own * _LEFT > len(_CYRILLIC.findall(text))
    if left and not _LATIN_ONLY.search(text):
        return _LETTERED.sub(lambda word: word[0].translate(_TO_CYRILLIC), text)

    def replace(match: re.Match[str]) -> str:
        word = match[0]
        if _MIXED.search(word):
            theirs = cyrillic or len(_CYRILLIC_ONLY.findall(word)) > 1 or (left and not _LATIN_ONLY.search(word))
            return word.translate(_TO_CYRILLIC if theirs else _IMITATE)
        return word.translate(_IMITATE) if not (cyrillic or left) and _ALL_IMITATORS.fullmatch(word) else word

    return _WORD.sub(replace, text)
