"""Characters that a reader does not see: what they are, and what they carry.

Tables and the functions that apply them; knows nothing of rules or requests. Source: Unicode 15 (General_Category, the blocks Tags
and Variation Selectors).
"""

from __future__ import annotations

import re

TAG_OFFSET = 0xE0000
"""A tag character stands for the ASCII character that is this much below it."""
FLAG = re.compile("\U0001f3f4[\U000e0020-\U000e007e]{2,6}\U000e007f")
"""A flag of a region (England, Scotland, Texas ...): the one honest use of tag characters."""

# One selector after an emoji or an ideograph is honest; a row of them carries bytes. Something may stand between each two of them.
_SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef](?:[ .-]?[\ufe00-\ufe0f\U000e0100-\U000e01ef]){3,}")

_CONTROL = [code for code in (*range(0x20), *range(0x7F, 0xA0)) if code not in (0x09, 0x0A, 0x0D, 0x85)]
_BIDIRECTIONAL = [0x061C, *range(0x200E, 0x2010), *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_ZERO_WIDTH = [0x00AD, 0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, *range(0x180B, 0x180F), 0x200B, *range(0x2060, 0x2066), 0xFEFF]
_JOINERS = [0x200C, 0x200D]
_SELECTOR_CODES = [*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)]
_TAG_CODES = range(TAG_OFFSET, TAG_OFFSET + 0x80)

UNREADABLE = frozenset((*_CONTROL, *_BIDIRECTIONAL, *_ZERO_WIDTH, *_JOINERS, *_SELECTOR_CODES, *_TAG_CODES))
"""Code points that have no width or no meaning of their own; white space is not among them."""
COMBINING = frozenset(
    (*range(0x0300, 0x0370), *range(0x1AB0, 0x1B00), *range(0x1DC0, 0x1E00), *range(0x20D0, 0x2100), *range(0xFE20, 0xFE30))
)
"""Marks that stand on Latin, Greek and Cyrillic letters."""

_NEVER_IN_A_QUESTION: dict[int, str | None] = {
    **dict.fromkeys((*_CONTROL, *_BIDIRECTIONAL, *_ZERO_WIDTH, *_TAG_CODES), None),
    **dict.fromkeys((0x09, 0x0A, 0x0D, 0x85, 0x2028, 0x2029), " "),
}


def without_invisible(text: str) -> str:
    """`text` without control characters, direction overrides and the like; breaks become spaces. Flags and joiners stay."""
    if text.isascii() and text.isprintable():
        return text
    parts = FLAG.split(text)
    flags = [*FLAG.findall(text), ""]
    return "".join(part.translate(_NEVER_IN_A_QUESTION) + flag for part, flag in zip(parts, flags, strict=True))


def tag(code: int) -> str | None:
    """The ASCII character that the tag character with this code stands for; None where it stands for none."""
    plain = code - TAG_OFFSET
    return chr(plain) if 0x20 <= plain < 0x7F else None


def selector_runs(text: str) -> list[re.Match[str]]:
    """Rows of variation selectors in `text`."""
    return list(_SELECTORS.finditer(text))


def decode_selectors(run: str) -> str:
    """The text carried by a row of variation selectors: one byte each, 0-15 from FE00, 16-255 from E0100."""
    selectors = (ord(c) for c in run if c >= "\ufe00")
    return bytes(c - 0xFE00 if c < 0xFE10 else c - 0xE0100 + 16 for c in selectors).decode("utf-8", "replace")
