"""Characters that a reader does not see, and letters that look like others: what they are, and what they stand for.

Tables and the functions that apply them; knows nothing of rules or requests. Sources: Unicode 15 (General_Category, the blocks Tags
and Variation Selectors), Unicode Technical Standard 39 (confusables), restricted to the letters that imitate ASCII ones.
"""

from __future__ import annotations

import re

TAG_OFFSET = 0xE0000
"""A tag character stands for the ASCII character that is this much below it."""

# A flag of a region (England, Scotland, Texas ...) is the one honest use of tag characters.
_FLAG = re.compile("\U0001f3f4[\U000e0020-\U000e007e]{2,6}\U000e007f")
_TAGS = re.compile("[\U000e0000-\U000e007f]+")
# One selector after an emoji or an ideograph is honest; a row of them carries bytes.
_SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{4,}")

_CONTROL = [code for code in (*range(0x20), *range(0x7F, 0xA0)) if code not in (0x09, 0x0A, 0x0D, 0x85)]
_BIDIRECTIONAL = [0x061C, *range(0x200E, 0x2010), *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_ZERO_WIDTH = [0x00AD, 0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, *range(0x180B, 0x180F), 0x200B, *range(0x2060, 0x2066), 0xFEFF]
_JOINERS = [0x200C, 0x200D]
_SELECTOR_CODES = [*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)]
_COMBINING = [
    *range(0x0300, 0x0370),
    *range(0x1AB0, 0x1B00),
    *range(0x1DC0, 0x1E00),
    *range(0x20D0, 0x2100),
    *range(0xFE20, 0xFE30),
]
_TAG_CODES = range(TAG_OFFSET, TAG_OFFSET + 0x80)

_NEVER_IN_A_QUESTION: dict[int, str | None] = {
    **dict.fromkeys((*_CONTROL, *_BIDIRECTIONAL, *_ZERO_WIDTH, *_TAG_CODES), None),
    **dict.fromkeys((0x09, 0x0A, 0x0D, 0x85, 0x2028, 0x2029), " "),
}
_NEVER_IN_A_READING: dict[int, str | None] = dict.fromkeys(
    (*_CONTROL, *_BIDIRECTIONAL, *_ZERO_WIDTH, *_JOINERS, *_SELECTOR_CODES, *_TAG_CODES), None
)

# Letters without a decomposition that read as ASCII ones in every language.
_LETTERS = str.maketrans(
    {
        **dict(zip("łøđħıŧŀĸɑɡɩʏɢɪɴʀʜʟᴀᴄᴅᴇᴊᴋᴍᴏᴘᴛᴜᴠᴡᴢꜱ", "lodhitlkagiyginrhlacdejkmoptuvwzs", strict=True)),
        **{"æ": "ae", "œ": "oe", "þ": "th", "ð": "d"},
        **{"‘": "'", "’": "'", "‚": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‐": "-", "‑": "-", "–": "-", "—": "-"},
    }
)
_MARKS: dict[int, str | None] = dict.fromkeys(_COMBINING, None)

# Lower-case Cyrillic, Greek and Armenian letters that imitate Latin ones.
_IMITATORS = dict(
    zip(
        "авеікмнорстухѕјһԁԛԝьгпбзчёӏүөαβγεηικνορτυχωѵղհոսց",
        "abeikmhopctyxsjhdqwbrnb3yelyoabyenikvoptuxwvnhnug",
        strict=True,
    )
)
_IMITATE = str.maketrans(_IMITATORS)
_WORD = re.compile(r"[^\W\d_]{2,}")
_LATIN = re.compile(r"[a-z]")
_IMITATOR = re.compile(f"[{''.join(_IMITATORS)}]")
_ALL_IMITATORS = re.compile(f"[{''.join(_IMITATORS)}]+")


def without_invisible(text: str) -> str:
    """`text` without control characters, direction overrides and the like; breaks become spaces. Flags and joiners stay."""
    if text.isascii() and text.isprintable():
        return text
    parts = _FLAG.split(text)
    flags = [*_FLAG.findall(text), ""]
    return "".join(part.translate(_NEVER_IN_A_QUESTION) + flag for part, flag in zip(parts, flags, strict=True))


def without_unreadable(text: str) -> str:
    """`text` without any character that has no width or no meaning of its own; white space stays as it is."""
    return text.translate(_NEVER_IN_A_READING)


def decode_tags(text: str) -> str:
    """`text` with tag characters replaced by the ASCII characters that they stand for; flags are left out."""
    return _TAGS.sub(lambda run: "".join(map(_tag, run[0])), _FLAG.sub("", text))


def _tag(character: str) -> str:
    code = ord(character) - TAG_OFFSET
    return chr(code) if 0x20 <= code < 0x7F else ""


def decode_selectors(text: str) -> str | None:
    """Text carried by rows of variation selectors (one byte each: 0-15 from FE00, 16-255 from E0100), or None."""
    runs = _SELECTORS.findall(text)
    if not runs:
        return None
    data = bytes(ord(c) - 0xFE00 if ord(c) < 0xFE10 else ord(c) - 0xE0100 + 16 for run in runs for c in run)
    return data.decode("utf-8", "replace")


def plain_letters(text: str) -> str:
    """Casefolded NFKD `text` with diacritics removed and lone letters and quotes as their ASCII likes."""
    return text.translate(_MARKS).translate(_LETTERS)


def without_imitations(text: str) -> str:
    """Casefolded `text` with Cyrillic, Greek and Armenian letters that imitate Latin ones replaced.

    Only in words that mix scripts, and, where there is such a word, in words made of imitators alone: honest Russian stays Russian.
    """
    words = {word for word in _WORD.findall(text) if _LATIN.search(word) and _IMITATOR.search(word)}
    if not words:
        return text

    def replace(match: re.Match[str]) -> str:
        word = match[0]
        return word.translate(_IMITATE) if word in words or _ALL_IMITATORS.fullmatch(word) else word

    return _WORD.sub(replace, text)
